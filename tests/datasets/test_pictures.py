import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ldrestore.datasets.pictures import check_pictures, fault_of_picture, list_pictures, picture_size
from ldrestore.errors import ConfigError, DatasetError, MissingExtraError


@pytest.fixture
def folder(tmp_path):
    """Two pictures, and what is left out: hidden files and folders, other files."""
    for name in ("a.png", "more/b.png", "._a.png", ".hidden.png", ".ipynb_checkpoints/c.png", "more/.cache/d.png"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path)
    (tmp_path / "pictures" / "notes.txt").write_text("no picture")
    return tmp_path / "pictures"


def test_hidden_files_and_folders_are_left_out(folder):
    assert list_pictures([folder]) == [folder / "a.png", folder / "more/b.png"]


def test_a_folder_given_by_a_hidden_name_is_taken(folder):
    assert list_pictures([folder / ".ipynb_checkpoints"]) == [folder / ".ipynb_checkpoints/c.png"]


def test_a_folder_of_hidden_pictures_alone_is_empty(tmp_path):
    (tmp_path / ".a.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match="no pictures below"):
        list_pictures([tmp_path])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_folder_that_cannot_be_read_is_named(folder):
    (folder / "more").chmod(0)
    try:
        with pytest.raises(DatasetError, match=r"more: the folder cannot be read .*; check its permissions"):
            list_pictures([folder])
    finally:
        (folder / "more").chmod(0o755)


def test_the_first_file_that_is_no_picture_is_named_and_the_others_counted(folder):
    check_pictures(list_pictures([folder]))
    (folder / "c.png").write_bytes(b"")
    (folder / "d.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"c\.png: the file is empty.*take it out of the folder \(1 more"):
        check_pictures(list_pictures([folder]))


def test_a_picture_that_may_not_be_read_is_named(folder, monkeypatch):
    open_file = Path.open

    def opened(path, *arguments, **options):
        if path.name == "b.png":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return open_file(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)
    message = r"b\.png: cannot be opened \(Permission denied\); check .* permissions, or take it out of the folder$"
    with pytest.raises(DatasetError, match=message):
        check_pictures(list_pictures([folder]))


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("goal", ["nowhere.png", "link.png"])
def test_a_link_that_leads_nowhere_is_named(folder, goal):
    (folder / "link.png").symlink_to(goal)
    os.mkfifo(folder / "pipe.png")
    assert [path.name for path in list_pictures([folder])] == ["a.png", "link.png", "b.png"]
    with pytest.raises(DatasetError, match=r"link\.png: .*, or take it out of the folder$"):
        check_pictures(list_pictures([folder]))


def test_a_file_that_was_written_to_is_looked_at_again(folder):
    assert picture_size(folder / "a.png") == (30, 20)
    Image.fromarray(np.zeros((20, 31, 3), np.uint8)).save(folder / "a.png")
    assert picture_size(folder / "a.png") == (31, 20)


def test_every_fault_is_one_line_with_the_file(folder):
    for error in (ValueError("two\nlines"), KeyError(), MissingExtraError("pillow-heif", "heif", "to read it")):
        message = str(fault_of_picture(folder / "a.png", error))
        assert message.startswith(f"{folder / 'a.png'}: ")
        assert "\n" not in message
