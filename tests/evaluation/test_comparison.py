from dataclasses import replace

import pytest

from ldrestore.errors import InputError, UnknownNameError
from ldrestore.evaluation.comparison import compare_results, other_versions
from ldrestore.evaluation.results import ContestantRow, MetricRow, OutputRow, PictureRow, Results, SetScoreRow


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


@pytest.mark.parametrize("name", ["psnr", "consistency"])
def test_a_value_that_was_infinite_and_is_not_is_a_regression_of_every_metric(name: str) -> None:
    rows = (metric(name, lower=False),)
    equal, near = (replace(results({name: value}), metrics=rows) for value in (float("inf"), 59.9))
    assert [change.is_regression for change in compare_results(equal, near)] == [True]
    assert [change.is_regression for change in compare_results(near, equal)] == [False]
    assert compare_results(equal, equal) == []


@pytest.mark.parametrize(("name", "old", "new"), [("psnr", 30.0, 29.9), ("lpips", 0.10, 0.105), ("niqe", 5.0, 5.1)])
def test_as_much_worse_as_is_tolerated_is_no_regression_and_a_thousandth_more_is(
    name: str, old: float, new: float
) -> None:
    worse = new + (new - old) * 0.001
    (change,) = compare_results(results({name: old}), results({name: old + (new - old) * 0.999}))
    assert not change.is_regression and change.gain < 0
    (change,) = compare_results(results({name: old}), results({name: worse}))
    assert change.is_regression


def test_no_tolerance_at_all_finds_the_smallest_loss() -> None:
    old, new = results({"psnr": 30.0}), results({"psnr": 29.9999})
    assert compare_results(old, new, tolerances={"psnr": 0.0})[0].is_regression
    assert not compare_results(old, old, tolerances={"psnr": 0.0})


def test_a_picture_that_is_gone_is_named_with_what_it_had() -> None:
    (change,) = compare_results(results({"psnr": 30.0}, {"psnr": 25.0}), results({"psnr": 30.0}))
    assert change.is_regression and str(change) == "a, d/1: psnr 25.0000 → none"
    (change,) = compare_results(results({"psnr": 30.0}), results({"psnr": 30.0}, {"psnr": 25.0}))
    assert not change.is_regression and str(change) == "a, d/1: psnr none → 25.0000"


def test_each_seed_is_compared_with_itself_and_named() -> None:
    def drawn(*values):
        whole = results({"psnr": 1.0})
        rows = (replace(whole.outputs[0], seed=seed, scores={"psnr": value}) for seed, value in enumerate(values))
        return replace(whole, outputs=tuple(rows))

    changes = compare_results(drawn(30.0, 31.0, 32.0), drawn(30.0, 32.0, 31.0))
    assert [str(change) for change in changes] == [
        "a, d/0, seed 2: psnr 32.0000 → 31.0000",
        "a, d/0, seed 1: psnr 31.0000 → 32.0000",
    ]
    assert [change.is_regression for change in changes] == [True, False]


def test_regressions_come_before_what_is_tolerated_however_small_they_are() -> None:
    old = results({"psnr": 30.0, "lpips": 0.10})
    changes = compare_results(old, results({"psnr": 29.92, "lpips": 0.12}))
    assert [(change.key[-1], change.is_regression) for change in changes] == [("lpips", True), ("psnr", False)]
    assert changes[1].gain < changes[0].gain < 0  # a dB is not a unit of LPIPS


def test_only_contestants_of_both_are_compared_and_their_order_is_nothing() -> None:
    one, other = results({"psnr": 30.0}), results({"psnr": 20.0}, contestant="b")
    both = replace(one, contestants=one.contestants + other.contestants, outputs=one.outputs + other.outputs)
    turned = replace(both, contestants=both.contestants[::-1], outputs=both.outputs[::-1])
    assert compare_results(one, both) == compare_results(both, one) == compare_results(both, turned) == []


def test_a_comparison_turned_round_has_its_gains_turned_round() -> None:
    old = results({"psnr": 30.0, "lpips": 0.1, "niqe": 5.0}, {"psnr": 22.0, "lpips": 0.3})
    new = results({"psnr": 31.0, "lpips": 0.2, "niqe": 4.0}, {"psnr": 21.0, "lpips": 0.2})
    gains = {change.key: change.gain for change in compare_results(old, new)}
    back = {change.key: change.gain for change in compare_results(new, old)}
    assert gains.keys() == back.keys() and len(gains) == 5
    assert all(gains[key] == pytest.approx(-back[key]) for key in gains)


def of_a_set(fid: float, *, num_pictures: int | None) -> Results:
    """Results whose one contestant has this FID over a dataset."""
    row = SetScoreRow(contestant="a", dataset="d", scores={"fid": fid}, num_pictures=num_pictures)
    whole = results({"psnr": 30.0})
    return replace(whole, metrics=(*whole.metrics, metric("fid", lower=True)), set_scores=(row,))


@pytest.mark.parametrize(("fid", "is_regression"), [(41.0, True), (40.5, False), (30.0, False)])
def test_metrics_of_whole_datasets_are_compared(fid: float, is_regression: bool) -> None:
    (change,) = compare_results(of_a_set(40.0, num_pictures=500), of_a_set(fid, num_pictures=500))
    assert change.is_regression == is_regression
    assert change.gain == pytest.approx(40.0 - fid)
    assert str(change) == f"a, d/all 500 pictures: fid 40.0000 → {fid:.4f}"


def test_a_metric_of_fewer_pictures_is_another_one_and_the_old_one_is_gone() -> None:
    gone, new = compare_results(of_a_set(40.0, num_pictures=500), of_a_set(40.0, num_pictures=499))
    assert gone.is_regression and gone.new is None
    assert not new.is_regression and new.old is None
    unknown = of_a_set(40.0, num_pictures=None)
    assert str(compare_results(unknown, of_a_set(50.0, num_pictures=None))[0]).startswith("a, d/all pictures: fid")
