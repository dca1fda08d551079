from dataclasses import replace

import pytest

from ldrestore.errors import InputError
from ldrestore.evaluation.merging import merged, with_datasets_of
from ldrestore.evaluation.results import SetScoreRow
from tests.model_results import model_results

FIGURES = {"rain": {"a": (20.0, 25.0), "b": (20.0, 26.0)}}
OTHERS = {"rain": {"a": (20.0, 24.0), "b": (20.0, 24.0)}}


def test_contestants_that_were_measured_apart_are_compared():
    both = merged([model_results(FIGURES, model="one"), model_results(OTHERS, model="two")])
    assert [row.name for row in both.contestants] == ["input", "one", "two"]
    assert len(both.outputs) == 6 and len(both.pictures) == 2
    found = {(row.first, row.second): row.difference for row in both.comparisons}
    assert found["one", "two"] == -1.5
    assert merged([both]) == both


def test_pictures_that_were_measured_apart_are_all_there():
    one = model_results({"rain": {"a": (20.0, 25.0)}}, model="one")
    two = model_results({"rain": {"b": (20.0, 29.0)}}, model="one")
    both = merged([one, two])
    assert {(row.contestant, row.picture) for row in both.outputs} == {
        (name, picture) for name in ("input", "one") for picture in "ab"
    }
    assert {row.contestant: row.mean for row in both.means if row.dataset == "rain"} == {"input": 20.0, "one": 27.0}


def with_lpips(results, value, **facts):
    """The results with another metric, and its value of every output where there is one."""
    metrics = (*results.metrics, replace(results.metrics[0], name="lpips", lower_is_better=True, **facts))
    scores = {} if value is None else {"lpips": value}
    outputs = tuple(replace(row, path="p", scores={**row.scores, **scores}) for row in results.outputs)
    return replace(results, metrics=metrics, outputs=outputs)


def test_what_one_file_could_not_compute_does_not_hide_the_other_s():
    one = with_lpips(model_results(FIGURES, model="one"), None, unavailable="no weights")
    both = merged([one, with_lpips(model_results(OTHERS, model="two"), 0.25, weights_sha256="a")])
    assert {row.name: row.unavailable for row in both.metrics} == {"psnr": None, "lpips": None}
    means = {row.contestant: row.mean for row in both.means if row.metric == "lpips"}
    assert means == {"input": 0.25, "two": 0.25}  # of the input both files have the same pictures


def test_a_failure_of_one_file_does_not_hide_the_other_s_picture():
    one = model_results(FIGURES, model="one")
    whole = replace(one, outputs=tuple(replace(row, path="p", sha256="1") for row in one.outputs))
    rows = (replace(row, path=None, sha256=None, scores={}, failure="no memory") for row in whole.outputs)
    broken = replace(whole, outputs=tuple(rows))
    for files in ([broken, whole], [whole, broken]):
        assert merged(files).is_whole and merged(files).means == whole.means
    assert not merged([broken, broken]).is_whole


def test_scores_by_other_weights_are_refused_and_by_other_versions_named():
    one, two = model_results(FIGURES, model="one"), model_results(OTHERS, model="two")
    with pytest.raises(InputError, match="lpips is computed with other weights"):
        merged([with_lpips(one, 0.5, weights_sha256="a"), with_lpips(two, 0.25, weights_sha256="b")])
    both = merged([with_lpips(one, 0.5, version="1"), with_lpips(two, 0.25, version="2")])
    assert both.notes[0].startswith("lpips was computed by 1 and by 2")


def test_metrics_of_sets_are_taken_as_far_as_they_are_of_the_same_outputs():
    fid = [SetScoreRow(contestant="input", dataset="rain", scores={"fid": 9.0})]
    one, two = model_results(FIGURES, model="one"), model_results(OTHERS, model="two")
    assert merged([one, replace(two, set_scores=tuple(fid))]).set_scores == tuple(fid)
    fewer = model_results({"rain": {"a": (20.0, 24.0)}}, model="two")
    assert merged([one, replace(fewer, set_scores=tuple(fid))]).set_scores == ()


def test_finished_results_that_differ_are_refused():
    one = model_results({"rain": {"a": (20.0, 25.0)}}, model="one")
    kinds = tuple(replace(row, kind="results") if row.name == "one" else row for row in one.contestants)
    one = replace(one, contestants=kinds)
    one = replace(one, outputs=tuple(replace(row, path="p", sha256="1") for row in one.outputs))
    changed = tuple(replace(row, sha256="f" * 64) if row.contestant == "one" else row for row in one.outputs)
    with pytest.raises(InputError, match="one has another result of rain/a in each of the files"):
        merged([one, replace(one, outputs=changed)])


def test_what_does_not_go_together_is_refused():
    one = model_results(FIGURES, model="one")
    with pytest.raises(InputError, match="one is another contestant in each of the files"):
        merged([one, model_results(FIGURES, model="one", identity="y")])
    with pytest.raises(InputError, match="of the suites"):
        merged([one, replace(one, suite="other")])
    with pytest.raises(InputError, match="nothing to merge"):
        merged([])


def test_datasets_of_another_suite_follow_unless_they_are_there_already():
    one = model_results(FIGURES, model="one")
    more = replace(model_results({"haze told": {"a": (10.0, 30.0)}}, model="one"), suite="told")
    both = with_datasets_of(one, more)
    assert [row.name for row in both.datasets] == ["rain", "haze told"]
    assert {(row.dataset, row.mean) for row in both.means if row.contestant == "one"} == {
        ("rain", 25.5),
        ("haze told", 30.0),
    }
    with pytest.raises(InputError, match="rain is in both suites"):
        with_datasets_of(one, replace(one, suite="other"))
    with pytest.raises(InputError, match="different protocols"):
        with_datasets_of(one, replace(more, protocol={"name": "other"}))
    with pytest.raises(InputError, match=r"in two ways, .* and plain bootstrap; .* --rescore DIR"):
        with_datasets_of(one, replace(more, statistics="plain bootstrap"))
