import json

import pytest

from ldrestore.errors import ImageWriteError, InputError, OutputExistsError
from ldrestore.explanations.saved_explanation import check_folder, write_explanation


def write(folder, figures=("usage.png",), **options):
    contents = {name: name.encode() for name in figures}
    return write_explanation(folder, document={"b": 1, "a": "ä"}, page="# Page\n", figures=contents, **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_everything_is_written_into_a_new_folder(tmp_path):
    folder = tmp_path / "new" / "why"
    assert write(folder) == names(folder) == ["explanation.json", "explanation.md", "usage.png"]
    assert json.loads((folder / "explanation.json").read_text(encoding="utf-8")) == {"a": "ä", "b": 1}
    assert (folder / "usage.png").read_bytes() == b"usage.png"


def test_an_earlier_explanation_is_kept_unless_it_is_to_be_replaced(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    write(tmp_path, figures=("usage.png", "estimate.png"))
    with pytest.raises(OutputExistsError, match="exists already"):
        write(tmp_path)
    with pytest.raises(OutputExistsError):
        check_folder(tmp_path, overwrite=False)
    assert "estimate.png" in names(tmp_path)
    write(tmp_path, overwrite=True)
    assert names(tmp_path) == ["explanation.json", "explanation.md", "notes.txt", "usage.png"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "why").write_text("mine")
    with pytest.raises(InputError, match="is a file; name a folder"):
        write(tmp_path / "why")
    with pytest.raises(ImageWriteError, match="cannot be written"):
        write(tmp_path / "why" / "below")
    assert (tmp_path / "why").read_text() == "mine"


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    folder = tmp_path / "why"
    with pytest.raises(ImageWriteError):
        write(folder, figures=("usage.png", "none/usage.png"))
    assert names(tmp_path) == []
    folder.mkdir()
    with pytest.raises(ImageWriteError):
        write(folder, figures=("usage.png", "none/usage.png"))
    assert names(folder) == []
