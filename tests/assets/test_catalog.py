import pytest

from ldrestore.assets.catalog import MODELS, embedded_folder, folder_of
from ldrestore.errors import WeightsUnavailableError
from tests.embedded_models import embed_folder


@pytest.mark.parametrize("record", list(MODELS), ids=lambda record: record.name)
def test_every_name_stands_for_a_whole_folder(record):
    folder = embedded_folder(record.name)
    assert folder == folder_of(record)
    assert {"model_index.json", "README.md"} <= {path.name for path in folder.iterdir()}


def test_what_is_no_name_is_no_embedded_folder(tmp_path):
    assert embedded_folder("somebody/model") is None
    assert embedded_folder(tmp_path) is None


def test_missing_weights_are_an_error(monkeypatch, tmp_path):
    embed_folder(monkeypatch, tmp_path / "gone", name="lost")
    with pytest.raises(WeightsUnavailableError, match="weights of 'lost' are missing"):
        embedded_folder("lost")
