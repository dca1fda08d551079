import os

import pytest

from ldrestore.errors import ConfigError, UnknownNameError
from ldrestore.serving.offered_models import find_offered, offered_models


def test_folders_without_a_model_are_left_out(tmp_path):
    (tmp_path / "notes").mkdir()
    with pytest.raises(ConfigError, match="holds no folder with a model"):
        offered_models(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model_index.json").write_text("{}")
    (tmp_path / "small.onnx").write_bytes(b"x")
    models = offered_models(tmp_path)
    assert [name for name in models if name in ("mine", "notes", "small.onnx")] == ["mine", "small.onnx"]
    assert models["mine"].location == str(tmp_path / "mine")


def test_a_name_of_ours_is_not_taken_over(tmp_path):
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "model_index.json").write_text("{}")
    with pytest.raises(ConfigError, match="called like an embedded model"):
        offered_models(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ConfigError, match="gone"):
        offered_models(tmp_path / "gone")


def test_a_model_is_offered_by_its_folder_and_found_by_no_other_name(tmp_path) -> None:
    for name in ("mine", "<b>bold</b>".replace("/", "_")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model_index.json").write_text("{}")
    (tmp_path / "plain.ONNX").write_bytes(b"x")
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "mine", target_is_directory=True)
    models = offered_models(tmp_path)
    own = {name for name, model in models.items() if model.location.startswith(str(tmp_path))}
    assert own == {"mine", "<b>bold<_b>", "plain.ONNX", "linked"}
    assert models["linked"].location == models["mine"].location
    assert models["plain.ONNX"].summary == "an exported network"
    with pytest.raises(UnknownNameError, match="did you mean 'mine'"):
        find_offered(models, "Mine")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path) -> None:
    (tmp_path / "a\nb").write_text("x")
    with pytest.raises(ConfigError, match=r"takes a folder of models, got .*a\\nb"):
        offered_models(tmp_path / "a\nb")


def test_a_name_that_no_browser_can_be_told_is_refused(tmp_path) -> None:
    folder = tmp_path / os.fsdecode(b"mod\xe8le")
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"mod\\xe8le .* rename the folder"):
        offered_models(tmp_path)
