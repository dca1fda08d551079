"""Tables 4 and 5 with tiny models of two rows and two seeds."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ldrestore.errors import InputError
from ldrestore.evaluation.published_tables import find_published
from ldrestore.evaluation.studies.study import StudyCall
from ldrestore.evaluation.studies.xl_ablations import (
    ALL,
    FUSION_ROWS,
    PRINTED,
    XLAblationOptions,
    mean_and_spread,
    measure_xl_ablations,
    model_and_seed,
    report_xl_ablations,
    values_over_seeds,
)
from ldrestore.guides.loading_quietly import without_progress_bar
from tests.tiny_xl_pipeline import tiny_daff, tiny_xl

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' own

OPTIONS = XLAblationOptions(set="builtin", crop=16, steps=1, degradations=("rain", "haze"), metrics=("psnr",))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two seeds of the full row, and one of that with experts."""
    root = tmp_path_factory.mktemp("models")
    made = {
        "full-0": tiny_xl(daem=None),
        "full-1": tiny_xl(daem=None, daff=tiny_daff(num_single=1)),
        "full_experts-0": tiny_xl(),
    }
    with without_progress_bar():
        for name, pipeline in made.items():
            pipeline.save_pretrained(root / name)
    return [root / name for name in made]


def test_rows_are_means_over_seeds_and_missing_ones_are_told(
    models: list[Path], call: Callable[..., StudyCall]
) -> None:
    results = measure_xl_ablations(OPTIONS, call(*models))
    assert not results.failures
    names = ["full-0", "full-1", "daff_task_prompt-0", "daff_task_prompt-1", "experts-0", "experts_own_latents-0"]
    assert [row.name for row in results.contestants] == ["input", *names]
    hashes = {row.contestant: row.sha256 for row in results.outputs if row.dataset == "rain"}
    assert len(set(hashes.values())) == len(hashes)  # a prompt and a seed change the picture
    means = {row.contestant: row.mean for row in results.means if row.dataset == ALL}
    full = mean_and_spread([means["full-0"], means["full-1"]], 2)
    text = report_xl_ablations(results)
    assert f"| full DAFF | 2 | {full} | 27.14 |" in text
    assert "| no fusion | not measured |  | 23.12 |" in text
    assert f"| DAFF + task prompt + DAEM | 1 | {means['experts-0']:.2f} | 30.27 |" in text
    assert f"| degraded |  | {means['input']:.2f} |" in text
    assert values_over_seeds(results, ["full-0", "nobody"], "psnr") == [means["full-0"]]


def test_the_spread_is_that_of_a_sample_of_seeds() -> None:
    assert mean_and_spread([20.0, 22.0], 2) == "21.00 ± 1.41"
    assert mean_and_spread([20.0], 1) == "20.0"
    assert mean_and_spread([], 2) == ""


def test_every_row_of_the_papers_tables_is_there() -> None:
    for table, place in PRINTED.items():
        ours = [row.tables[table] for row in FUSION_ROWS.values() if table in row.tables]
        assert sorted(ours) == sorted(find_published(place).rows)


@pytest.mark.parametrize("folder", ["full", "full-", "full-a", "-1"])
def test_a_folder_without_a_seed_is_refused(folder: str, call: Callable[..., StudyCall]) -> None:
    with pytest.raises(InputError, match="expected a folder ROW-SEED such as full-0, got"):
        measure_xl_ablations(OPTIONS, call(f"somewhere/{folder}"))


def test_a_folder_of_no_row_is_refused(call: Callable[..., StudyCall]) -> None:
    assert model_and_seed("full_no_task_prompt-12") == ("full_no_task_prompt", 12)
    with pytest.raises(InputError, match="mine-0 is no row's; name folders ROW-SEED of double, full,"):
        measure_xl_ablations(OPTIONS, call("somewhere/mine-0"))
