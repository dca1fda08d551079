import math
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from ldrestore.errors import InputError, ScoreError, ShapeError, UnknownNameError
from ldrestore.metrics import score
from ldrestore.metrics.protocols import PROTOCOLS, UINT8
from ldrestore.metrics.scoring import open_metrics, score_paths


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folders(tmp_path, cat, noisy):
    """Results a and b beside their ground truths, in other formats."""
    for folder, suffix in (("results", "png"), ("gt", "bmp")):
        (tmp_path / folder / "more").mkdir(parents=True)
        for name in ("a", "more/b"):
            picture = noisy if folder == "results" and name == "a" else cat
            Image.fromarray(picture[:64, :80]).save(tmp_path / folder / f"{name}.{suffix}")
    return tmp_path / "results", tmp_path / "gt"


def board_of(results, gt, *names, protocol=UINT8):
    return score_paths(results, gt, protocol=protocol, opened=open_metrics(names))


def test_all_kinds_of_pictures_give_the_same_scores(cat, noisy, tmp_path):
    Image.fromarray(noisy).save(tmp_path / "noisy.png")
    expected = score(noisy, cat, metrics=["psnr", "ssim"])
    assert expected["psnr"] == pytest.approx(24.7, abs=0.3)
    for result in (tmp_path / "noisy.png", Image.fromarray(noisy), torch.from_numpy(noisy.transpose(2, 0, 1) / 255)):
        assert score(result, cat, metrics=["psnr", "ssim"]) == pytest.approx(expected)


def test_the_protocol_decides_colour_and_metrics(cat, noisy):
    assert list(score(noisy, cat)) == ["psnr", "ssim"]
    limited = score(noisy, cat, ["psnr"], protocol="osediff")
    full = score(noisy, cat, ["psnr"], protocol=PROTOCOLS["unildiff"])
    assert limited["psnr"] - full["psnr"] == pytest.approx(1.32, abs=0.1)
    assert limited.protocol == "osediff"


def test_what_cannot_be_had_is_left_out_with_its_reason(cat, noisy, monkeypatch):
    monkeypatch.setitem(sys.modules, "piq", None)
    scores = score(noisy, cat, metrics=["lpips", "psnr", "piq:vif", "niqe"])
    assert list(scores) == ["psnr"]
    assert scores.unavailable.keys() == {"lpips", "piq:vif", "niqe"}
    assert "ldrestore fetch metrics" in scores.unavailable["lpips"]
    assert "ldrestore[metrics]" in scores.unavailable["piq:vif"]


def test_equal_pictures_are_infinitely_alike(cat):
    assert score(cat, cat, metrics=["psnr"])["psnr"] == math.inf


def test_wrong_names_sizes_and_metrics_of_sets_are_refused(cat):
    with pytest.raises(UnknownNameError, match="did you mean 'psnr'"):
        score(cat, cat, metrics=["pnsr"])
    with pytest.raises(ShapeError, match="compare pictures of one size"):
        score(cat, cat[1:])
    with pytest.raises(InputError, match="fid compares whole folders"):
        score(cat, cat, metrics=["fid"])
    with pytest.raises(UnknownNameError, match="metric of --weights 'lpips'"):
        open_metrics(["psnr"], weights={"lpips": "file"})


def test_folders_are_matched_by_stem(folders):
    board = board_of(*folders, "psnr", "ssim")
    assert list(board.pictures) == ["a", "more/b"]
    assert board.pictures["more/b"]["psnr"] == math.inf
    assert not board.failures
    document = board.document()
    assert document["pictures"]["more/b"]["psnr"] == "inf"
    assert document.keys() == {"protocol", "means", "pictures", "unavailable"}


def test_a_mean_counts_equal_pictures_at_the_cap(folders):
    board = board_of(*folders, "psnr")
    assert board.means["psnr"] == pytest.approx((board.pictures["a"]["psnr"] + 60) / 2)


def test_pictures_without_partner_broken_ones_and_other_sizes_are_named_and_the_rest_goes_on(folders):
    results, gt = folders
    Image.new("RGB", (64, 64)).save(results / "alone.png")
    Image.new("RGB", (64, 64)).save(gt / "lonely.png")
    (results / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    Image.new("RGB", (64, 64)).save(gt / "broken.png")
    Image.new("RGB", (64, 64)).save(results / "wide.png")
    Image.new("RGB", (60, 64)).save(gt / "wide.png")
    board = board_of(results, gt, "psnr")
    assert list(board.pictures) == ["a", "more/b"]
    assert board.failures.keys() == {"alone", "lonely", "broken", "wide"}
    assert "no ground truth of its stem" in board.failures["alone"]
    assert "no result of its stem" in board.failures["lonely"]
    assert "64x64 pixels and the ground truth 60x64" in board.failures["wide"]


def test_a_metric_that_a_picture_is_too_small_for_fails_alone(folders):
    board = board_of(*folders, "psnr", "ms_ssim")
    assert list(board.pictures["a"]) == ["psnr"]
    assert "ms_ssim: MS-SSIM of 5 scales needs at least 176" in board.failures["a"]


def test_two_files_need_no_common_name(folders):
    results, gt = folders
    assert list(board_of(results / "a.png", gt / "more" / "b.bmp", "psnr").pictures) == ["a"]


@pytest.mark.parametrize(
    ("results", "gt", "message"),
    [
        ("results", "gt/a.bmp", "are a file and a folder"),
        ("nowhere", "gt", "nothing lies at"),
        ("empty", "gt", "no pictures below"),
        ("twice", "gt", "have the same stem"),
        ("others", "gt", r"such as z\.png and a\.bmp"),
    ],
)
def test_wrong_calls_are_explained(folders, tmp_path, results, gt, message):
    for name, files in (("empty", ()), ("twice", ("a.png", "a.bmp")), ("others", ("z.png",))):
        (tmp_path / name).mkdir()
        for file in files:
            Image.new("RGB", (8, 8)).save(tmp_path / name / file)
    with pytest.raises(InputError, match=message):
        board_of(tmp_path / results, tmp_path / gt, "psnr")


def test_sets_are_measured_over_the_pairs_that_go_together_whatever_other_metrics_refuse(folders, monkeypatch):
    arguments = {}

    def calculate(**options):
        arguments.update(options)
        return {"frechet_inception_distance": float(len(options["input1"]))}

    monkeypatch.setitem(sys.modules, "torch_fidelity", types.SimpleNamespace(calculate_metrics=calculate))
    weights = folders[0] / "inception.pth"
    weights.write_bytes(b"")
    Image.new("RGB", (64, 64)).save(folders[0] / "alone.png")
    toolbox = types.SimpleNamespace(gmsd=lambda x, y, data_range: torch.tensor(math.nan))
    monkeypatch.setitem(sys.modules, "piq", toolbox)
    opened = open_metrics(["fid", "psnr", "piq:gmsd"], weights={"fid": weights})
    with pytest.warns(UserWarning, match="FID of 2 pictures: fewer than 500"):
        board = score_paths(*folders, protocol=UINT8, opened=opened)
    assert set(board.failures) == {"a", "more/b", "alone"} and board.set_pictures == 2
    assert board.means["fid"] == 2.0 and board.document()["set_pictures"] == 2
    assert arguments["fid"] and not arguments["kid"]
    assert arguments["input1"][0].shape == (3, 64, 80)
    assert np.array_equal(arguments["input1"][1], arguments["input2"][1])


def test_a_pair_that_sets_cannot_take_is_named_without_any_other_metric(folders, monkeypatch):
    calculate = lambda **options: {"frechet_inception_distance": float(len(options["input1"]))}  # noqa: E731
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.SimpleNamespace(calculate_metrics=calculate))
    weights = folders[0] / "inception.pth"
    weights.write_bytes(b"")
    for side in folders:
        Image.new("RGB", (64, 64)).save(side / "c.png")
    Image.new("RGB", (64, 32)).save(folders[0] / "c.png")
    with pytest.warns(UserWarning, match="FID of 2 pictures"):
        board = score_paths(*folders, protocol=UINT8, opened=open_metrics(["fid"], weights={"fid": weights}))
    assert board.set_values == {"fid": 2.0} and board.set_pictures == 2
    assert "the result has 64x32 pixels and the ground truth 64x64" in board.failures["c"]


def test_whatever_another_package_raises_or_no_number_fails_alone(folders, monkeypatch):
    def vif_p(x, y, data_range):
        raise ValueError("Invalid size of the input images")

    toolbox = types.SimpleNamespace(vif_p=vif_p, gmsd=lambda x, y, data_range: torch.tensor(math.nan))
    monkeypatch.setitem(sys.modules, "piq", toolbox)
    board = board_of(*folders, "psnr", "piq:vif", "piq:gmsd")
    assert list(board.means) == ["psnr"]
    assert "are refused: Invalid size" in board.failures["a"]
    assert "piq:gmsd: is not a number" in board.failures["a"]
    with pytest.raises(ScoreError, match="Invalid size"):
        score(folders[0] / "a.png", folders[1] / "a.bmp", metrics=["piq:vif"])
