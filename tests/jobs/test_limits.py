import numpy as np
import pytest
import tifffile
from PIL import Image

from ldrestore.jobs.limits import within_limits
from ldrestore.jobs.outcome import Status
from ldrestore.jobs.plan import PictureFormat, plan_jobs


def planned(source, target, **options):
    options = {"picture_format": None, "is_recursive": False, "may_overwrite": False} | options
    return plan_jobs([str(source)], str(target), **options)


@pytest.mark.parametrize(
    ("suffix", "width", "scale", "message"),
    [
        (".webp", 16_384, 1, "WEBP holds at most 16383 pixels a side, this picture has 16384x1"),
        (".webp", 8_200, 2, "WEBP holds at most 16383 pixels a side, this picture has 16400x2"),
        (".jpg", 65_501, 1, "JPEG holds at most 65500 pixels a side, this picture has 65501x1"),
        (".jpg", 8_200, 8, "JPEG holds at most 65500 pixels a side, this picture has 65600x8"),
    ],
)
def test_sizes_that_a_format_cannot_hold_fail_in_the_plan(picture, tmp_path, suffix, width, scale, message):
    source = picture(tmp_path / "a.png", height=1, width=width)
    plan = within_limits(planned(source, tmp_path / f"b{suffix}"), scale=scale)
    assert plan.jobs == ()
    (outcome,) = plan.settled
    assert outcome.status is Status.FAILED and outcome.error == "ImageWriteError"
    assert message in outcome.reason and outcome.reason.endswith("or with --format png")


def test_a_bmp_ends_where_its_32_bits_do(tmp_path):
    source = tmp_path / "a.tif"
    tifffile.imwrite(source, shape=(40_000, 40_000), dtype=np.uint8, photometric="minisblack", rowsperstrip=40_000)
    plan = within_limits(planned(source, tmp_path / "b.bmp"), max_pixels=2**31)
    assert "a BMP holds at most 4294967295 bytes" in plan.settled[0].reason
    assert within_limits(planned(source, tmp_path / "b.png"), max_pixels=2**31).settled == ()


def test_the_others_of_a_folder_are_done(picture, tmp_path):
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in" / "wide.png", height=1, width=16_384)
    picture(tmp_path / "in" / "small.png")
    plan = within_limits(planned(tmp_path / "in", tmp_path / "out", picture_format=PictureFormat.WEBP))
    assert [job.name for job in plan.jobs] == ["small.png"]
    assert [outcome.job.name for outcome in plan.settled] == ["wide.png"]


def test_a_turned_picture_counts_as_it_will_be_written(tmp_path):
    source = tmp_path / "a.tif"
    orientation = [(274, 3, 1, 6, True)]
    tifffile.imwrite(source, np.zeros((16_384, 1), np.uint8), photometric="minisblack", extratags=orientation)
    assert "this picture has 16384x1" in within_limits(planned(source, tmp_path / "b.webp")).settled[0].reason


@pytest.mark.parametrize(("suffix", "is_held"), [(".jpg", False), (".bmp", False), (".png", True), (".tif", True)])
def test_alpha_that_a_format_cannot_hold_fails_in_the_plan(picture, tmp_path, suffix, is_held):
    source = picture(tmp_path / "a.png")
    Image.open(source).convert("RGBA").save(source)
    plan = within_limits(planned(source, tmp_path / f"b{suffix}"))
    assert bool(plan.jobs) == is_held
    if not is_held:
        assert "cannot hold the picture's alpha; write PNG, TIFF or WebP instead" in plan.settled[0].reason


def test_too_many_pixels_fail_in_the_plan(picture, tmp_path):
    source = picture(tmp_path / "a.png", height=20, width=30)
    plan = within_limits(planned(source, tmp_path / "b.png"), max_pixels=599)
    assert "announces 30x20 pixels, more than the limit of 599" in plan.settled[0].reason
    assert plan.settled[0].error == "ImageTooLargeError"
    assert within_limits(planned(source, tmp_path / "b.png"), max_pixels=600).settled == ()


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_what_cannot_be_read_is_left_to_the_run(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    plan = planned(tmp_path / "a.png", tmp_path / "b.webp")
    assert within_limits(plan) is plan
