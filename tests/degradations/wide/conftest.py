import cv2
import numpy as np
import pytest
import skimage.data


@pytest.fixture(scope="session")
def photographs():
    """Twenty-four pairs of a seed and a crop, (96, 96, 3) float32, of pictures of scikit-image at half size."""
    pictures = [getattr(skimage.data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")]
    halves = [cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for picture in pictures]
    pairs = []
    for seed in range(24):
        picture, place = halves[seed % 4], np.random.default_rng(seed)
        top, left = (place.integers(side - 96 + 1) for side in picture.shape[:2])
        pairs.append((seed, picture[top : top + 96, left : left + 96].astype(np.float32) / 255))
    return pairs
