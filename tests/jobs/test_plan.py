import os
import time
from pathlib import Path

import pytest

from ldrestore.errors import ImageWriteError, InputError, OutputExistsError
from ldrestore.jobs.outcome import Status, state_of
from ldrestore.jobs.plan import PictureFormat, plan_jobs, target_name


def plan(source, target, *, picture_format=None, is_recursive=True, may_overwrite=False):
    return plan_jobs(
        [str(one) for one in (source if isinstance(source, list) else [source])],
        str(target),
        picture_format=picture_format,
        is_recursive=is_recursive,
        may_overwrite=may_overwrite,
    )


def names(jobs):
    return [job.name for job in jobs]


@pytest.mark.parametrize(
    ("name", "picture_format", "expected"),
    [
        ("a.JPG", None, "a.JPG"),
        ("sub/a.heic", None, "sub/a.png"),
        ("a.HEIF", None, "a.png"),
        ("a.heic", PictureFormat.JPEG, "a.jpg"),
        ("a.jpeg", PictureFormat.JPEG, "a.jpeg"),
        ("a.b.png", PictureFormat.TIFF, "a.b.tif"),
    ],
)
def test_a_result_keeps_the_suffix_unless_its_format_changes(name, picture_format, expected):
    assert target_name(Path(name), picture_format) == Path(expected)


def test_a_folder_is_mirrored_and_other_files_are_counted(folder, tmp_path):
    result = plan(folder, tmp_path / "out")
    assert [(job.name, job.target.relative_to(tmp_path).as_posix()) for job in result.jobs] == [
        ("a.png", "out/a.png"),
        ("b.jpg", "out/b.jpg"),
        ("sub/c.tif", "out/sub/c.tif"),
    ]
    assert [one.path.name for one in result.ignored] == ["notes.txt"]


def test_subfolders_are_left_out_unless_asked_for(folder, tmp_path):
    result = plan(folder, tmp_path / "out", is_recursive=False)
    assert names(result.jobs) == ["a.png", "b.jpg"]
    assert result.ignored_folders == 1


def test_hidden_files_and_folders_are_ignored(folder, picture, tmp_path):
    picture(folder / ".hidden" / "d.png")
    picture(folder / ".d.png")
    result = plan(folder, tmp_path / "out")
    assert names(result.jobs) == ["a.png", "b.jpg", "sub/c.tif"]
    assert sorted(one.reason for one in result.ignored) == ["hidden", "not the suffix of a picture that can be read"]


def test_a_result_folder_inside_the_input_is_not_read_again(folder, picture):
    picture(folder / "out" / "old.png")
    assert names(plan(folder, folder / "out").jobs) == ["a.png", "b.jpg", "sub/c.tif"]


def test_links_to_folders_are_not_followed(folder, tmp_path):
    (folder / "sub" / "loop").symlink_to(folder, target_is_directory=True)
    assert names(plan(folder, tmp_path / "out").jobs) == ["a.png", "b.jpg", "sub/c.tif"]


def test_a_pipe_named_like_a_picture_fails_instead_of_hanging(folder, tmp_path):
    os.mkfifo(folder / "d.png")
    result = plan(folder, tmp_path / "out")
    assert names(result.jobs) == ["a.png", "b.jpg", "sub/c.tif"]
    assert [outcome.status for outcome in result.settled] == [Status.FAILED]
    assert "d.png: not a regular file" in result.settled[0].reason


def test_existing_results_are_skipped_unless_overwriting(folder, picture, tmp_path):
    picture(tmp_path / "out" / "a.png")
    result = plan(folder, tmp_path / "out")
    assert names(result.jobs) == ["b.jpg", "sub/c.tif"]
    assert [(outcome.job.name, outcome.status) for outcome in result.settled] == [("a.png", Status.SKIPPED)]
    assert len(plan(folder, tmp_path / "out", may_overwrite=True).jobs) == 3


def test_two_pictures_with_one_target_both_fail_before_anything_is_written(folder, picture, tmp_path):
    picture(folder / "b.png")
    result = plan(folder, tmp_path / "out", picture_format=PictureFormat.PNG, may_overwrite=True)
    assert names(result.jobs) == ["a.png", "sub/c.tif"]
    assert [outcome.job.name for outcome in result.settled] == ["b.jpg", "b.png"]
    assert "b.jpg and b.png would each become" in result.settled[0].reason


def test_an_input_is_never_a_target(tmp_path, picture):
    picture(tmp_path / "b" / "x.png")
    picture(tmp_path / "b" / "b" / "x.png", seed=1)
    result = plan(tmp_path / "b", tmp_path, may_overwrite=True)
    assert names(result.jobs) == ["x.png"]
    assert [outcome.job.name for outcome in result.settled] == ["b/x.png"]
    assert "is one of the inputs" in result.settled[0].reason


def test_a_file_goes_to_a_file_or_into_a_folder(folder, tmp_path):
    (tmp_path / "out").mkdir()
    for target, expected in [("x.png", "x.png"), ("out", "out/a.png"), ("new/", "new/a.png")]:
        (job,) = plan(folder / "a.png", f"{tmp_path}/{target}").jobs
        assert job.target == tmp_path / expected


def test_an_existing_target_file_is_refused_unless_overwriting(folder, picture, tmp_path):
    target = picture(tmp_path / "x.png")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        plan(folder / "a.png", target)
    assert len(plan(folder / "a.png", target, may_overwrite=True).jobs) == 1


def test_a_target_file_in_no_folder_is_refused(folder, tmp_path):
    with pytest.raises(ImageWriteError, match=r"there is no folder .*make the folder first"):
        plan(folder / "a.png", tmp_path / "missing" / "x.png")


@pytest.mark.parametrize(
    ("source", "target", "options", "message"),
    [
        ("missing", "out", {}, "no file or folder at .*missing"),
        ("", "", {}, "IN and OUT are the same folder"),
        ("", "a.png", {}, "IN is a folder, so OUT must be one"),
        ("a.png", "a.png", {"may_overwrite": True}, "IN and OUT are the same file"),
        ("a.png", "", {"may_overwrite": True}, "IN and OUT are the same file"),
        ("a.png", "x.xyz", {}, "OUT must end with one of .jpg, .*got 'x.xyz'"),
        ("a.png", "x", {}, "OUT must end with one of .*'/'"),
        ("a.png", "x.heic", {}, "OUT must end with one of"),
        ("a.png", "x.jpg", {"picture_format": PictureFormat.PNG}, "OUT must end with one of .png"),
    ],
)
def test_a_wrong_call_is_refused(folder, source, target, options, message):
    with pytest.raises(InputError, match=message):
        plan(folder / source, folder / target, **options)


def test_what_another_run_has_written_since_is_not_made_again(folder, picture, tmp_path):
    (tmp_path / "out").mkdir()
    before, since = picture(tmp_path / "out" / "a.png"), time.time()
    os.utime(before, (since - 5, since - 5))
    picture(tmp_path / "out" / "b.jpg")
    options = {"picture_format": None, "is_recursive": False, "may_overwrite": True, "since": since}
    result = plan_jobs([str(folder)], str(tmp_path / "out"), **options)
    assert [job.name for job in result.jobs] == ["a.png"]
    assert [outcome.reason for outcome in result.settled] == [
        f"{tmp_path / 'out' / 'b.jpg'} has been made by another run meanwhile"
    ]
    alone = plan_jobs([str(folder / "b.jpg")], str(tmp_path / "out" / "b.jpg"), **options)
    assert alone.jobs == () and len(alone.settled) == 1
    os.utime(tmp_path / "out" / "b.jpg", (since + 999, since + 999))  # the clock of another machine
    assert len(plan_jobs([str(folder)], str(tmp_path / "out"), **options).jobs) == 2


def test_what_is_named_twice_counts_once(tmp_path, monkeypatch):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(b"picture")
    (folder / "notes.txt").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    for sources in (["in", "in/a.png"], ["in/b.png", "./in"], ["in", "in/"], ["in", "./in", str(folder)]):
        made = plan(sources, "out/")
        assert sorted(Path(job.source).name for job in made.jobs) == ["a.png", "b.png"], sources
        assert made.settled == (), sources
        assert len(made.ignored) == 1, sources


def test_a_heif_and_the_png_that_it_would_become_both_fail(folder, tmp_path) -> None:
    (folder / "a.heic").write_bytes(b"x")
    result = plan(folder, tmp_path / "out")
    assert names(result.jobs) == ["b.jpg", "sub/c.tif"]
    assert [outcome.job.name for outcome in result.settled] == ["a.heic", "a.png"]
    assert "a.heic and a.png would each become" in result.settled[0].reason
    assert names(plan(folder, tmp_path / "out", picture_format=PictureFormat.BMP).jobs) == ["b.jpg", "sub/c.tif"]


def test_suffixes_of_one_format_stay_apart(tmp_path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "a.jpeg", "b.tif", "b.tiff"):
        (tmp_path / "in" / name).write_bytes(b"x")
    assert names(plan(tmp_path / "in", tmp_path / "out").jobs) == ["a.jpeg", "a.jpg", "b.tif", "b.tiff"]
    as_jpeg = plan(tmp_path / "in", tmp_path / "out", picture_format=PictureFormat.JPEG)
    assert names(as_jpeg.jobs) == ["a.jpeg", "a.jpg"] and len(as_jpeg.settled) == 2


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_in_place_of_in_and_out_are_seen_through(folder, picture, tmp_path) -> None:
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    for target in (tmp_path / "link", folder / "sub" / "..", f"{folder}/"):
        with pytest.raises(InputError, match="IN and OUT are the same folder"):
            plan(folder, target)
    (tmp_path / "a.png").symlink_to(folder / "a.png")
    with pytest.raises(InputError, match="IN and OUT are the same file"):
        plan(folder / "a.png", tmp_path / "a.png", may_overwrite=True)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (job,) = plan(tmp_path / "gone.png", tmp_path / "x.png").jobs  # it fails as a picture that cannot be read
    assert job.source == tmp_path / "gone.png"


def test_a_picture_inside_out_is_not_overwritten_by_another(folder, picture, tmp_path) -> None:
    picture(folder / "out" / "a.png", seed=9)
    result = plan([folder / "a.png", folder / "out" / "a.png"], f"{folder}/out", may_overwrite=True)
    assert result.jobs == ()
    assert all("would each become" in outcome.reason for outcome in result.settled)
    alone = plan([folder / "a.png", folder / "b.jpg", folder / "out" / "a.png"], f"{tmp_path}/new/")
    assert names(alone.jobs) == [str(folder / "b.jpg")]


def test_many_inputs_of_which_some_are_missing_are_planned_as_far_as_they_go(folder, tmp_path) -> None:
    result = plan([folder / "a.png", folder / "gone.png", tmp_path / "nowhere"], f"{tmp_path}/out/")
    assert names(result.jobs) == [str(folder / "a.png")]
    assert [outcome.error for outcome in result.settled] == ["ImageNotFoundError"] * 2
    assert all("check the path" in outcome.reason for outcome in result.settled)


@pytest.mark.parametrize("name", ["a.png ", "a.PNG.txt", "png", ".png", "a.gif", "a.svg", "a"])
def test_what_is_no_picture_by_its_name_is_left_alone(tmp_path, name) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(b"x")
    result = plan(tmp_path / "in", tmp_path / "out")
    assert result.jobs == result.settled == ()
    assert [one.path.name for one in result.ignored] == [name]


def test_the_state_of_a_result_tells_one_content_from_the_next(picture, tmp_path) -> None:
    path = picture(tmp_path / "a.png")
    before = state_of(path)
    assert before == state_of(path) != ()
    other = picture(tmp_path / "b.png", seed=1)
    other.replace(path)
    assert state_of(path) != before
    for nothing in ("gone.png", "a\0b", "n" * 300):
        assert state_of(tmp_path / nothing) == ()
