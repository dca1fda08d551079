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
