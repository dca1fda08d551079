"""The parts of a tiny model of the XL track, whose experts are looked at."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from ldrestore.errors import InputError
from ldrestore.evaluation.contestants import INPUT
from ldrestore.evaluation.studies.study import StudyCall
from ldrestore.evaluation.studies.xl_parts import (
    NO_EXPERTS,
    OWN,
    SHUFFLED,
    TOLD,
    XLParts,
    XLPartsOptions,
    beaten_datasets,
    beaten_line,
    idle_experts,
    measure_xl_parts,
    report_xl_parts,
    shuffle_experts,
    table_of_choices,
)
from ldrestore.evaluation.suites import load_suite
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.refiners.refined_decoder import decode_with_experts
from tests.model_results import model_results
from tests.tiny_xl_pipeline import tiny_xl

MakeCall = Callable[..., StudyCall]

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' own


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved tiny pipeline."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    with without_progress_bar():
        tiny_xl().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> XLPartsOptions:
    """Of a suite of two tasks upon the library's own pictures."""
    datasets = [
        {"name": name, "set": "builtin", "task": name, "recipe": f"{name}(severity=0.5)", "crop": 16}
        for name in ("rain", "low_light")
    ]
    path = tmp_path_factory.mktemp("suite") / "two.yaml"
    path.write_text(yaml.safe_dump({"name": "two", "summary": "Two.", "metrics": ["psnr"], "datasets": datasets}))
    return XLPartsOptions(suite=str(path), steps=2, counted=1, counted_steps=1)


@pytest.fixture
def found(model: Path, options: XLPartsOptions, call: MakeCall) -> XLParts:
    """What the study finds."""
    return measure_xl_parts(options, call(model))


def test_all_variants_restore_and_differ_where_they_should(
    found: XLParts, model: Path, options: XLPartsOptions, call: MakeCall
) -> None:
    results = found.results
    assert not results.failures
    assert [row.name for row in results.contestants] == [INPUT, "tiny", TOLD, OWN, NO_EXPERTS, SHUFFLED]
    for dataset in ("rain", "low_light"):
        hashes = {row.contestant: row.sha256 for row in results.outputs if row.dataset == dataset}
        assert len(set(hashes.values())) == len(hashes) == 6
    given = {row.name: dict(row.options) for row in results.contestants}
    assert given["tiny"]["degradations"] is None and "degradations" not in given[TOLD]
    assert given[OWN]["strength"] == 0 and given[NO_EXPERTS]["refine"] is False
    counts = found.choices["rain"]["counts"]
    assert list(counts) == ["level 0", "level 1", "level 2"] and all(sum(one) == 1 for one in counts.values())
    text = report_xl_parts(found)
    assert text.startswith("# What the parts of tiny are worth") and "the experts, upon the same samples" in text
    again = measure_xl_parts(options, call(model))  # from what is there
    assert again.choices == found.choices and again.results.outputs == results.outputs


def test_a_shuffled_model_goes_through_the_expert_after_the_chosen_one() -> None:
    pipeline = tiny_xl()
    daem = pipeline.daem
    torch.manual_seed(0)
    latents, lq = torch.randn(1, 4, 4, 4), torch.rand(1, 3, 16, 16)
    features = pipeline.lq_encoder(lq).features
    pictures, choices = [], []
    for _ in range(2):
        with torch.no_grad():
            pictures.append(decode_with_experts(pipeline.vae, latents, daem=daem, features=features, lq=lq))
            deepest = daem.levels[-1].experts.router(daem.levels[-1].conv_in(torch.zeros(1, 32, 4, 4) + 0.1))
        choices.append(deepest.probabilities)
        shuffle_experts(pipeline)
    torch.testing.assert_close(choices[1], choices[0].roll(1, 1))
    assert not torch.allclose(pictures[0], pictures[1])


def test_four_shuffles_are_none_and_a_model_without_experts_has_nothing_to_shuffle() -> None:
    pipeline = tiny_xl()
    before = {key: value.clone() for key, value in pipeline.daem.state_dict().items()}
    for _ in range(4):
        shuffle_experts(pipeline)
    assert all(torch.equal(value, before[key]) for key, value in pipeline.daem.state_dict().items())
    with pytest.raises(InputError, match="takes a model with detail experts; this one has none"):
        shuffle_experts(tiny_xl(daem=None))


def test_a_model_without_experts_or_none_at_all_is_refused(
    options: XLPartsOptions, call: MakeCall, tmp_path: Path
) -> None:
    with without_progress_bar():
        tiny_xl(daem=None).save_pretrained(tmp_path / "plain")
    with pytest.raises(InputError, match="takes a model with detail experts"):
        measure_xl_parts(options, call(tmp_path / "plain"))
    assert not (tmp_path / "out/shuffled").exists() or not any((tmp_path / "out/shuffled").iterdir())
    with pytest.raises(InputError, match="takes one --model, got 0"):
        measure_xl_parts(options, call())


def test_a_task_is_won_where_all_metrics_are_better() -> None:
    won = model_results({"rain": {"a": (20.0, 25.0)}, "haze": {"a": (20.0, 19.0)}}, model="tiny")
    results = replace(won, contestants=[*won.contestants, replace(won.contestants[1], name=TOLD)])
    assert beaten_datasets(won, "tiny") == ["rain"]
    assert beaten_line(results, "tiny") == (
        "Without texts: better than degraded in psnr on 1 of 2 tasks (rain). "
        "Told the task: better than degraded in psnr on 0 of 2 tasks."
    )


def test_experts_that_nothing_goes_through_are_named() -> None:
    choices = {
        "rain": {"counts": {"level 0": [3, 0, 1, 0], "level 1": [1, 1, 1, 1]}},
        "haze": {"counts": {"level 0": [0, 0, 2, 2], "level 1": [4, 0, 0, 0]}},
    }
    assert idle_experts(choices) == ["level 0: 1"]
    assert "No picture goes through level 0: 1." in table_of_choices(choices)
    assert "| rain | 3 / 0 / 1 / 0 | 1 / 1 / 1 / 1 |" in table_of_choices(choices)
    assert "No expert is idle." in table_of_choices({"rain": {"counts": {"level 0": [1, 1]}}})
    assert table_of_choices({}) == ""


def test_the_suite_has_five_tasks_that_can_be_told() -> None:
    suite = load_suite("xl")
    assert [one.task for one in suite.datasets] == ["rain", "haze", "gaussian_noise", "motion_blur", "low_light"]
    assert not any(one.options for one in suite.datasets)  # a model of another track takes part as it is
