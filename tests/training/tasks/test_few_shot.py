"""Few-shot adaptation from end to end: the predictor grows, then the adapters, and the old degradations stay."""

import numpy as np
import pytest
import torch
from run_files import assert_equal_to_the_bit
from skimage import data
from stable_runs import (
    NAMES,
    REFINER_SIZES,
    adapters_config,
    estimator_config,
    refiner_config,
    save_base,
    save_pictures,
)

from ldrestore.adapters.ir_adapter import IRAdapter
from ldrestore.config import load_config
from ldrestore.errors import ConfigError, WeightsError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.refiners.drm import DetailRefinementModule
from ldrestore.training.networks.frozen_base import load_base
from ldrestore.training.networks.stable_adapters import load_parts
from ldrestore.training.tasks.adapters import create_network
from ldrestore.training.tasks.adapters_config import AdaptersTrainingConfig
from ldrestore.training.tasks.estimator import load_predictor
from ldrestore.training.tasks.refiner import create_task, load_module
from ldrestore.training.tasks.refiner_config import RefinerTrainingConfig
from ldrestore.training.trainers import train_by_config
from tests.adapters.conftest import randomize

GROWN = (*NAMES, "jpeg", "demosaic")
LQ = data.astronaut()[:24, :20]
TOLD = {"num_inference_steps": 2, "degradations": "haze=0.25,rain=0.75", "output_type": "np"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Pictures, a base, and a model of two degradations as a run would export it."""
    root = tmp_path_factory.mktemp("few_shot")
    pictures, base = save_pictures(root / "pictures"), save_base(root / "base")
    torch.manual_seed(1)
    predictor = DegradationPredictor(NAMES, embedding_dim=6, hidden_dim=8)
    randomize(predictor).save_pretrained(root / "old/predictor")
    config = load_config(AdaptersTrainingConfig, adapters_config(root, pictures, base, root / "old"))
    network = create_network(config, base=load_base(config.base), predictor=predictor)
    for name, part in network.parts.items():
        randomize(part).save_pretrained(root / "old" / name)
    randomize(DetailRefinementModule((8, 8), degradations=NAMES, **REFINER_SIZES)).save_pretrained(root / "refiner/drm")
    return root


def few_shots(root, **extra):
    """What the runs have in common: one picture, the new degradations, and that only new rows are trained."""
    shown = {
        "folders": [str(root / "pictures")],
        "max_pictures": 1,
        "mixture": [{"recipe": "jpeg(quality=10)", "weight": 1}, {"recipe": "demosaic", "weight": 1}],
    }
    return {"train_shared": False, "data": shown, "ema": None, "validation": None, **extra}


@pytest.fixture(scope="module")
def adapted(root):
    """The folder of the model after both runs, of which only new rows were trained."""
    few = few_shots(root, init_from=str(root / "old"))
    predictor = {"degradations": list(GROWN), "hidden_dim": 8, "clip_tower": str(root / "base/image_encoder")}
    (root / "first").mkdir()
    path = estimator_config(root / "first", root / "pictures", root / "base", **few, predictor=predictor)
    assert train_by_config(path, overrides=[], resume=None)
    (root / "second").mkdir()
    grown = root / "first/run/export"
    path = adapters_config(root / "second", root / "pictures", root / "base", grown, **few)
    assert train_by_config(path, overrides=[], resume=None)
    return root / "second/run/export"


def refiner_run(root, folder, adapters, **extra):
    """Config file of a run that grows the refinement module by what the adapters know beyond it."""
    folder.mkdir(exist_ok=True)
    few = few_shots(root, init_from=str(root / "refiner"), loss={"perceptual": 0.0, "adversarial": 0.0})
    return refiner_config(folder, root / "pictures", root / "base", adapters=adapters, **few | extra)


@pytest.fixture(scope="module")
def refined(root, adapted):
    """What a run of stage 2 makes of the old module, of which only new prompts were trained."""
    assert train_by_config(refiner_run(root, root / "third", adapted), overrides=[], resume=None)
    return root / "third/run/export"


def test_old_rows_stay_to_the_bit(root, adapted):
    old, new = load_parts(root / "old"), load_parts(adapted)
    predictors = [load_predictor(folder) for folder in (root / "old", adapted)]
    assert predictors[1].names == tuple(new["ir_adapter"].config["degradations"]) == GROWN
    for name in ("weight", "bias"):
        before, after = (getattr(predictor.fc2, name) for predictor in predictors)
        assert torch.equal(after[:2], before) and len(after) == 4
    assert torch.equal(new["textual_prompts"].tp[:2], old["textual_prompts"].tp)
    assert torch.equal(new["ir_adapter"].visual_prompt[:, :2], old["ir_adapter"].visual_prompt)
    assert_equal_to_the_bit(new["cm_adapter"].attns[:2].state_dict(), old["cm_adapter"].attns.state_dict())
    assert_equal_to_the_bit(new["injection"].state_dict(), old["injection"].state_dict())


def assembled(root, *exports):
    """A quiet pipeline of the base and what runs exported."""
    pipeline = StableRestorePipeline.from_exports(root / "base", *exports, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_old_degradations_are_restored_as_before(root, adapted):
    before, after = (assembled(root, folder) for folder in (root / "old", adapted))
    expected, found = (pipeline(LQ, **TOLD).images[0] for pipeline in (before, after))
    assert np.abs(found - expected).max() < 1e-4  # sums over more degradations may be added up in another order
    told_new = after(LQ, **TOLD | {"degradations": "jpeg"}).images[0]
    assert np.abs(told_new - expected).max() > 1e-3


def test_the_old_prompts_of_the_refinement_module_stay_to_the_bit(root, adapted, refined):
    config = load_config(RefinerTrainingConfig, refiner_run(root, root / "third", adapted))
    old, new, untrained = load_module(root / "refiner"), load_module(refined), create_task(config).network.drm
    assert new.names == GROWN
    pools = {f"levels.{level}.modulator.visual_prompt" for level in range(2)}
    for key, weight in old.state_dict().items():
        after = new.state_dict()[key]
        assert torch.equal(after[:2] if key in pools else after, weight), key
    for key in pools:
        assert len(new.state_dict()[key]) == 4
        assert all((new.state_dict()[key] != untrained.state_dict()[key])[2:].flatten(1).any(dim=1))


def test_they_stay_where_the_rest_of_it_is_trained_too(tmp_path, root, adapted):
    path = refiner_run(root, tmp_path, adapted, train_shared=True, ema={"decay": 0.5})
    assert train_by_config(path, overrides=["optimizer.weight_decay=0.5"], resume=None)
    old, new = (load_module(folder).state_dict() for folder in (root / "refiner", tmp_path / "run/export"))
    for key, weight in old.items():
        is_pool = key.endswith("visual_prompt")
        assert torch.equal(new[key][:2], weight) if is_pool else not torch.equal(new[key], weight), key


def test_old_degradations_are_refined_as_before(root, adapted, refined):
    before, after = (
        assembled(root, folder, drm) for folder, drm in ((root / "old", root / "refiner"), (adapted, refined))
    )
    expected, found = (pipeline(LQ, **TOLD).images[0] for pipeline in (before, after))
    assert np.abs(found - expected).max() < 1e-4
    unrefined = after(LQ, **TOLD, refine=False).images[0]
    assert np.abs(unrefined - expected).max() > 1e-3


def test_a_module_that_did_not_grow_is_refused_with_what_to_do(root, adapted):
    with pytest.raises(WeightsError, match=r"grow the module .* init_from in a run of the refiner.*few_shot\.yaml"):
        assembled(root, adapted, root / "refiner")


def test_without_pools_new_degradations_leave_nothing_to_train(root, adapted):
    found = load_parts(root / "old")
    plain = IRAdapter(**{**found["ir_adapter"].config, "num_prompts": 0})
    plain.save_pretrained(root / "plain/ir_adapter")
    found["injection"].save_pretrained(root / "plain/injection")
    extra = {"init_from": str(root / "plain"), "parts": ["ir_adapter", "injection"]}
    path = adapters_config(root, root / "pictures", root / "base", adapted, **extra)
    config = load_config(AdaptersTrainingConfig, path)
    base, predictor = load_base(config.base), load_predictor(adapted)
    assert create_network(config, base=base, predictor=predictor).names == GROWN
    config = load_config(AdaptersTrainingConfig, path, ["train_shared=false"])
    with pytest.raises(ConfigError, match="leaves nothing to train: no part has something for each degradation"):
        create_network(config, base=base, predictor=predictor)
