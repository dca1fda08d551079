import io

import numpy as np
import pytest
from PIL import Image

from ldrestore.images.photo import Photo
from ldrestore.images.thumbnails import thumbnail_of


@pytest.mark.parametrize("shape", [(600, 300, 3), (300, 600, 1), (5, 4, 3), (2000, 1, 1)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_a_thumbnail_is_a_small_jpeg_of_the_same_tone(shape, kind):
    white = {"uint8": 255, "uint16": 65535, "float32": 1}[np.dtype(kind).name]
    photo = Photo(pixels=np.full(shape, white * 0.6, kind))
    with Image.open(io.BytesIO(thumbnail_of(photo))) as image:
        assert image.format == "JPEG" and max(image.size) <= 240
        assert image.mode == ("L" if shape[2] == 1 else "RGB")
        assert np.asarray(image).mean() == pytest.approx(153, abs=2)


def test_transparent_parts_stand_upon_squares():
    alpha = np.zeros((100, 100), np.uint8)
    alpha[:, 50:] = 255
    photo = Photo(pixels=np.zeros((100, 100, 3), np.uint8), alpha=alpha)
    with Image.open(io.BytesIO(thumbnail_of(photo))) as image:
        pixels = np.asarray(image).astype(int)
    assert pixels[:, 56:].max() < 20 and pixels[:, :44].min() > 120 and np.ptp(pixels[:, :44]) > 30
