import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def clean_folder(tmp_path):
    folder = tmp_path / "clean"
    (folder / "more").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for index, name in enumerate(("a.png", "b.png", "more/c.png")):
        coarse = generator.integers(0, 256, (6 + index, 7, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((90, 80 + index), Image.Resampling.BICUBIC).save(folder / name)
    return folder


@pytest.fixture
def scene():
    """(72, 96, 3) uint8: soft colours."""
    coarse = np.random.default_rng(3).integers(0, 200, (9, 12, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((96, 72), Image.Resampling.BICUBIC))


@pytest.fixture
def folder(tmp_path, scene):
    """Three small pictures a.png, b.png, c.png."""
    path = tmp_path / "pictures"
    path.mkdir()
    for index, name in enumerate("abc"):
        Image.fromarray(np.roll(scene, 7 * index, axis=1)[:40, :48]).save(path / f"{name}.png")
    return path
