import json
from dataclasses import replace

import numpy as np
import pytest
from measure_cbm3d import recipe_of, stored_psnr
from measure_default import (
    Bench,
    compare_with_cbm3d,
    measure_estimate,
    measure_real,
    measure_row,
    rows_of_degradations,
)
from measurement_file import MeasurementFile

from ldrestore.datasets.compared_pairs import synthetic_pairs
from ldrestore.datasets.pictures import list_pictures
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.records import hash_of_pixels
from ldrestore.regressors.factory import create_regressor
from ldrestore.structures import FIRST_SET
from tests.regressors.test_contract import tiny


@pytest.fixture
def bench(pipeline, folder, tmp_path):
    """Measures the tiny restorer on three small pictures."""
    return Bench(
        pipeline=pipeline,
        model="default",
        device="cpu",
        paths=list_pictures([folder]),
        real=None,
        file=MeasurementFile(tmp_path / "measurements.json", {"pictures": []}),
        quick=None,
    )


def test_the_first_set_is_measured_once_and_noise_thrice():
    rows = rows_of_degradations()
    assert {row.partition("(")[0] for row in rows} == set(FIRST_SET)
    assert len(rows) == len(set(rows)) == len(FIRST_SET) + 2


def test_a_row_holds_ours_and_its_peers(bench):
    measure_row(bench, "degradations", "low_light", synthetic_pairs(bench.paths, "low_light"))
    row = bench.file.row("degradations", "low_light")
    assert row["names"] == ["a.png", "b.png", "c.png"]
    assert set(row["means"]) == {
        "input_psnr",
        "restored_psnr",
        "gain_psnr",
        "clahe_psnr",
        "histogram_equalisation_psnr",
    }
    for metric, values in row["per_picture"].items():
        mean, low, high = row["means"][metric]
        assert low <= mean <= high and len(values) == 3
        assert mean == pytest.approx(np.mean(values), abs=1e-3)


def test_a_network_that_takes_hints_is_measured_with_the_damage_named_too(bench):
    hinted = replace(bench, pipeline=FastRestorePipeline(regressor=tiny("grid_nafnet")))
    hinted.pipeline.set_progress_bar_config(disable=True)
    assert hinted.named_damage("cdd11/low_rain") == {"rain": 1.0, "low_light": 1.0}
    assert hinted.named_damage("sots_indoor") == {"haze": 1.0}
    assert hinted.named_damage("rain") is hinted.named_damage("clean") is bench.named_damage("haze") is None
    measure_row(hinted, "degradations", "haze", synthetic_pairs(bench.paths[:1], "haze"))
    means = bench.file.row("degradations", "haze")["means"]
    assert means["named_psnr"] != means["restored_psnr"]


def test_distances_of_input_and_result_are_kept(bench):
    measure_row(
        bench, "mixtures", "cdd11/rain", synthetic_pairs(bench.paths, "rain"), distance=lambda images, gt: [0.5, 0.25]
    )
    means = bench.file.row("mixtures", "cdd11/rain")["means"]
    assert means["input_stlpips"] == [0.5, 0.5, 0.5] and means["restored_stlpips"] == [0.25, 0.25, 0.25]


def test_a_stored_row_is_not_measured_again(bench):
    def pairs():
        raise AssertionError("asked for")
        yield

    bench.file.add("clean", "clean", {"a": 1})
    measure_row(bench, "clean", "clean", pairs())
    assert bench.file.row("clean", "clean") == {"a": 1}


def test_a_model_without_estimate_has_no_section_of_it(bench, capsys):
    measure_estimate(bench)
    measure_real(bench)
    assert bench.file.rows == {}
    assert "this model gives none" in capsys.readouterr().out


def test_the_surest_name_of_the_estimate_is_counted(bench, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("measure_default.FIRST_SET", ("haze", "jpeg"))
    monkeypatch.setattr("measure_default.SEVERITIES", (0.4, 1.0))
    network = create_regressor(
        "prompted_nafnet",
        degradations=["jpeg", "haze"],
        width=4,
        middle_blk_num=1,
        enc_blk_nums=[1],
        dec_blk_nums=[1],
        num_prompts=3,
        prompt_dim=4,
        top_k=1,
    )
    network.estimator.weight.data.zero_()
    network.estimator.bias.data[:] = network.estimator.bias.new_tensor([1.0, -1.0])
    object.__setattr__(bench, "pipeline", FastRestorePipeline(regressor=network.eval()))
    bench.pipeline.set_progress_bar_config(disable=True)
    measure_estimate(bench)
    rows = bench.file.rows["estimate"]
    assert rows["jpeg"]["means"]["top1"] == [1.0, 1.0, 1.0]
    assert rows["haze"]["means"]["top1"] == [0.0, 0.0, 0.0]
    assert rows["haze"]["predicted"] == {"0.4": {"jpeg": 3}, "1.0": {"jpeg": 3}}


def test_cbm3d_is_read_back_for_the_same_noisy_pictures_alone(bench, capsys):
    recipe = recipe_of(25)
    pairs = list(synthetic_pairs(bench.paths, recipe))
    entries = {pair.name: {"lq_sha256": hash_of_pixels(pair.lq, None), "psnr": 30.0} for pair in pairs}
    assert stored_psnr({"rows": {recipe: entries}}, recipe, pairs[0]) == 30.0
    assert stored_psnr({}, recipe, pairs[0]) is None
    measure_row(bench, "degradations", recipe, pairs)
    stored = bench.file.path.with_name("cbm3d.json")
    stored.write_text(json.dumps({"rows": {recipe: entries}}))
    compare_with_cbm3d(bench)
    row = bench.file.row("cbm3d", recipe)
    assert row["means"]["cbm3d_psnr"] == [30.0, 30.0, 30.0]
    assert row["means"]["restored_psnr"][0] == pytest.approx(
        bench.file.row("degradations", recipe)["means"]["restored_psnr"][0], abs=2e-3
    )
    entries["b.png"]["lq_sha256"] = "of another picture"
    stored.write_text(json.dumps({"rows": {recipe: entries}}))
    bench.file.forget("cbm3d")
    compare_with_cbm3d(bench)
    assert bench.file.row("cbm3d", recipe) is None
    assert "run measure_cbm3d.py" in capsys.readouterr().out
