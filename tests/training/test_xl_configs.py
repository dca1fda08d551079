"""The configs of the XL track."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel

from ldrestore.adapters.lq_encoder import LQEncoder
from ldrestore.adapters.stream_blocks import NormedHeads
from ldrestore.assets.catalog import embedded_folder
from ldrestore.degradations.recipes import parse_recipe
from ldrestore.training.networks.small_xl_prior import grown_text_encoders, grown_unet
from ldrestore.training.tasks.fusion import create_fusion
from ldrestore.training.trainers import load_training_config
from tests.tiny_xl import tiny_xl_base

FOLDER = Path(__file__).parents[2] / "configs/xl"
CONFIGS = sorted(FOLDER.glob("**/*.yaml"))
ABLATIONS = sorted((FOLDER / "ablations").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_loads_and_begins_with_the_command_that_runs_it(path):
    config = load_training_config(path, [])
    name = path.relative_to(FOLDER)
    assert path.read_text(encoding="utf-8").startswith(f"# ldrestore train configs/xl/{name} ")
    assert config.run.output_dir == Path("runs/xl") / name.with_suffix("")
    for recipe in getattr(config.validation, "recipes", ()):
        assert recipe == "clean" or parse_recipe(recipe).steps


@pytest.mark.parametrize("path", sorted(FOLDER.glob("fusion_*.yaml")), ids=lambda path: path.stem)
def test_the_papers_setting_pays_the_absolute_difference(path):
    assert load_training_config(path, []).loss.norm == "absolute"


def test_ablations_differ_in_what_they_are_about_alone():
    configs = [load_training_config(path, []) for path in ABLATIONS]
    for config in configs:
        for section in ("data", "stages", "loss", "optimizer", "ema", "validation", "base", "sampling_steps"):
            assert getattr(config, section) == getattr(configs[0], section)
    assert {config.fusion.kind for config in configs} == {"none", "rsa", "daff"}
    blocks = {
        (config.fusion.num_double, config.fusion.num_single) for config in configs if config.fusion.kind == "daff"
    }
    assert blocks == {(0, 3), (2, 0), (1, 2)}
    rows = {(config.fusion.kind, config.text.has_tasks) for config in configs}  # of Table 5, but for its experts
    assert rows >= {("none", False), ("none", True), ("daff", False), ("daff", True)}


def test_the_parts_of_the_embedded_model_keep_to_sixteen_megabytes_in_half_precision():
    stable = embedded_folder("ldrestore-tiny-stable")
    vae = AutoencoderKL.from_pretrained(stable / "vae")
    encoders = grown_text_encoders(CLIPTextModel.from_pretrained(stable / "text_encoder"))
    small = UNet2DConditionModel.from_pretrained(stable / "unet")
    unet = grown_unet(small, pooled_dim=encoders[1].config.projection_dim)
    lq_encoder = LQEncoder.from_vae(vae)
    fusion = create_fusion(load_training_config(FOLDER / "tiny_fusion_cpu.yaml", []), unet=unet, lq_encoder=lq_encoder)
    parts = [vae, *encoders, unet, lq_encoder, fusion]
    assert 2 * sum(weight.numel() for part in parts for weight in part.parameters()) < 16e6 - 2e6  # the rest for DAEM
    assert all(torch.isfinite(weight).all() for part in parts for weight in part.parameters())


@pytest.mark.parametrize("name", ["tiny_fusion_cpu", "ablations/full", "ablations/single", "ablations/double"])
def test_small_fusions_begin_by_looking_at_their_own_place(name):
    config = load_training_config(FOLDER / f"{name}.yaml", [])
    base = tiny_xl_base()
    fusion = create_fusion(config, unet=base["unet"], lq_encoder=LQEncoder.from_vae(base["vae"]))
    heads = [module for module in fusion.modules() if isinstance(module, NormedHeads)]
    assert heads and all((one.norm_key.weight == config.fusion.focus).all() for one in heads)
    assert config.fusion.head_dim == 64  # narrower ones cannot tell a place from the others
