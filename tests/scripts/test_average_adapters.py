import pytest
import torch
from average_adapters import average_exports

from ldrestore.adapters.injection import InjectionLayers
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.prompts.cm_adapter import CMAdapter
from ldrestore.prompts.textual_prompts import TextualPromptPool
from ldrestore.training.networks.stable_adapters import load_parts
from ldrestore.training.tasks.estimator import load_predictor
from tests.adapters.conftest import randomize
from tests.training.stable_runs import NAMES


def export(folder, *, seed, predictor_seed=0, num_tokens=2, leaves_out=()):
    """What a run of the text branch leaves."""
    torch.manual_seed(seed)
    parts = {
        "cm_adapter": CMAdapter(NAMES, embedding_dim=6, text_dim=8, num_tokens=num_tokens, num_heads=2),
        "textual_prompts": TextualPromptPool(NAMES, num_tokens=num_tokens, text_dim=8),
        "injection": InjectionLayers((8, 8), 1, feature_channels=8, num_groups=4, hidden_channels=4),
    }
    parts = {name: randomize(part) for name, part in parts.items() if name not in leaves_out}
    torch.manual_seed(predictor_seed)
    parts["predictor"] = DegradationPredictor(NAMES, embedding_dim=6, hidden_dim=8)
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    return folder


def test_each_weight_lies_between_the_two(tmp_path):
    first, second = export(tmp_path / "first", seed=0), export(tmp_path / "second", seed=1)
    average_exports(first, second, tmp_path / "out", share=0.25)
    ours, before, after = (load_parts(folder) for folder in (tmp_path / "out", first, second))
    assert ours.keys() == before.keys()
    for name, part in ours.items():
        old, new = before[name].state_dict(), after[name].state_dict()
        for key, value in part.state_dict().items():
            torch.testing.assert_close(value, 0.75 * old[key] + 0.25 * new[key])
    kept, predictor = load_predictor(tmp_path / "out").state_dict(), load_predictor(first).state_dict()
    assert all(torch.equal(kept[key], value) for key, value in predictor.items())


@pytest.mark.parametrize(("share", "source"), [(0.0, "first"), (1.0, "second")])
def test_at_its_ends_it_is_one_of_them_to_the_bit(tmp_path, share, source):
    folders = {"first": export(tmp_path / "first", seed=0), "second": export(tmp_path / "second", seed=1)}
    average_exports(*folders.values(), tmp_path / "out", share=share)
    expected = load_parts(folders[source])
    for name, part in load_parts(tmp_path / "out").items():
        assert all(torch.equal(value, expected[name].state_dict()[key]) for key, value in part.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_tokens": 3}, "built differently"),
        ({"leaves_out": ("textual_prompts",)}, "average runs of the same"),
        ({"predictor_seed": 5}, "different predictors"),
    ],
)
def test_exports_that_do_not_belong_together_are_refused(tmp_path, changes, message):
    first, second = export(tmp_path / "first", seed=0), export(tmp_path / "second", seed=1, **changes)
    with pytest.raises(ValueError, match=message):
        average_exports(first, second, tmp_path / "out", share=0.5)
    assert not (tmp_path / "out").exists()


def test_a_share_out_of_range_and_a_folder_that_is_taken_are_refused(tmp_path):
    first, second = export(tmp_path / "first", seed=0), export(tmp_path / "second", seed=1)
    with pytest.raises(ValueError, match=r"share must lie in \[0, 1\]"):
        average_exports(first, second, tmp_path / "out", share=1.5)
    with pytest.raises(ValueError, match="is there already"):
        average_exports(first, second, second, share=0.5)
