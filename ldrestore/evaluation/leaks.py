"""Pictures of a benchmark that lie in a folder of training pictures: equal by their pixels, or alike at a glance."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ldrestore.datasets.pictures import list_pictures, read_rgb
from ldrestore.errors import ImageFileError
from ldrestore.records import hash_of_pixels

MOST_BITS = 4
"""Bits of 64 in which two difference hashes may differ, for two pictures to be called alike."""
_FLAT = 2.0
"""Standard deviation in 8-bit units below which a shrunk picture says nothing, such as a plain sky."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A picture that is in both."""

    picture: str
    """Of the benchmark."""
    training: str
    """Of the training folder, relative to it."""
    is_exact: bool
    """Whether every pixel is equal; else they are alike when shrunk to 9 x 8 pixels."""

    def __str__(self) -> str:
        """In words."""
        how = "pixel by pixel" if self.is_exact else "alike by its difference hash; look at both"
        return f"{self.picture} is among the training pictures as {self.training} ({how})"


def find_leaks(pictures: Iterable[tuple[str, Path]], train_root: Path) -> list[Leak]:
    """Look for pictures of a benchmark in a folder of training pictures.

    Args:
        pictures: Name and file of each ground truth.
        train_root: Searched with all its folders.

    Raises:
        ConfigError: the folder is missing or holds no picture.
    """
    exact: dict[str, str] = {}
    hashes, names = [], []
    for path in list_pictures([train_root]):
        pixels = _read(path)
        if pixels is None:
            continue
        name = path.relative_to(train_root).as_posix()
        exact.setdefault(hash_of_pixels(pixels, None), name)
        code = difference_hash(pixels)
        if code is not None:
            hashes.append(code)
            names.append(name)
    known = np.array(hashes, dtype=np.uint64)
    leaks = []
    for name, path in pictures:
        pixels = _read(path)
        if pixels is None:
            continue
        same = exact.get(hash_of_pixels(pixels, None))
        if same is not None:
            leaks.append(Leak(picture=name, training=same, is_exact=True))
            continue
        code = difference_hash(pixels)
        if code is None or not len(known):
            continue
        bits = np.bitwise_count(known ^ code)
        if bits.min() <= MOST_BITS:
            leaks.append(Leak(picture=name, training=names[int(bits.argmin())], is_exact=False))
    return leaks


def difference_hash(pixels: np.ndarray) -> np.uint64 | None:
    """64 bits: whether each pixel of the picture, shrunk to 9 x 8 grey ones, is darker than its right neighbour.

    Args:
        pixels: (H, W, 3) uint8.

    Returns:
        The bits; None for a picture so flat that they would be noise.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    if small.std() < _FLAT:
        return None
    bits = (small[:, 1:] > small[:, :-1]).reshape(-1)
    return np.uint64(np.packbits(bits).view(">u8")[0])


def _read(path: Path) -> np.ndarray | None:
    """A picture as RGB; None for a file that cannot be read, which is not for this search to say."""
    try:
        return read_rgb(path)
    except ImageFileError:
        return None
