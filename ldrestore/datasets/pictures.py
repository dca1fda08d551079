"""What all data sets share: finding pictures, reading them as RGB, cropping and turning them."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ldrestore.datasets.seeds import Key
from ldrestore.errors import ConfigError, ShapeError
from ldrestore.images.files import is_image_path, read_photo


def list_pictures(folders: Iterable[Path]) -> list[Path]:
    """All picture files below the folders, sorted by their path within each folder.

    Raises:
        ConfigError: a folder is missing, or holds no picture.
    """
    paths = []
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"no folder of pictures at {folder}")
        found = sorted(path for path in folder.rglob("*") if path.is_file() and is_image_path(path))
        if not found:
            raise ConfigError(f"no pictures below {folder}; give a folder that holds some")
        paths.extend(found)
    return paths


def read_rgb(path: Path) -> np.ndarray:
    """A picture as (H, W, 3) uint8, upright; grey becomes three equal channels, alpha is left out.

    Raises:
        ImageFileError: the file cannot be read.
    """
    photo = read_photo(path)
    pixels = photo.pixels
    if pixels.dtype != np.uint8:
        pixels = np.rint(pixels * (255.0 / photo.max_value)).astype(np.uint8)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def index_of(key: Key) -> int:
    """The picture that a key names."""
    return key[1] if isinstance(key, tuple) else key


def random_window(height: int, width: int, *, side: int, generator: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a random square.

    Raises:
        ShapeError: the picture is smaller than the square.
    """
    if height < side or width < side:
        raise ShapeError(f"cannot cut {side}x{side} out of {height}x{width}; use smaller patches or larger pictures")
    top = int(generator.integers(height - side + 1))
    left = int(generator.integers(width - side + 1))
    return slice(top, top + side), slice(left, left + side)


def turned(picture: np.ndarray, turn: int) -> np.ndarray:
    """One of the eight flips and quarter turns of a square picture.

    Args:
        picture: (H, W, C).
        turn: 0 to 7; 0 is the identity, 4 and above mirror.
    """
    picture = np.rot90(picture, turn % 4)
    return picture[:, ::-1] if turn >= 4 else picture


def enlarged_to_fit(picture: np.ndarray, side: int) -> np.ndarray:
    """The picture itself, or, where a side is shorter than `side`, enlarged until both fit. (H, W, 3) uint8."""
    height, width = picture.shape[:2]
    if min(height, width) >= side:
        return picture
    factor = side / min(height, width)
    size = (max(side, round(width * factor)), max(side, round(height * factor)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)


def to_tensor(picture: np.ndarray) -> Tensor:
    """(H, W, 3) float32 in [0, 1] to (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32))
