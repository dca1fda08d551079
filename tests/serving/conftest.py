import pytest

from ldrestore.serving.settings import PageSettings
from ldrestore.serving.studio import Studio
from tests.cli.conftest import picture, stable_model, tiny_model

__all__ = ["picture", "stable_model", "tiny_model"]


@pytest.fixture(scope="session")
def models_folder(tiny_model, stable_model, tmp_path_factory):
    """A folder with a tiny model of each kind, called tiny and sampler."""
    folder = tmp_path_factory.mktemp("offered")
    (folder / "tiny").symlink_to(tiny_model, target_is_directory=True)
    (folder / "sampler").symlink_to(stable_model, target_is_directory=True)
    return folder


@pytest.fixture(scope="session")
def make_settings(models_folder):
    """`make_settings(max_batch=2, ...)`: of a page on the CPU that begins with the tiny model, at a free port."""

    def make(**changes):
        plain = {"models_folder": models_folder, "first_model": "tiny", "devices": ("cpu",), "port": 0}
        return PageSettings(**plain | changes)

    return make


@pytest.fixture
def make_studio(make_settings, tmp_path):
    """`make_studio(max_batch=2, ...)`; closed after the test."""
    studios = []

    def make(**changes):
        (tmp_path / "store").mkdir(exist_ok=True)
        studios.append(Studio(make_settings(**changes), parent=tmp_path / "store"))
        return studios[-1]

    yield make
    for studio in studios:
        studio.close()


@pytest.fixture
def send(picture):
    """`send(studio, "a.png", seed=..)`: a random picture as it lies in the store after an upload."""

    def store(studio, name="a.png", **options):
        return picture(studio.store.new_folder() / name, **options)

    return store
