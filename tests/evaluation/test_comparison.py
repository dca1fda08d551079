from dataclasses import replace

import pytest

from ldrestore.errors import InputError, UnknownNameError
from ldrestore.evaluation.comparison import compare_results, other_versions
from ldrestore.evaluation.results import ContestantRow, MetricRow, OutputRow, PictureRow, Results


def metric(name, *, lower):
    return MetricRow(
        name=name,
        compares="pairs",
        lower_is_better=lower,
        digits=2,
        source="",
        version="1",
        weights_sha256=None,
    )


def results(*scores, contestant="a"):
    row = ContestantRow(name=contestant, kind="model", options={}, identity="x", num_seeds=1, licence=None)
    return Results(
        suite="s",
        summary="",
        ldrestore="0",
        protocol={"name": "uint8", "colour": "rgb"},
        environments={},
        contestants=(row,),
        metrics=(metric("psnr", lower=False), metric("lpips", lower=True), metric("niqe", lower=True)),
        pictures=tuple(
            PictureRow(
                dataset="d",
                name=str(index),
                cluster="c",
                width=1,
                height=1,
                lq="l",
                gt="g",
                lq_sha256="1",
                gt_sha256="2",
            )
            for index in range(len(scores))
        ),
        outputs=tuple(
            OutputRow(contestant=contestant, dataset="d", picture=str(index), path="p", sha256="s", scores=values)
            for index, values in enumerate(scores)
        ),
    )


@pytest.mark.parametrize(
    ("old", "new", "is_regression"),
    [
        ({"psnr": 30.0}, {"psnr": 29.8}, True),
        ({"psnr": 30.0}, {"psnr": 29.95}, False),
        ({"psnr": 30.0}, {"psnr": 31.0}, False),
        ({"psnr": float("inf")}, {"psnr": 60.0}, True),
        ({"lpips": 0.10}, {"lpips": 0.12}, True),
        ({"lpips": 0.10}, {"lpips": 0.08}, False),
        ({"niqe": 5.0}, {"niqe": 5.05}, False),
        ({"niqe": 5.0}, {"niqe": 5.2}, True),
        ({"psnr": 30.0}, {}, True),
        ({}, {"psnr": 30.0}, False),
    ],
)
def test_regressions_are_what_is_worse_than_the_tolerance_or_gone(old, new, is_regression):
    (change,) = compare_results(results(old), results(new))
    assert change.is_regression is is_regression


def test_equal_results_differ_in_nothing_and_worse_ones_come_first():
    assert compare_results(results({"psnr": 30.0}), results({"psnr": 30.0})) == []
    changes = compare_results(results({"psnr": 30.0}, {"psnr": 30.0}), results({"psnr": 33.0}, {"psnr": 20.0}))
    assert [change.gain for change in changes] == [-10.0, 3.0]
    assert str(changes[0]) == "a, d/1: psnr 30.0000 → 20.0000"


def test_other_tolerances():
    old, new = results({"psnr": 30.0}), results({"psnr": 29.0})
    assert not compare_results(old, new, tolerances={"psnr": 1.5})[0].is_regression
    with pytest.raises(UnknownNameError, match="metric of --tolerance"):
        compare_results(old, new, tolerances={"psnrr": 1.5})


def weighed(results, **facts):
    return replace(
        results, metrics=tuple(replace(row, **facts) if row.name == "lpips" else row for row in results.metrics)
    )


def test_other_versions_of_a_metric_are_named():
    old = results({"psnr": 30.0})
    assert other_versions(old, old) == []
    (note,) = other_versions(old, weighed(old, version="2"))
    assert note.startswith("lpips was computed by 1 and by 2; ")
    assert not other_versions(old, weighed(old, version="2", weights_sha256="2", unavailable="no weights"))
    compare_results(weighed(old, weights_sha256="1"), weighed(old, unavailable="no weights"))


def test_what_cannot_be_compared_is_refused():
    old = results({"psnr": 30.0})
    with pytest.raises(InputError, match="of the suites s and t"):
        compare_results(old, replace(old, suite="t"))
    with pytest.raises(InputError, match="differ in"):
        compare_results(old, replace(old, protocol={"name": "uint8", "colour": "y_limited"}))
    with pytest.raises(InputError, match="d/0 is another picture"):
        compare_results(old, replace(old, pictures=(replace(old.pictures[0], gt_sha256="3"),)))
    with pytest.raises(InputError, match=r"lpips is computed with other weights in each of the results; .* --rescore"):
        compare_results(weighed(old, weights_sha256="1"), weighed(old, weights_sha256="2"))
    with pytest.raises(InputError, match="no contestant is in both"):
        compare_results(old, results({"psnr": 30.0}, contestant="b"))
