"""A validation that cannot be made ends a run before its first step, whatever is trained."""

import pytest
import torch
from stable_runs import (
    NAMES,
    adapters_config,
    backbone_config,
    estimator_config,
    refiner_config,
    run_values,
    save_base,
    save_pictures,
    write,
)

from ldrestore.errors import ConfigError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.training.trainers import train_by_config


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Pictures, and a base with its predictor."""
    root = tmp_path_factory.mktemp("inputs")
    torch.manual_seed(1)
    DegradationPredictor(NAMES, embedding_dim=6, hidden_dim=8).save_pretrained(root / "base/predictor")
    return save_pictures(root / "pictures"), save_base(root / "base")


def regressor_config(root, pictures, base):
    """A run of a tiny NAFNet."""
    options = {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1], "dec_blk_nums": [1]}
    values = {"trainer": "regressor", "network": {"name": "nafnet", "options": options}}
    values["validation"] = {"folder": str(pictures), "recipes": ["rain"], "num_pictures": 1}
    return write(root / "regressor.yaml", run_values(root, pictures) | values)


CONFIGS = {
    "regressor": regressor_config,
    "vae": lambda root, pictures, base: backbone_config(root, pictures, "vae"),
    "clip": lambda root, pictures, base: backbone_config(root, pictures, "clip"),
    "unet": lambda root, pictures, base: backbone_config(root, pictures, "unet", vae=str(base), clip=str(base)),
    "estimator": estimator_config,
    "adapters": lambda root, pictures, base: adapters_config(root, pictures, base, base),
    "refiner": lambda root, pictures, base: refiner_config(
        root, pictures, base, adapters=None, predictor=base, latents={"sampled_share": 0.0}
    ),
}


@pytest.mark.parametrize("what", CONFIGS)
def test_a_missing_folder_ends_a_run_before_its_first_step(tmp_path, inputs, what):
    path = CONFIGS[what](tmp_path, *inputs)
    with pytest.raises(ConfigError, match="nowhere"):
        train_by_config(path, overrides=["validation.folder=nowhere"], resume=None)
    assert not (tmp_path / "run").exists()
    assert train_by_config(path, overrides=[], resume=None)
    assert (tmp_path / "run/metrics.jsonl").is_file()
