import numpy as np
import pytest

from ldrestore.evaluation import read_results
from ldrestore.evaluation.contestants import INPUT
from ldrestore.evaluation.results import located
from ldrestore.evaluation.studies import stable_parts
from ldrestore.evaluation.studies.stable_parts import (
    AUTOENCODER,
    OWN_LATENTS,
    PLAIN,
    SOLVER,
    StablePartsOptions,
    measure_stable_parts,
    predictions_of,
    report_stable_parts,
    variants_of,
)
from ldrestore.evaluation.studies.study import StudyCall
from ldrestore.images.files import read_photo
from ldrestore.metrics.psnr import psnr
from tests.model_results import model_results
from tests.tiny_stable import tiny_stable

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' own

OPTIONS = StablePartsOptions(
    set="builtin", crop=32, steps=2, solver_steps=2, degradations=("rain", "haze"), severities=(0.4, 1.0)
)


@pytest.fixture(scope="module")
def studied(stable_folder, distance, tmp_path_factory):
    """What the study was given; measured once."""
    return StudyCall(out_dir=tmp_path_factory.mktemp("out"), models=(str(stable_folder),), limit=1)


@pytest.fixture(scope="module")
def results(studied):
    return measure_stable_parts(OPTIONS, studied)


def picture_by(results, studied, contestant, dataset):
    """Pixels of a result."""
    row = next(row for row in results.outputs if (row.contestant, row.dataset) == (contestant, dataset))
    return read_photo(located(row.path, out_dir=studied.out_dir, data_root=None)).pixels


def test_every_variant_is_the_pipelines_own(results, studied):
    assert not results.failures
    names = [row.name for row in results.contestants]
    assert names == [INPUT, "tiny", PLAIN, OWN_LATENTS, AUTOENCODER, SOLVER]
    lq = read_photo(studied.out_dir / results.picture("rain", "astronaut").lq).pixels
    stable = tiny_stable()
    calls = {
        "tiny": {"num_inference_steps": 2},
        PLAIN: {"num_inference_steps": 2, "refine": False},
        OWN_LATENTS: {"strength": 0.0},
        AUTOENCODER: {"strength": 0.0, "refine": False},
    }
    for name, options in calls.items():
        expected = stable(lq, tile="off", output_type="photo", **options).photos[0].pixels
        assert np.array_equal(picture_by(results, studied, name, "rain"), expected), name
    assert not np.array_equal(picture_by(results, studied, SOLVER, "rain"), picture_by(results, studied, PLAIN, "rain"))


def test_the_predictor_is_asked_at_every_severity(results):
    assert [row.dataset for row in results.estimates] == ["rain 0.4", "rain 1", "haze 0.4", "haze 1"]
    text = predictions_of(results)
    assert "|  | named right at 0.4 | named right at 1 | in all | named instead |" in text
    assert text.startswith("Named right, over all: ")


def test_the_report_follows_from_the_results(results):
    text = report_stable_parts(results)
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# What the parts of tiny are worth",
        "## The ceiling",
        "## Restoration",
        "## Against the input",
        "## What the parts add",
        "## Degradation predictor",
        "## What was measured",
    ]
    row = next(row for row in results.outputs if (row.contestant, row.dataset) == (AUTOENCODER, "clean"))
    assert f"at worst {row.scores['psnr']:.2f} dB" in text
    assert "squares of 32 pixels at the centre of builtin" in text and "'solver': 'dpmsolver++'" in text
    width = None
    for line in text.splitlines():
        width = None if not line.startswith("|") else width or line.count("|")
        assert width is None or line.count("|") == width, line


def test_differences_are_paired(results):
    values = {
        row.contestant: row.scores["psnr"] for row in results.outputs if row.dataset == "haze" and "psnr" in row.scores
    }
    gain = values["tiny"] - values[OWN_LATENTS]
    assert f"| haze | {gain:+.2f} |" in report_stable_parts(results)


def test_a_second_call_runs_no_model(results, studied, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("opened again")

    monkeypatch.setattr("ldrestore.evaluation.restore_step.open_contestant", fail)
    again = measure_stable_parts(OPTIONS, studied)
    assert again == results
    stored = read_results(studied.out_dir)
    assert stored.means == results.means


def test_what_was_not_measured_is_left_out():
    results = model_results({"rain": {"a": (20.0, 25.0)}}, model="tiny")
    text = report_stable_parts(results)
    assert "| rain | 1 | 20.00 | 25.00 |" in text
    assert "## The ceiling" not in text and "## Degradation predictor" not in text


def test_names_that_are_missed_are_told_by_severity():
    shares = {"rain 0.4": {"a": {"rain": 0.6, "snow": 0.4}, "b": {"snow": 0.9}}, "rain 1": {"a": {"rain": 1.0}}}
    figures = {dataset: {picture: (20.0, 20.0) for picture in rows} for dataset, rows in shares.items()}
    text = predictions_of(model_results(figures, model="tiny", estimates=shares))
    assert "| rain | 50 % | 100 % | 67 % | snow 33 % |" in text
    assert "Named right, over all: 67 %." in text


def test_the_solver_keeps_the_models_schedule(stable_folder):
    from ldrestore.evaluation.contestants import ModelRestorer

    contestant = variants_of(str(stable_folder), OPTIONS)[-1]
    scheduler = ModelRestorer(contestant, device="cpu").pipeline.scheduler
    assert type(scheduler).__name__ == "DPMSolverMultistepScheduler"
    assert scheduler.config.algorithm_type == "dpmsolver++"
    assert scheduler.config.beta_schedule == tiny_stable().scheduler.config.beta_schedule


def test_figures_are_the_metrics_own(results, studied):
    picture = results.picture("haze", "astronaut")
    gt = read_photo(studied.out_dir / picture.gt).pixels
    row = next(row for row in results.outputs if (row.contestant, row.dataset) == ("tiny", "haze"))
    assert row.scores["psnr"] == pytest.approx(psnr(picture_by(results, studied, "tiny", "haze"), gt), abs=1e-6)
    assert set(row.scores) == {"psnr", "st_lpips"}
    assert stable_parts.whole_name(results) == "tiny"
