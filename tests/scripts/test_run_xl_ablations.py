"""The whole study at tiny sizes: two rows, two seeds, stopped and gone on with."""

from pathlib import Path
from typing import Any

import pytest
import run_xl_ablations
import yaml
from run_xl_ablations import ROOT, AblationStudyConfig, Places, keep, overrides_of, run_ablations

from ldrestore.config import load_config
from ldrestore.errors import ConfigError
from ldrestore.evaluation.results import read_results
from ldrestore.evaluation.studies.xl_ablations import FUSION_ROWS
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.training.trainers import load_training_config
from tests.tiny_xl import tiny_xl_base
from tests.training.stable_runs import save_pictures

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' own

CONFIG = ROOT / "scripts/xl_ablations.yaml"
STAGES = "stages=[{patch_size: 16, batch_size: 2, steps: 2}]"
TINY = {
    "seeds": [0, 1],
    "limit": 1,
    "study": ["set=builtin", "crop=16", "steps=1", "degradations=[rain]", "metrics=[psnr]"],
    "shared": [STAGES, "validation=null", "run.num_workers=0", "cache.num_pairs=2", "optimizer.warmup_steps=0"],
    "rows": [
        {
            "name": "full",
            "config": "configs/xl/ablations/full.yaml",
            "overrides": ["fusion.dim=64", "switch.after_steps=1", "cache.path=$OUT/pairs.safetensors"],
        },
        {
            "name": "full_experts",
            "config": "configs/xl/tiny_experts_cpu.yaml",
            "upon": "full",
            "overrides": [
                "sizes={hidden_channels: [8, 8, 8], head_dim: 4}",
                "latents={sampled_share: 1.0, min_steps: 1, max_steps: 1}",
                "loss.lpips=0",
                "cache.path=$OUT/samples-$SEED.safetensors",
            ],
        },
    ],
}


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A base and pictures."""
    with without_progress_bar():
        for name, part in tiny_xl_base().items():
            part.save_pretrained(tmp_path / "base" / name)
    return Places(base=tmp_path / "base", pictures=save_pictures(tmp_path / "pictures"), out=tmp_path / "out")


def study_of(path: Path, **changed: Any) -> AblationStudyConfig:
    """The tiny study, from a file."""
    path.write_text(yaml.safe_dump({**TINY, **changed}))
    return load_config(AblationStudyConfig, path)


@pytest.mark.e2e  # five runs
def test_a_study_goes_on_where_it_stopped_and_leaves_a_table(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, train, runs = study_of(tmp_path / "study.yaml"), run_xl_ablations.train_by_config, []

    def train_or_stop(path: Path, *, overrides: list[str], resume: str) -> bool:
        runs.append(next(word.rpartition("/")[2] for word in overrides if word.startswith("run.output_dir=")))
        return len(runs) != 2 and train(path, overrides=overrides, resume=resume)

    monkeypatch.setattr(run_xl_ablations, "train_by_config", train_or_stop)
    assert not run_ablations(config, places, data_root=None)
    assert run_ablations(config, places, data_root=None)
    assert runs == ["full-0", "full-1", "full-1", "full_experts-0", "full_experts-1"]
    table = keep(places, tmp_path / "checkout").read_text()
    assert "| full DAFF | 2 |" in table and "| DAFF + task prompt + DAEM | 2 |" in table
    kept = read_results(tmp_path / "checkout/docs/xl/ablations.json")
    assert not kept.failures and not kept.outputs and kept.means
    assert {path.name for path in places.out.glob("*.safetensors")} == {
        "pairs.safetensors",
        "samples-0.safetensors",
        "samples-1.safetensors",
    }


def test_a_row_comes_after_what_it_is_trained_upon(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="full_experts is trained upon full, which is no row before it"):
        study_of(tmp_path / "study.yaml", rows=TINY["rows"][::-1])


def test_the_study_of_the_repository_trains_all_rows_with_equal_budgets() -> None:
    config = load_config(AblationStudyConfig, CONFIG)
    places = Places(base=Path("base"), pictures=Path("pictures"), out=Path("out"))
    assert {row.name for row in config.rows} == {row.model for row in FUSION_ROWS.values()}
    loaded = {
        row.name: load_training_config(ROOT / row.config, overrides_of(row, 1, config, places)) for row in config.rows
    }
    for is_upon in (False, True):
        runs = [loaded[row.name] for row in config.rows if (row.upon is not None) == is_upon]
        for section in ("stages", "optimizer", "data", "ema"):
            assert all(getattr(run, section) == getattr(runs[0], section) for run in runs)
        assert all(run.run.seed == 1 and run.cache.num_pairs == runs[0].cache.num_pairs for run in runs)
    assert loaded["full_experts"].restorer == Path("out/runs/full-1/export")
    assert loaded["full_experts"].cache.path == Path("out/samples-1.safetensors")
    assert loaded["full_lq_experts"].decodes == "lq" and not loaded["full_decoder"].has_experts
