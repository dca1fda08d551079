"""`results.json`: what is written comes back, and what is damaged, foreign or hostile is refused by name."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ldrestore.errors import InputError
from ldrestore.evaluation.results import (
    PLAIN_BOOTSTRAP,
    RESULTS_FILE,
    Results,
    document_of,
    located,
    read_results,
    results_as_text,
    write_results,
)
from ldrestore.evaluation.results import SetScoreRow as SetScores
from ldrestore.evaluation.summaries import condensed
from tests.model_results import model_results

FIGURES = {"rain": {"a": (20.0, 25.0), "b": (math.inf, 26.0)}, "haze": {"a": (18.0, 17.5)}}

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def results() -> Results:
    whole = model_results(FIGURES, averages={"both": ["rain", "haze"]}, notes=("a note",))
    return replace(whole, set_scores=(SetScores(contestant="input", dataset="rain", scores={"fid": math.inf}),))


def written(results: Results, folder: Path, change: Change = lambda document: None) -> Path:
    """The file of some results, after a change of what it holds."""
    document = document_of(results)
    change(document)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULTS_FILE).write_text(results_as_text(document), encoding="utf-8")
    return folder / RESULTS_FILE


def test_what_is_written_comes_back_from_file_and_folder(results: Results, tmp_path: Path) -> None:
    write_results(results, tmp_path / "out" / RESULTS_FILE)
    assert read_results(tmp_path / "out") == read_results(tmp_path / "out" / RESULTS_FILE) == results


def test_infinite_values_are_text_in_the_file_and_numbers_when_read(results: Results, tmp_path: Path) -> None:
    path = written(results, tmp_path)
    document = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda name: pytest.fail(name))
    scores = {(row["dataset"], row["picture"], row["contestant"]): row["scores"] for row in document["outputs"]}
    assert scores["rain", "b", "input"] == {"psnr": "inf"} and scores["rain", "a", "input"] == {"psnr": 20.0}
    assert document["set_scores"][0]["scores"] == {"fid": "inf"}
    again = read_results(path)
    assert [row.scores["psnr"] for row in again.outputs] == [row.scores["psnr"] for row in results.outputs]
    assert again.set_scores[0].scores["fid"] == math.inf


def test_a_file_has_one_row_a_line_so_that_a_changed_row_is_one_changed_line(results: Results) -> None:
    before = results_as_text(document_of(results)).splitlines()
    changed = replace(results, outputs=(replace(results.outputs[0], seconds=1.5), *results.outputs[1:]))
    after = results_as_text(document_of(changed)).splitlines()
    assert len(before) == len(after)
    (pair,) = [lines for lines in zip(before, after, strict=True) if lines[0] != lines[1]]
    assert '"seconds": null' in pair[0] and '"seconds": 1.5' in pair[1]


def test_writing_reading_and_writing_again_changes_no_letter(results: Results, tmp_path: Path) -> None:
    first = written(results, tmp_path / "one")
    second = written(read_results(first), tmp_path / "two")
    assert first.read_bytes() == second.read_bytes()


def test_an_earlier_file_without_newer_fields_is_read_and_says_how_its_intervals_came(
    results: Results, tmp_path: Path
) -> None:
    def as_before(document: dict[str, Any]) -> None:
        for name in ("statistics", "reliability", "estimates", "costs", "set_scores"):
            del document[name]

    earlier = read_results(written(results, tmp_path, as_before))
    assert earlier.statistics == PLAIN_BOOTSTRAP
    assert (earlier.reliability, earlier.costs) == ((), ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document.update(version=2), "has results of version 2, and this ldrestore reads version 1"),
        (lambda document: document.update(version="1"), "has results of version 1, and"),
        (lambda document: document.pop("version"), "holds no results of a benchmark"),
        (lambda document: document.pop("suite"), "missing suite"),
        (lambda document: document.update(outputz=[]), "unknown key 'outputz'; did you mean 'outputs'"),
        (lambda document: document.update(outputs={}), "outputs: expected a list"),
        (lambda document: document["pictures"][0].update(width="8"), r"pictures\[0\]: width: expected int, got '8'"),
        (lambda document: document["outputs"][1].pop("picture"), r"outputs\[1\]: missing picture"),
        (lambda document: document["outputs"][1].update(scores=[1]), r"outputs\[1\]: scores: expected a mapping"),
        (lambda document: document["means"][0].update(mean="high"), r"means\[0\]: mean: expected float, got 'high'"),
    ],
)
def test_a_file_that_is_not_of_this_layout_is_refused_at_the_place(
    results: Results, tmp_path: Path, change: Change, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_results(written(results, tmp_path, change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document.update(protocol={}), "its protocol lacks name, colour, border"),
        (lambda document: document["protocol"].pop("psnr_cap"), "its protocol lacks psnr_cap;"),
        (lambda document: document["outputs"].append(document["outputs"][0]), r"'rain', 'a', None\) is there twice"),
        (lambda document: document["pictures"].append(document["pictures"][2]), r"\('haze', 'a'\) is there twice"),
        (lambda document: document["contestants"].pop(), "the contestant or the dataset of default, rain/a is not"),
        (lambda document: document["datasets"].pop(), "the contestant or the dataset of input, haze/a is not"),
        (lambda document: document["pictures"].pop(0), "the picture of input, rain/a is not listed"),
    ],
)
def test_rows_that_lead_nowhere_or_stand_for_two_things_are_refused(
    results: Results, tmp_path: Path, change: Change, message: str
) -> None:
    with pytest.raises(InputError, match=f"the results are damaged: .*{message}"):
        read_results(written(results, tmp_path, change))


@pytest.mark.parametrize("digest", ["../../../evil", "a/b", "", "ABC", "12 "])
@pytest.mark.parametrize("part", ["lq_sha256", "gt_sha256", "sha256"])
def test_a_hash_that_could_name_a_file_elsewhere_is_refused(
    results: Results, tmp_path: Path, part: str, digest: str
) -> None:
    rows = "outputs" if part == "sha256" else "pictures"
    path = written(results, tmp_path, lambda document: document[rows][0].update({part: digest}))
    with pytest.raises(InputError, match="is no hash of a picture"):
        read_results(path)


def test_a_failed_output_needs_no_picture_since_its_picture_may_be_what_failed(
    results: Results, tmp_path: Path
) -> None:
    def lose(document: dict[str, Any]) -> None:
        document["pictures"] = [row for row in document["pictures"] if row["dataset"] != "haze"]
        for row in document["outputs"]:
            if row["dataset"] == "haze":
                row.update(path=None, scores={}, failure="b.png cannot be read")

    found = read_results(written(results, tmp_path, lose))
    assert len(found.failures) == 2 and not found.is_whole


def test_a_score_that_is_no_number_is_refused_with_its_row(results: Results, tmp_path: Path) -> None:
    path = written(results, tmp_path, lambda document: document["outputs"][0].update(scores={"psnr": "good"}))
    with pytest.raises(InputError, match=r"has a score that is no number: \{'psnr': 'good'\}"):
        read_results(path)


@pytest.mark.parametrize("content", [b"", b"[", b"\xff\xfe{}", b"[]", b"3", b"null", b"{}"])
def test_what_is_no_json_of_results_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / RESULTS_FILE).write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be read as JSON|holds no results of a benchmark"):
        read_results(tmp_path)


def test_a_summary_without_single_pictures_can_be_read(results: Results, tmp_path: Path) -> None:
    short = condensed(results)
    found = read_results(written(short, tmp_path))
    assert found == short and found.is_whole and found.means == results.means


def test_a_picture_is_found_by_its_names_and_another_is_a_key_error(results: Results) -> None:
    assert results.picture("haze", "a").dataset == "haze"
    with pytest.raises(KeyError, match="haze/b"):
        results.picture("haze", "b")


def test_results_are_whole_without_failures_and_with_nothing_left_out(results: Results) -> None:
    assert results.is_whole
    left_out = replace(results, datasets=(replace(results.datasets[0], num_left_out=1), *results.datasets[1:]))
    assert not left_out.is_whole and not left_out.failures
    failed = replace(results, outputs=(replace(results.outputs[0], failure="no memory"), *results.outputs[1:]))
    assert not failed.is_whole and failed.failures == failed.outputs[:1]


def test_paths_lead_below_the_folder_of_results_or_below_the_data_root() -> None:
    out, data = Path("out"), Path("data")
    assert located("pictures/a.png", out_dir=out, data_root=None) == Path("out/pictures/a.png")
    assert located("data:LOL/low/1.png", out_dir=out, data_root=data) == Path("data/LOL/low/1.png")
    with pytest.raises(InputError, match="lies below the data root; give it with --data-root"):
        located("data:LOL/low/1.png", out_dir=out, data_root=None)


@pytest.mark.parametrize("path", ["../a.png", "a/../../b.png", "/etc/passwd", "data:../a.png", "data:/etc/passwd"])
def test_paths_that_lead_out_are_refused_whatever_root_is_given(path: str) -> None:
    with pytest.raises(InputError, match="leads out of the folder of the results"):
        located(path, out_dir=Path("out"), data_root=Path("data"))
