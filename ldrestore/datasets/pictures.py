"""What all data sets share: finding pictures, reading them as RGB, cropping and turning them."""

import os
import warnings
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ldrestore.datasets.seeds import Key
from ldrestore.errors import (
    ConfigError,
    DatasetError,
    EmbeddingCacheError,
    ImageFileError,
    MetadataLossWarning,
    MissingExtraError,
    ShapeError,
)
from ldrestore.images.files import is_image_path, read_photo
from ldrestore.images.headers import read_size


def list_pictures(folders: Iterable[Path]) -> list[Path]:
    """All picture files below the folders, sorted by their path within each folder.

    Hidden files and folders, whose names begin with a dot, are left out, as are links to folders, pipes and devices. A
    link that leads nowhere is a picture that cannot be read, which `check_pictures` names.

    Raises:
        ConfigError: a folder is missing, or holds no picture.
        DatasetError: a folder cannot be looked into.
    """
    paths = []
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"no folder of pictures at {folder}; check the path")
        found = sorted(_pictures_below(folder))
        if not found:
            raise ConfigError(f"no pictures below {folder}; give a folder that holds some")
        paths.extend(found)
    return paths


def check_pictures(paths: Iterable[Path]) -> None:
    """Look at the headers of files, so that what is no picture is found before the first step and not in the last.

    Raises:
        DatasetError: files are no pictures, empty, or cannot be opened; names the first one with what to do, and how
            many more there are.
    """
    faults = []
    for path in paths:
        try:
            picture_size(path)
        except (ImageFileError, MissingExtraError) as error:
            faults.append(fault_of_picture(path, error))
    if faults:
        more = f" ({len(faults) - 1} more are like it)" if len(faults) > 1 else ""
        raise DatasetError(f"{faults[0]}{more}")


def fault_of_picture(path: Path | str, error: Exception) -> DatasetError:
    """What to tell of a picture that could not be read, cut or degraded, in one line.

    Args:
        path: The file, or what stands for it.
        error: What was raised.
    """
    if isinstance(error, DatasetError):
        return error
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ImageFileError):
        return DatasetError(f"{reason}, or take it out of the folder")
    if isinstance(error, EmbeddingCacheError):
        return DatasetError(reason)
    if isinstance(error, MissingExtraError):
        return DatasetError(f"{path}: {reason}")
    return DatasetError(
        f"{path}: cannot be made into a training pair ({type(error).__name__}: {reason}); "
        "take it out of the folder, or change what the config does to it"
    )


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture, upright, by its header; remembered for as long as the file is not written to.

    Raises:
        ImageFileError: the file is no picture, or its header is damaged.
    """
    try:
        status = path.stat()
    except OSError:
        return read_size(path)  # says what is wrong
    return _remembered_size(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=2**20)
def _remembered_size(path: Path, num_bytes: int, time: int, inode: int) -> tuple[int, int]:
    """The size of one state of a file."""
    return read_size(path)


def _pictures_below(folder: Path) -> list[Path]:
    """Pictures in a folder and its sub-folders, in no order.

    Raises:
        DatasetError: a folder cannot be looked into.
    """
    paths: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        candidates = (Path(place) / name for name in names if not name.startswith(".") and is_image_path(name))
        paths.extend(path for path in candidates if path.is_file() or not os.path.exists(path))
    return paths


def _refuse(error: OSError) -> None:
    """End the search where a folder cannot be looked into.

    Raises:
        DatasetError: always.
    """
    raise DatasetError(
        f"{error.filename}: the folder cannot be read ({error.strerror}); check its permissions"
    ) from error


def read_rgb(path: Path) -> np.ndarray:
    """A picture as (H, W, 3) uint8, upright; grey becomes three equal channels, alpha is left out.

    Raises:
        ImageFileError: the file cannot be read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetadataLossWarning)  # nothing but pixels is asked of it
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
