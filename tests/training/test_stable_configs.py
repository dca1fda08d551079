"""The configs of the stable track."""

from pathlib import Path

import pytest
import torch

from ldrestore.adapters.injection import InjectionLayers
from ldrestore.adapters.ir_adapter import IRAdapter
from ldrestore.degradations.recipes import parse_recipe
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.prompts.cm_adapter import CMAdapter
from ldrestore.prompts.textual_prompts import TextualPromptPool
from ldrestore.refiners.drm import DetailRefinementModule
from ldrestore.structures import MPERCEIVER_SET
from ldrestore.training.data.training_data import trained_names
from ldrestore.training.networks.small_prior import create_image_encoder, create_text_encoder, create_unet, create_vae
from ldrestore.training.trainers import load_training_config

FOLDER = Path(__file__).parents[2] / "configs/stable"
CONFIGS = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_config_loads_and_begins_with_the_command_that_runs_it(path):
    config = load_training_config(path, [])
    assert path.read_text(encoding="utf-8").startswith(f"# ldrestore train configs/stable/{path.name}")
    assert config.run.output_dir == Path("runs/stable") / path.stem
    names = trained_names(config.data)
    assert names == set(MPERCEIVER_SET) or (names >= {"jpeg", "demosaic"} and "few_shot" in path.name)
    for recipe in getattr(config.validation, "recipes", ()):
        assert recipe == "clean" or parse_recipe(recipe).steps


@pytest.mark.parametrize("machine", ["cpu", "gpu"])
def test_the_embedded_model_keeps_to_sixteen_megabytes_in_half_precision(machine):
    trained = {name: load_training_config(FOLDER / f"tiny_{name}_{machine}.yaml", []) for name in ("unet", "adapters")}
    prior, sizes = trained["unet"].sizes, trained["adapters"].sizes
    refiner = load_training_config(FOLDER / f"tiny_refiner_{machine}.yaml", []).sizes
    hidden = load_training_config(FOLDER / f"tiny_estimator_{machine}.yaml", []).predictor.hidden_dim
    width, dim = prior.clip.text_width, prior.clip.embedding_dim
    with torch.device("meta"):
        unet = create_unet(prior.unet, latent_channels=prior.vae.latent_channels, text_width=width)
        parts = [
            unet,
            create_vae(prior.vae),
            create_text_encoder(prior.clip),
            create_image_encoder(prior.clip),
            DegradationPredictor(embedding_dim=dim, hidden_dim=hidden),
            CMAdapter(embedding_dim=dim, text_dim=width, num_tokens=sizes.num_tokens, num_heads=sizes.num_token_heads),
            TextualPromptPool(num_tokens=sizes.num_tokens, text_dim=width),
            IRAdapter(
                channels=sizes.channels,
                num_res_blocks=sizes.num_res_blocks,
                attention_levels=sizes.attention_levels,
                num_heads=sizes.num_heads,
                num_groups=sizes.num_groups,
                out_channels=sizes.feature_channels,
                num_prompts=sizes.num_prompts,
                prompt_dim=sizes.prompt_dim,
                num_prompt_heads=sizes.num_prompt_heads,
                prompt_head_dim=sizes.prompt_head_dim,
            ),
            DetailRefinementModule(
                prior.vae.widths,
                refiner.hidden_channels,
                num_prompts=refiner.num_prompts,
                prompt_dim=refiner.prompt_dim,
                num_res_blocks=refiner.num_res_blocks,
                num_swin_blocks=refiner.num_swin_blocks,
                head_dim=refiner.head_dim,
                window_size=refiner.window_size,
                norm_num_groups=refiner.norm_num_groups,
            ),
            InjectionLayers.for_unet(
                unet, feature_channels=sizes.feature_channels, hidden_channels=sizes.hidden_channels
            ),
        ]
    assert sum(weight.numel() for part in parts for weight in part.parameters()) < 7.95e6
    assert 2 * sizes.num_tokens + 2 <= prior.clip.max_tokens


def test_both_machines_train_the_same_model_on_the_same_data():
    for name in ("vae", "clip", "unet", "adapters", "refiner"):
        cpu, gpu = (load_training_config(FOLDER / f"tiny_{name}_{machine}.yaml", []) for machine in ("cpu", "gpu"))
        assert (cpu.sizes, cpu.data) == (gpu.sizes, gpu.data)


@pytest.mark.parametrize(
    ("few_shot", "earlier"),
    [
        (("adapters_few_shot", "refiner_few_shot"), ("adapters_nine_tasks", "refiner_nine_tasks")),
        (
            ("tiny_adapters_few_shot_cpu", "tiny_refiner_few_shot_cpu"),
            ("tiny_adapters_rollout_cpu", "tiny_refiner_cpu"),
        ),
    ],
)
def test_few_shot_configs_grow_what_is_trained_before_them_and_fit_each_other(few_shot, earlier):
    grown, known = (
        {config.trainer: config for config in (load_training_config(FOLDER / f"{name}.yaml", []) for name in names)}
        for names in (few_shot, earlier)
    )
    for kind, config in grown.items():
        assert config.init_from == known[kind].run.output_dir / "export"
        assert (config.base, config.data) == (known[kind].base, grown["adapters"].data)
    assert grown["refiner"].adapters == grown["adapters"].run.output_dir / "export"
