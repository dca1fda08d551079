"""Means, averages and comparisons of the scores of a benchmark."""

import dataclasses
import math

import pytest

from ldrestore.evaluation.results import SetScoreRow
from ldrestore.evaluation.summaries import cap_of, condensed, summarised, values_of
from tests.evaluation.tiny_results import FID, LPIPS, PSNR, output, results_of


def scored(name, values, of="rain", **options):
    return [output(name, of, f"{index}.png", psnr=value, **options) for index, value in enumerate(values)]


def mean_row(results, contestant, of="rain", metric="psnr"):
    found = [row for row in results.means if (row.contestant, row.dataset, row.metric) == (contestant, of, metric)]
    return found[0] if found else None


def test_a_mean_is_over_pictures_with_an_interval_over_scenes():
    row = mean_row(summarised(results_of(*scored("a", [20, 22, 24, 26]))), "a")
    assert row.mean == pytest.approx(23) and row.low < 23 < row.high
    assert (row.num_pictures, row.num_scenes, row.spread, row.cap) == (4, 4, None, None)


def test_a_picture_counts_once_however_many_seeds_it_has():
    first, second = scored("a", [20, 30], seed=0), scored("a", [22, 34], seed=1)
    row = mean_row(summarised(results_of(*first, *second)), "a")
    assert row.mean == pytest.approx(26.5) and row.num_pictures == 2
    assert row.spread == pytest.approx(math.sqrt((25 - 28) ** 2 / 2))


def test_equal_pictures_count_as_the_cap_says_and_the_row_names_it():
    results = summarised(results_of(*scored("a", [math.inf, 20, 70])))
    row = mean_row(results, "a")
    cap = cap_of(results)
    assert row.mean == pytest.approx((cap + 20 + cap) / 3) and row.cap == cap
    assert mean_row(summarised(results_of(*scored("a", [20, 30]))), "a").cap is None


def test_other_metrics_have_no_cap_and_values_that_are_not_finite_are_left_out():
    rows = [output("a", "rain", f"{index}.png", lpips=value) for index, value in enumerate((99.0, math.nan, 1.0))]
    results = results_of(*rows, metrics=(LPIPS,))
    assert values_of(results, "a", "rain", "lpips") == {"0.png": 99.0, "2.png": 1.0}
    assert mean_row(summarised(results), "a", metric="lpips").mean == 50


def test_an_average_is_of_datasets_and_only_where_all_were_scored():
    rows = [*scored("a", [20, 20, 20]), *scored("a", [30], of="haze"), *scored("b", [40])]
    averages = {"both": ["rain", "haze"]}
    results = summarised(results_of(*rows, sizes={"rain": 3, "haze": 1}, averages=averages))
    row = mean_row(results, "a", of="both")
    assert row.mean == 25 and row.num_pictures == 4 and row.low is None  # not the mean over pictures, 22.5
    assert mean_row(results, "b", of="both") is None


def test_a_metric_of_whole_sets_is_averaged_over_seeds():
    scores = [SetScoreRow(contestant="a", dataset="rain", seed=seed, scores={"fid": 10.0 + seed}) for seed in (0, 2)]
    results = summarised(results_of(output("a", "rain", "0.png"), metrics=(FID,), set_scores=tuple(scores)))
    row = mean_row(results, "a", metric="fid")
    assert row.mean == 11 and row.spread == pytest.approx(math.sqrt(2)) and row.low is None
    assert row.num_pictures == 1 and results.comparisons == ()


def test_contestants_are_compared_on_the_pictures_of_both():
    first = scored("a", [20.0] * 12)
    second = scored("b", [21.0] * 11)
    second[3] = output("b", "rain", "3.png", psnr=19.5)
    (row,) = summarised(results_of(*first, *second)).comparisons
    assert (row.first, row.second, row.verdict, row.num_scenes) == ("a", "b", "second", 11)
    assert row.difference == pytest.approx((10 * 1.0 - 0.5) / 11) and row.low < row.difference < row.high
    assert (row.worst_picture, row.worst_difference) == ("3.png", -0.5)


def test_of_a_metric_whose_small_values_are_good_the_smaller_wins():
    def rows(name, value):
        return [output(name, "rain", f"{index}.png", lpips=value + index / 1000) for index in range(12)]

    (row,) = summarised(results_of(*rows("a", 0.5), *rows("b", 0.2), metrics=(LPIPS,))).comparisons
    assert row.verdict == "second" and row.difference == pytest.approx(-0.3)


def test_p_values_are_corrected_over_the_datasets():
    rows = [*scored("a", [20] * 12), *scored("b", [21] * 12)]
    rows += [*scored("a", [20] * 12, of="haze"), *scored("b", [20, 21] * 6, of="haze")]
    found = summarised(results_of(*rows, sizes={"rain": 12, "haze": 12})).comparisons
    assert {row.dataset for row in found} == {"rain", "haze"}
    assert all(row.p_holm >= row.p for row in found) and max(row.p_holm / row.p for row in found) == pytest.approx(2)


def test_contestants_without_a_common_picture_are_not_compared():
    rows = [output("a", "rain", "0.png", psnr=20.0), output("b", "rain", "1.png", psnr=21.0)]
    assert summarised(results_of(*rows)).comparisons == ()


def test_condensed_results_keep_what_tables_need():
    results = condensed(summarised(results_of(*scored("a", [20, 21]))))
    assert results.means and not (results.outputs or results.pictures or results.set_scores)


def test_estimates_count_the_likeliest_name_of_each_picture():
    shares = ({"rain": 0.9, "haze": 0.1}, {"rain": 0.2, "haze": 0.8}, {"rain": 0.6, "haze": 0.4})
    rows = [output("a", "rain", f"{index}.png", psnr=20.0, degradations=one) for index, one in enumerate(shares)]
    (row,) = summarised(results_of(*rows, metrics=(PSNR,))).estimates
    assert row.task == "rain" and row.counts == {"rain": 2, "haze": 1}


def test_an_average_of_a_capped_mean_names_the_cap_too() -> None:
    rows = [*scored("a", [math.inf, 20]), *scored("a", [30, 30], of="haze"), *scored("b", [20, 20])]
    rows += scored("b", [30, 30], of="haze")
    averages = {"both": ["rain", "haze"], "one": ["haze"]}
    results = summarised(results_of(*rows, sizes={"rain": 2, "haze": 2}, averages=averages))
    row = mean_row(results, "a", of="both")
    assert (row.mean, row.cap) == (35.0, 60.0)
    assert mean_row(results, "b", of="both").cap is None and mean_row(results, "a", of="one").cap is None


def test_the_order_of_rows_changes_no_figure() -> None:
    values = [21.3, 24.1, 19.8, 30.2, 26.6, 22.2, 25.0]
    rows = [*scored("a", values), *scored("b", [value + index / 10 for index, value in enumerate(values)])]
    first, second = summarised(results_of(*rows)), summarised(results_of(rows[0], *rows[:0:-1]))
    for one, other in zip(first.means, second.means, strict=True):
        assert (one.contestant, one.mean) == (other.contestant, pytest.approx(other.mean))
        assert (one.low, one.high) == pytest.approx((other.low, other.high))
    (one,), (other,) = first.comparisons, second.comparisons
    assert (one.p, one.verdict, one.worst_picture) == (other.p, other.verdict, other.worst_picture)


def test_pictures_of_one_scene_are_one_in_intervals_and_tests() -> None:
    rows = [*scored("a", [20.0] * 12), *scored("b", [21.0] * 12)]
    results = results_of(*rows)
    clustered = tuple(
        dataclasses.replace(row, cluster=f"scene {index // 3}") for index, row in enumerate(results.pictures)
    )
    (alone,) = summarised(results).comparisons
    (together,) = summarised(dataclasses.replace(results, pictures=clustered)).comparisons
    assert (alone.num_scenes, together.num_scenes) == (12, 4)
    assert (alone.p, together.p) == (2 / 2**12, 2 / 2**4)
    assert (alone.verdict, together.verdict) == ("second", "tied")


def test_the_worst_picture_is_where_the_second_lost_most_whichever_way_is_better() -> None:
    def rows(name, values):
        return [output(name, "rain", f"{index}.png", psnr=v, lpips=v / 100) for index, v in enumerate(values)]

    results = results_of(*rows("a", [20.0, 20.0, 20.0]), *rows("b", [22.0, 17.0, 26.0]), metrics=(PSNR, LPIPS))
    worst = {row.metric: (row.worst_picture, row.worst_difference) for row in summarised(results).comparisons}
    assert worst == {"psnr": ("1.png", -3.0), "lpips": ("2.png", pytest.approx(0.06))}


def test_every_two_contestants_are_compared_once_in_their_order() -> None:
    results = summarised(results_of(*(row for name in "cab" for row in scored(name, [20.0, 21.0]))))
    assert [(row.first, row.second) for row in results.comparisons] == [("c", "a"), ("c", "b"), ("a", "b")]
    assert {row.verdict for row in results.comparisons} == {"tied"}


def test_a_capped_picture_counts_as_the_cap_in_differences_too() -> None:
    rows = [*scored("a", [math.inf, 20.0]), *scored("b", [50.0, 20.0])]
    (row,) = summarised(results_of(*rows)).comparisons
    assert (row.difference, row.worst_difference) == (-5.0, -10.0)


def test_a_metric_that_nothing_has_gives_no_row() -> None:
    results = summarised(results_of(*scored("a", [20.0]), metrics=(PSNR, LPIPS, FID)))
    assert {row.metric for row in results.means} == {"psnr"}


def test_summing_up_twice_changes_nothing() -> None:
    once = summarised(results_of(*scored("a", [20.0, 25.0, 22.0]), *scored("b", [21.0, 24.0, 29.0])))
    assert summarised(once) == once


def test_a_set_metric_says_how_many_pictures_it_is_of_and_the_fewest_of_several_seeds() -> None:
    scores = tuple(
        SetScoreRow(contestant="a", dataset="rain", seed=seed, scores={"fid": 1.0}, num_pictures=count)
        for seed, count in ((0, 12), (1, 9))
    )
    results = summarised(results_of(*scored("a", [20.0] * 12), metrics=(FID,), set_scores=scores))
    assert mean_row(results, "a", metric="fid").num_pictures == 9
