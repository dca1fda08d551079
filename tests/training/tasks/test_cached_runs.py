"""Both stages of UniLDiff upon pairs that are computed once, in place of drawn ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stable_runs import run_values, save_pictures, write
from torch.utils.data import default_collate

from ldrestore.adapters.lq_encoder import LQEncoder
from ldrestore.config import load_config
from ldrestore.errors import ConfigError
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.training.config import StageConfig
from ldrestore.training.data.training_data import create_dataset
from ldrestore.training.tasks.detail_experts import prepare_detail_experts
from ldrestore.training.tasks.detail_experts_config import DetailExpertsTrainingConfig
from ldrestore.training.tasks.fusion import FusionTask, create_restorer
from ldrestore.training.tasks.fusion_config import FusionTrainingConfig
from ldrestore.training.trainers import train_by_config
from tests.tiny_xl import tiny_xl_base

STAGE = StageConfig(patch_size=16, batch_size=2, steps=1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, a base, and an export of stage 1 without a fusion."""
    root, parts = tmp_path_factory.mktemp("xl"), tiny_xl_base()
    with without_progress_bar():
        for name, part in parts.items():
            part.save_pretrained(root / "base" / name)
        LQEncoder.from_vae(parts["vae"]).save_pretrained(root / "restorer/lq_encoder")
    save_pictures(root / "pictures")
    return root


@pytest.fixture
def config_of(tmp_path: Path, folders: Path) -> Callable[..., Path]:
    """The file of a run of one of both trainers, with three cached pairs; sections may be replaced."""

    def create(trainer: str, **extra: Any) -> Path:
        own: dict[str, Any] = {
            "fusion": {
                "fusion": {"dim": 16, "head_dim": 16, "num_single": 1},
                "switch": {"after_steps": 0},
                "sampling_steps": None,
            },
            "detail_experts": {
                "restorer": str(folders / "restorer"),
                "sizes": {"hidden_channels": [8, 8, 8], "head_dim": 4},
                "latents": {"sampled_share": 1.0, "min_steps": 1, "max_steps": 1},
            },
        }
        values = run_values(tmp_path, folders / "pictures") | {
            "trainer": trainer,
            "base": {"path": str(folders / "base")},
            "cache": {"path": str(tmp_path / "cache.safetensors"), "num_pairs": 3, "batch_size": 2},
        }
        return write(tmp_path / f"{trainer}.yaml", values | own[trainer] | extra)

    return create


def fusion_task(path: Path, **changed: str) -> FusionTask:
    """Of stage 1."""
    config = load_config(FusionTrainingConfig, path, [f"{key}={value}" for key, value in changed.items()])
    return FusionTask(config, network=create_restorer(config).train())


def pairs_of(task: FusionTask) -> dict[str, Any]:
    """The pictures of the first two cached pairs, drawn again."""
    config = task.config
    assert config.cache is not None
    dataset = create_dataset(config.data, patch_size=STAGE.patch_size, seed=config.cache.seed)
    return default_collate([dataset[(0, index)] for index in range(2)])


def test_a_cached_pair_costs_what_its_pictures_cost(
    config_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "randn_like", lambda values: torch.randn(values.shape))  # in whatever order they lie
    task = fusion_task(config_of("fusion", text={"dropout": 0.0}))
    cached, pictures = task.dataset(STAGE), pairs_of(task)
    rows = default_collate([cached[(0, index)] for index in range(2)])
    losses = []
    for batch in (pictures, rows):
        torch.manual_seed(0)
        losses.append(task.loss(task.network, batch)[0])
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-3, atol=1e-4)
    torch.manual_seed(0)
    other = default_collate([cached[(0, index)] for index in (1, 2)])
    assert not torch.isclose(task.loss(task.network, other)[0], losses[1], rtol=4e-3)


def test_the_encoder_of_cached_features_is_not_trained(config_of: Callable[..., Path]) -> None:
    task = fusion_task(config_of("fusion"))
    cached = task.dataset(STAGE)
    task.loss(task.network, default_collate([cached[(0, 0)], cached[(0, 1)]]))[0].backward()
    moved = {name.partition(".")[0] for name, weight in task.network.named_parameters() if weight.grad is not None}
    assert moved == {"fusion", "unet"}


def test_pairs_are_drawn_once_for_all_seeds_and_epochs(config_of: Callable[..., Path], tmp_path: Path) -> None:
    path = config_of("fusion")
    first = fusion_task(path).dataset(STAGE)
    stamp = (tmp_path / "cache.safetensors").stat().st_mtime_ns
    second = fusion_task(path, **{"run.seed": "7"}).dataset(STAGE)
    assert (tmp_path / "cache.safetensors").stat().st_mtime_ns == stamp
    for index in range(3):
        one, other = first[(0, index)], second[(5, index)]
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert len(first) == 3 and not torch.equal(first[(0, 0)]["lq_last"], first[(0, 2)]["lq_last"])


@pytest.mark.parametrize("changed", [{"cache.num_pairs": "2"}, {"cache.seed": "1"}, {"data.min_scale": "0.9"}])
def test_a_cache_of_other_pairs_is_refused(config_of: Callable[..., Path], changed: dict[str, str]) -> None:
    path = config_of("fusion")
    fusion_task(path).dataset(STAGE)
    with pytest.raises(ConfigError, match="made with other pictures, settings or frozen weights; remove it or name"):
        fusion_task(path, **changed).dataset(STAGE)


def test_a_cache_of_other_weights_is_refused(config_of: Callable[..., Path]) -> None:
    path = config_of("fusion")
    fusion_task(path).dataset(STAGE)
    task = fusion_task(path)
    with torch.no_grad():
        next(task.base.vae.parameters()).add_(1.0)
    with pytest.raises(ConfigError, match="frozen weights"):
        task.dataset(STAGE)


def test_a_damaged_cache_is_told(config_of: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "cache.safetensors").write_bytes(b"no numbers")
    with pytest.raises(ConfigError, match=r"is damaged .* remove it, and it is written anew"):
        fusion_task(config_of("fusion")).dataset(STAGE)


def test_sizes_of_several_stages_are_not_cached(config_of: Callable[..., Path]) -> None:
    stages = [{"patch_size": side, "batch_size": 2, "steps": 1} for side in (16, 32)]
    for trainer, config_class in (("fusion", FusionTrainingConfig), ("detail_experts", DetailExpertsTrainingConfig)):
        with pytest.raises(ConfigError, match="cached pairs have one size: give one stage, got 2"):
            load_config(config_class, config_of(trainer, stages=stages))


def test_a_run_upon_cached_pairs_does_not_look_at_pictures_again(
    config_of: Callable[..., Path], tmp_path: Path, folders: Path
) -> None:
    path = config_of("fusion")
    fusion_task(path).dataset(STAGE)
    hidden = (folders / "pictures").rename(folders / "elsewhere")
    try:
        assert train_by_config(path, overrides=[], resume=None)
    finally:
        hidden.rename(folders / "pictures")
    assert {each.name for each in (tmp_path / "run/export").iterdir()} == {"daff", "lq_encoder", "unet"}


@pytest.mark.parametrize("decodes", ["samples", "lq"])
def test_a_decoder_learns_from_cached_samples_or_from_the_damaged_latents(
    config_of: Callable[..., Path], decodes: str
) -> None:
    config = load_config(DetailExpertsTrainingConfig, config_of("detail_experts", decodes=decodes))
    prepared = prepare_detail_experts(config)
    cached: Any = prepared.task.dataset(STAGE)
    batch = default_collate([cached[(0, index)] for index in range(2)])
    decoded = []
    prepared.network.register_forward_hook(lambda _, inputs, output: decoded.append(inputs[0]))
    prepared.task.loss(prepared.network, batch)[0].backward()
    torch.testing.assert_close(decoded[0], batch["sampled"])
    vae = prepared.task.base.vae
    own = vae.encode(batch["lq"] * 2 - 1).latent_dist.mode() * vae.config["scaling_factor"]
    assert (
        (own - decoded[0]).abs().max() < 0.01 * own.abs().max()
        if decodes == "lq"
        else not torch.allclose(own, decoded[0])
    )
