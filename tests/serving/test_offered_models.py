import pytest

from ldrestore.errors import ConfigError
from ldrestore.serving.offered_models import offered_models


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
