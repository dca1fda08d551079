import json
from dataclasses import dataclass

import pytest
from PIL import Image

from ldrestore.evaluation.studies.study import Study


@dataclass(frozen=True, kw_only=True)
class PlainOptions:
    """Of a study of this test."""

    side: int = 3


@pytest.fixture
def pairs(tmp_path, picture):
    for name in "ab":
        picture(tmp_path / "lq" / f"{name}.png", seed=1)
        picture(tmp_path / "gt" / f"{name}.png", seed=2)
    return tmp_path / "lq", tmp_path / "gt"


@pytest.fixture
def run(call, pairs, tiny_model, tmp_path):
    """`run(OUT, more words)` compares the tiny model and the input on two pairs."""
    return lambda out, *words: call("bench", "--pairs", *pairs, "--model", tiny_model, "--out", tmp_path / out, *words)


def test_pairs_of_ones_own_give_all_files_and_a_table(run, tmp_path):
    outcome = run("out")
    assert outcome.exit_code == 0
    assert "Protocol uint8: colour rgb" in outcome.stdout and "psnr ↑" in outcome.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "outputs",
        "pictures",
        "report.html",
        "results.csv",
        "results.json",
        "scores",
        "table.md",
    }
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert document["version"] == 1 and len(document["outputs"]) == 4


def test_stored_results_are_scored_again_by_other_metrics(run, call, tmp_path):
    run("out", "--metric", "psnr")
    assert call("bench", "--rescore", tmp_path / "out", "--metric", "ssim").exit_code == 0
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["outputs"]
    assert all(row["scores"].keys() == {"ssim"} for row in rows)


def test_enlarged_results_are_held_against_their_inputs(call, tmp_path, picture):
    for name in "ab":
        for folder in ("lq", "results"):
            picture(tmp_path / folder / f"{name}.png", seed=1)
        with Image.open(tmp_path / "lq" / f"{name}.png") as small:
            small.resize((small.width * 2, small.height * 2)).save(tmp_path / "results" / f"{name}.png")
    words = ("--pairs", tmp_path / "lq", tmp_path / "lq", "--results", f"BIG={tmp_path / 'results'}")
    outcome = call("bench", *words, "--metric", "consistency", "--out", tmp_path / "out")
    assert outcome.exit_code == 0, outcome.stderr
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    values = {row["contestant"]: row["scores"]["consistency"] for row in document["outputs"]}
    assert values["input"] == "inf" and 15 < values["BIG"] < 60
    (row,) = [row for row in document["means"] if row["contestant"] == "input"]
    assert (row["mean"], row["cap"]) == (60, 60)


def test_somebody_elses_results_are_merged_with_their_pictures_and_checked(run, call, pairs, tmp_path):
    run("mine")
    call("bench", "--pairs", *pairs, "--results", f"THEM={pairs[1]}", "--out", tmp_path / "theirs")
    files = [word for name in ("mine", "theirs") for word in ("--merge", tmp_path / name / "results.json")]
    assert call("bench", *files, "--out", tmp_path / "both").exit_code == 0
    assert call("bench", "--rescore", tmp_path / "both").exit_code == 0
    stored = next((tmp_path / "both" / "outputs" / "THEM").rglob("*.png"))
    Image.new("RGB", (64, 64)).save(tmp_path / "other.png")
    (tmp_path / "other.png").replace(stored)
    outcome = call("bench", "--rescore", tmp_path / "both", "--fresh")
    assert outcome.exit_code == 1 and "is not the picture that was stored" in outcome.stderr


def test_merging_ends_as_a_run_does(run, call, tmp_path):
    (tmp_path / "lq" / "b.png").write_bytes(b"no picture")
    run("mine")
    outcome = call("bench", "--merge", tmp_path / "mine", "--merge", tmp_path / "mine", "--out", tmp_path / "both")
    assert outcome.exit_code == 1 and "failed: " in outcome.stderr


def test_paths_that_lead_out_of_the_folder_are_refused(run, call, tmp_path):
    run("out")
    path = tmp_path / "out" / "results.json"
    document = json.loads(path.read_text())
    document["outputs"][0]["path"] = "../../secret.png"
    path.write_text(json.dumps(document))
    for words in (("--rescore", tmp_path / "out", "--fresh"), ("--merge", path, "--out", tmp_path / "both")):
        outcome = call("bench", *words)
        assert outcome.exit_code == 2 and "leads out of the folder" in outcome.stderr


def test_equal_runs_have_no_regression_and_worse_ones_exit_1(run, call, tmp_path):
    run("old")
    run("new")
    outcome = call("bench", "--compare", tmp_path / "old", tmp_path / "new")
    assert outcome.exit_code == 0 and "0 scores differ" in outcome.stdout
    path = tmp_path / "new" / "results.json"
    document = json.loads(path.read_text())
    document["outputs"][0]["scores"]["psnr"] -= 1
    path.write_text(json.dumps(document))
    outcome = call("bench", "--compare", tmp_path / "old", tmp_path / "new")
    assert outcome.exit_code == 1 and "regression: " in outcome.stdout
    outcome = call("bench", "--compare", tmp_path / "old", tmp_path / "new", "--tolerance", "psnr=2")
    assert outcome.exit_code == 0 and "within tolerance" in outcome.stdout


def test_a_broken_picture_gives_exit_code_1_and_its_name(run, tmp_path):
    (tmp_path / "lq" / "b.png").write_bytes(b"no picture")
    outcome = run("out")
    assert outcome.exit_code == 1
    assert "b.png" in outcome.stderr


def test_pictures_that_do_not_go_together_are_named_in_the_end(call, tmp_path, picture):
    for name, mode in (("a", "L"), ("b", "RGB")):
        picture(tmp_path / "lq" / f"{name}.png", mode=mode)
        picture(tmp_path / "gt" / f"{name}.png", seed=1)
    picture(tmp_path / "lq" / "x.png")
    picture(tmp_path / "gt" / "y.png")
    outcome = call("bench", "--pairs", tmp_path / "lq", tmp_path / "gt", "--out", tmp_path / "out")
    assert outcome.exit_code == 1
    assert "failed: input, pairs: a: the result is grey and the ground truth RGB; save both alike" in outcome.stderr
    assert "2 pictures are left out: x: has no ground truth of its stem in" in outcome.stderr
    assert "; y: has no result of its stem in" in outcome.stderr


def test_names_without_a_partner_give_exit_code_1_and_the_others_are_done(run, tmp_path, picture):
    picture(tmp_path / "lq" / "x.png")
    outcome = run("out")
    assert outcome.exit_code == 1
    assert "1 pictures are left out: x: has no ground truth of its stem in" in outcome.stderr
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["num_left_out"] for row in document["datasets"]] == [1]
    assert all(row["scores"] for row in document["outputs"])


def test_a_peer_that_is_for_none_of_the_pictures_is_named(call, pairs, tmp_path):
    outcome = call("bench", "--pairs", *pairs, "--peer", "clahe", "--out", tmp_path / "out")
    assert outcome.exit_code == 0 and "clahe: none of the datasets is of what it is for" in outcome.stderr


def test_the_list_names_suites_and_what_was_found(call, tmp_path, picture):
    picture(tmp_path / "LOL/eval15/low/1.png")
    picture(tmp_path / "LOL/eval15/high/1.png")
    outcome = call("bench", "--list", "--data-root", tmp_path)
    assert outcome.exit_code == 0
    assert "builtin-ci" in outcome.stdout and "snow100k_l" in outcome.stdout
    assert "stable-parts" in outcome.stdout and "bench --study NAME" in outcome.stdout
    assert "incomplete: 1" in outcome.stdout and "complete: 4" in outcome.stdout


@pytest.mark.parametrize("words", [(), ("--data-root", "nowhere"), ("--data-root", ".")])
@pytest.mark.parametrize("suite", ["aio5", "mid6", "real"])
def test_a_suite_without_its_data_is_a_wrong_call(call, tmp_path, monkeypatch, suite, words):
    monkeypatch.chdir(tmp_path)
    outcome = call("bench", suite, *words, "--out", tmp_path / "out")
    assert outcome.exit_code == 2
    assert f"the suite {suite} needs sets, and " in outcome.stderr and "bench --list --data-root DIR" in outcome.stderr
    assert not (tmp_path / "out").exists()


def test_a_study_is_measured_printed_and_lies_in_its_folder(call, tmp_path, monkeypatch):
    study = Study(
        options=PlainOptions, measure=lambda options, given: (options, given), report=lambda found: str(found)
    )
    monkeypatch.setattr("ldrestore.evaluation.studies.study.resolve", lambda target: study)
    words = ("--with", "side=7", "--model", "default", "--limit", "2", "--device", "cpu")
    outcome = call("bench", "--study", "damage", "--out", tmp_path / "out", *words)
    assert outcome.exit_code == 0
    assert "PlainOptions(side=7)" in outcome.stdout and "models=('default',)" in outcome.stdout
    assert "limit=2" in (tmp_path / "out" / "damage.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("builtn",), "--out DIR"),
        (("builtn", "--out", "x"), "did you mean 'builtin"),
        (("--out", "x"), "give a SUITE or --pairs"),
        (("builtin", "--out", "x", "--peer", "nlm"), "unknown classical peer 'nlm'"),
        (("builtin", "--out", "x", "--results", "them"), "--results needs NAME=DIR"),
        (("builtin", "--out", "x", "--model", "defualt"), "did you mean 'default'"),
        (("builtin", "--out", "x", "--metric", "psrn"), "did you mean 'psnr'"),
        (("builtin", "--out", "x", "--protocol", "osedif"), "did you mean 'osediff'"),
        (("--rescore", "x"), "no results at x"),
        (("--merge", "x"), "give --out DIR"),
        (("--merge", "x", "--out", "y"), "no results at x"),
        (("--network", "restomer"), "did you mean 'restormer'"),
        (("--study", "stable-part", "--out", "x"), "did you mean 'stable-parts'"),
        (("--study", "damage"), "give --out DIR"),
        (("builtin", "--study", "damage", "--out", "x"), "leave out SUITE and --pairs"),
        (("--study", "damage", "--out", "x"), "study damage: missing clean, sets"),
        (("--study", "ablations", "--out", "x", "--with", "strenth=1"), "did you mean 'strength'"),
        (("--compare", "a", "b"), "no results at a"),
        (("--compare", "a", "b", "--tolerance", "psnr"), "--tolerance needs METRIC=X"),
        (("--compare", "a", "b", "--tolerance", "psnr=-0.1"), "with X of at least 0, got 'psnr=-0.1'"),
        (("--compare", "a", "b", "--tolerance", "psnr=nan"), "with X of at least 0, got 'psnr=nan'"),
        (("builtin", "--out", "x", "--results", "A=y", "--results", "A=z"), "--results A is given twice, with y and z"),
    ],
)
def test_wrong_calls_end_with_2_and_say_what_to_do(call, words, message):
    outcome = call("bench", *words)
    assert outcome.exit_code == 2
    assert message in outcome.stderr
