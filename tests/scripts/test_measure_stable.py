import json

import numpy as np
import pytest
import torch
from measure_stable import (
    SECTIONS,
    Bench,
    described_model,
    dpm_solver,
    measure_ceiling,
    measure_clean,
    measure_predictor,
    measure_prior,
    measure_restoration,
    measure_solvers,
    open_bench,
    parse_arguments,
    surest_name,
    write_tables,
)
from measured_rows import header_of
from measurement_file import MeasurementFile

from ldrestore.datasets.pictures import list_pictures
from ldrestore.metrics.psnr import psnr
from tests.tiny_stable import tiny_stable

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' own

COMMAND = "python scripts/measure_stable.py tiny"
SETTINGS = {"crop": 32, "severity": 0.5, "steps": 2, "seed": 1}


@pytest.fixture(autouse=True)
def distance(monkeypatch):
    """A distance without weights."""
    monkeypatch.setattr(
        "measure_stable.ShiftTolerantDistance",
        lambda device: lambda images, gt: [float(np.abs(image - gt.astype(float)).mean() / 255) for image in images],
    )


@pytest.fixture
def stable():
    return tiny_stable()


@pytest.fixture
def bench(stable, folder, tmp_path):
    """Two of three pictures, two degradations."""
    paths = list_pictures([folder])
    header = header_of(paths, settings=SETTINGS, model=described_model(stable))
    file = MeasurementFile(tmp_path / "stable" / "measurements.json", header)
    return Bench(
        pipeline=stable, paths=paths[:2], file=file, degradations=("rain", "haze"), command=COMMAND, **SETTINGS
    )


def test_the_same_sample_is_decoded_twice(bench):
    lq = bench.pair(bench.paths[0], "rain(severity=0.5)").lq
    plain, restored = bench.restore_both(lq)
    options = {"num_inference_steps": 2, "seed": 1}
    assert np.array_equal(plain, bench.pipeline(lq, refine=False, **options).photos[0].pixels)
    assert np.array_equal(restored, bench.pipeline(lq, **options).photos[0].pixels)
    assert not np.array_equal(plain, restored)


def test_without_refined_decoder_both_are_the_same(bench, stable):
    stable.register_modules(drm=None)
    plain, restored = bench.restore_both(bench.pair(bench.paths[0], "clean").lq)
    assert np.array_equal(plain, restored)


def test_pairs_are_made_once_of_the_centre(bench):
    pair = bench.pair(bench.paths[0], "rain(severity=0.5)")
    assert pair.gt.shape == (32, 32, 3) and not np.array_equal(pair.gt, pair.lq)
    assert bench.pair(bench.paths[0], "rain(severity=0.5)") is pair
    again = Bench(pipeline=None, paths=bench.paths, file=bench.file, command=COMMAND, **SETTINGS)
    assert np.array_equal(again.pair(bench.paths[0], "rain(severity=0.5)").lq, pair.lq)


def test_every_section_keeps_values_of_each_picture(bench):
    for measure in SECTIONS.values():
        measure(bench)
    rows = json.loads(bench.file.path.read_text())["rows"]
    assert set(rows) == set(SECTIONS)
    for section, named in rows.items():
        expected = {"ceiling": {"round_trip"}, "clean": {"clean"}}.get(section, {"rain", "haze"})
        assert set(named) == expected
        for row in named.values():
            assert row["names"] == ["a.png", "b.png"]
            assert all(len(values) == 2 for values in row["per_picture"].values())
    pair = bench.pair(bench.paths[1], "haze(severity=0.5)")
    values = rows["restoration"]["haze"]["per_picture"]
    assert values["input_psnr"][1] == pytest.approx(psnr(pair.lq, pair.gt), abs=1e-4)
    assert rows["predictor"]["rain"]["predicted"].keys() == {"0.4", "0.7", "1"}


def test_what_stands_in_for_the_samples(bench):
    measure_prior(bench)
    measure_ceiling(bench)
    pair = bench.pair(bench.paths[0], "rain(severity=0.5)")
    unsampled = bench.pipeline(pair.lq, strength=0.0).photos[0].pixels
    assert bench.file.row("prior", "rain")["per_picture"]["unsampled_psnr"][0] == pytest.approx(
        psnr(unsampled, pair.gt), abs=1e-4
    )
    round_trip = bench.pipeline(pair.gt, strength=0.0, refine=False).photos[0].pixels
    assert bench.file.row("ceiling", "round_trip")["per_picture"]["psnr"][0] == pytest.approx(
        psnr(round_trip, pair.gt), abs=1e-4
    )


def test_the_solver_takes_the_schedule_and_goes_again(bench, stable):
    own = stable.scheduler
    with dpm_solver(stable):
        assert type(stable.scheduler).__name__ == "DPMSolverMultistepScheduler"
        assert stable.scheduler.config.algorithm_type == "dpmsolver++"
        assert stable.scheduler.config.beta_schedule == own.config.beta_schedule
    assert stable.scheduler is own
    with pytest.raises(RuntimeError, match="stop"), dpm_solver(stable):
        raise RuntimeError("stop")
    assert stable.scheduler is own
    measure_solvers(bench)
    assert set(bench.file.rows["solvers"]) == {"rain", "haze"}


@pytest.mark.parametrize(("own_steps", "has_own"), [(3, True), (2, False)])
def test_solvers_bring_what_they_are_held_against_unless_the_restoration_is_that(
    bench, monkeypatch, own_steps, has_own
):
    monkeypatch.setattr("measure_stable.OWN_STEPS", own_steps)
    measure_solvers(bench)
    row = bench.file.row("solvers", "rain")
    assert ("own_psnr" in row["means"]) == has_own
    if has_own:
        pair = bench.pair(bench.paths[0], "rain(severity=0.5)")
        own = bench.pipeline(pair.lq, refine=False, num_inference_steps=3, seed=1).photos[0].pixels
        assert row["per_picture"]["own_psnr"][0] == pytest.approx(psnr(own, pair.gt), abs=1e-4)


def test_the_surest_name_is_the_pipelines(bench, stable):
    lq = bench.pair(bench.paths[0], "rain(severity=1)").lq
    assert surest_name(stable, lq) == stable(lq, strength=0.0).degradations[0].ranked()[0][0]
    stable.predictor.fc2.weight.data.zero_()
    stable.predictor.fc2.bias.data[:] = stable.predictor.fc2.bias.new_tensor([0.0, 1.0, 0.0])
    measure_predictor(bench)
    rows = bench.file.rows["predictor"]
    assert rows["haze"]["means"]["top1"] == [1.0, 1.0, 1.0] and rows["rain"]["means"]["top1"] == [0.0, 0.0, 0.0]
    assert rows["rain"]["predicted"] == {severity: ["haze", "haze"] for severity in ("0.4", "0.7", "1")}


def test_a_stopped_run_goes_on_with_the_next_picture(bench, stable, monkeypatch):
    measure_clean(Bench(pipeline=stable, paths=bench.paths[:1], file=bench.file, command=COMMAND, **SETTINGS))
    first = bench.file.row("clean", "clean")["per_picture"]["restored_psnr"]
    file = MeasurementFile(bench.file.path, bench.file.header)
    asked = []
    monkeypatch.setattr(Bench, "restore_both", lambda self, lq: asked.append(lq) or (lq, lq))
    measure_clean(Bench(pipeline=stable, paths=bench.paths, file=file, command=COMMAND, **SETTINGS))
    assert len(asked) == 1
    row = file.row("clean", "clean")
    assert row["names"] == ["a.png", "b.png"] and row["per_picture"]["restored_psnr"] == [*first, 100.0]
    assert row["means"]["restored_psnr"][0] == pytest.approx((first[0] + 100) / 2, abs=1e-3)


def test_a_row_of_another_environment_is_told_of_once_and_one_of_none_refused(bench, capsys):
    measure_clean(bench)
    row = bench.file.row("clean", "clean")
    assert row["command"] == COMMAND and row["environment"]["threads"] == torch.get_num_threads()
    del row["environment"]
    with pytest.raises(ValueError, match=r"of another environment \(nobody knows what\) than this one"):
        measure_clean(bench)
    capsys.readouterr()
    bench.file.may_drop = True
    measure_clean(bench)
    assert capsys.readouterr().out.count("measured anew") == 1


def test_rows_know_their_environment_and_are_not_added_to_in_another(bench, stable, monkeypatch):
    measure_clean(Bench(pipeline=stable, paths=bench.paths[:1], file=bench.file, command=COMMAND, **SETTINGS))
    row = bench.file.row("clean", "clean")
    assert row["environment"]["device"] == "the CPU" and row["environment"]["packages"]["torch"]
    other = {**row["environment"], "device": "another"}
    monkeypatch.setattr("measure_stable.environment_of", lambda device: other)
    with pytest.raises(
        ValueError, match=r"row clean, clean of another environment \(the CPU, .*measure anew with --fresh"
    ):
        measure_clean(bench)
    bench.file.may_drop = True
    measure_clean(bench)
    row = bench.file.row("clean", "clean")
    assert row["environment"] == other and row["names"] == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--crop", "4"], "--crop must be at least 8, got 4"),
        (["--steps", "0"], "--steps must be at least 1"),
        (["--num-pictures", "0"], "--num-pictures must be at least 1"),
        (["--severity", "1.5"], r"--severity must lie in \[0, 1\], got 1.5"),
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_is_loaded(folder, tmp_path, words, message):
    given = [str(tmp_path / "no model"), "--val", str(folder), "--out", str(tmp_path / "x.json"), *words]
    with pytest.raises(ValueError, match=message):
        open_bench(parse_arguments(given))


def test_a_saved_model_is_measured_and_its_tables_written(stable, folder, tmp_path):
    stable.save_pretrained(tmp_path / "model")
    out = tmp_path / "out" / "measurements.json"
    given = [str(tmp_path / "model"), "--val", str(folder), "--out", str(out), "--num-pictures", "1", "--steps", "1"]
    words = ["--crop", "16", "--degradations", "rain", "--only", "restoration"]
    bench = open_bench(parse_arguments([*given, *words]))
    measure_restoration(bench)
    write_tables(bench.file)
    text = out.with_suffix(".md").read_text()
    assert "# Measurements of model" in text and "| rain | 1 |" in text
    options = "--num-pictures 1 --crop 16 --severity 0.5 --steps 1 --seed 0 --device cpu --dtype float32"
    python = f"    OMP_NUM_THREADS={torch.get_num_threads()} python scripts/measure_stable.py model"
    command = f"{python} --val PICTURES --out measurements.json {options} --degradations rain --only restoration\n"
    assert command in text
    assert str(tmp_path) not in text
    with pytest.raises(ValueError, match="of other weights, pictures or settings"):
        open_bench(parse_arguments([*given, "--crop", "24"]))
    assert open_bench(parse_arguments([*given, "--crop", "24", "--fresh"])).file.rows == {}


def test_other_tracks_and_empty_folders_are_refused(folder, tmp_path):
    out = ["--out", str(tmp_path / "measurements.json")]
    with pytest.raises(ValueError, match="name a model of the stable track"):
        open_bench(parse_arguments(["default", "--val", str(folder), *out]))
    tiny_stable().save_pretrained(tmp_path / "model")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no pictures below"):
        open_bench(parse_arguments([str(tmp_path / "model"), "--val", str(tmp_path / "empty"), *out]))
