import pytest

from ldrestore.checkpoints.whole_folder import whole_folder
from ldrestore.errors import ExportError, InputError


def write(folder):
    folder.mkdir()
    (folder / "a.txt").write_text("whole")


@pytest.mark.parametrize("is_there", [True, False])
def test_a_finished_folder_takes_its_place(tmp_path, is_there):
    target = tmp_path / "above" / "model"
    if is_there:
        target.mkdir(parents=True)
    with whole_folder(target) as folder:
        write(folder)
        assert not (target / "a.txt").exists()
    assert (target / "a.txt").read_text() == "whole"
    assert [path.name for path in target.parent.iterdir()] == ["model"]


def write_half(target, error):
    with whole_folder(target) as folder:
        write(folder)
        raise error


def test_an_unfinished_folder_leaves_nothing_but_those_above_it(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write_half(tmp_path / "above" / "model", KeyboardInterrupt())
    with pytest.raises(ExportError, match=r"model cannot be written \(No space left\); make room"):
        write_half(tmp_path / "model", OSError(28, "No space left"))
    assert list(tmp_path.rglob("*")) == [tmp_path / "above"]


def test_what_lies_there_is_refused_and_stays(tmp_path):
    write(tmp_path / "model")
    for target in (tmp_path / "model", tmp_path / "model/a.txt"):
        with pytest.raises(InputError, match="is not empty"), whole_folder(target):
            pass
    with pytest.raises(ExportError, match="cannot be written"), whole_folder(tmp_path / "model/a.txt/inside"):
        pass
    assert (tmp_path / "model/a.txt").read_text() == "whole"
