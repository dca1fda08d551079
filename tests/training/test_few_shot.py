"""Few-shot adaptation from end to end: the predictor grows, then the adapters, and the old degradations stay."""

import numpy as np
import pytest
import torch
from run_files import assert_equal_to_the_bit
from skimage import data
from stable_exports import assemble
from stable_runs import NAMES, adapters_config, estimator_config, save_base, save_pictures

from ldrestore.adapters.ir_adapter import IRAdapter
from ldrestore.config import load_config
from ldrestore.errors import ConfigError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.training.adapters_config import AdaptersTrainingConfig
from ldrestore.training.frozen_base import load_base
from ldrestore.training.stable_adapters import load_parts
from ldrestore.training.train_adapters import create_network, train_adapters
from ldrestore.training.train_estimator import load_predictor, train_estimator
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
    return root


@pytest.fixture(scope="module")
def adapted(root):
    """The folder of the model after both runs, of which only new rows were trained."""
    shown = {
        "folders": [str(root / "pictures")],
        "max_pictures": 1,
        "mixture": [{"recipe": "jpeg(quality=10)", "weight": 1}, {"recipe": "demosaic", "weight": 1}],
    }
    few = {"init_from": str(root / "old"), "train_shared": False, "data": shown, "ema": None, "validation": None}
    predictor = {"degradations": list(GROWN), "hidden_dim": 8, "clip_tower": str(root / "base/image_encoder")}
    (root / "first").mkdir()
    path = estimator_config(root / "first", root / "pictures", root / "base", **few, predictor=predictor)
    assert train_estimator(path, overrides=[], resume=None)
    (root / "second").mkdir()
    grown = root / "first/run/export"
    path = adapters_config(root / "second", root / "pictures", root / "base", grown, **few)
    assert train_adapters(path, overrides=[], resume=None)
    return root / "second/run/export"


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


def test_old_degradations_are_restored_as_before(root, adapted):
    before, after = (assemble(root / "base", folder) for folder in (root / "old", adapted))
    expected, found = (pipeline(LQ, **TOLD).images[0] for pipeline in (before, after))
    assert np.abs(found - expected).max() < 1e-4  # sums over more degradations may be added up in another order
    told_new = after(LQ, **TOLD | {"degradations": "jpeg"}).images[0]
    assert np.abs(told_new - expected).max() > 1e-3


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
