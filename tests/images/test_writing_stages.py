"""A picture is there whole or not at all, whichever stage of writing fails, in every format."""

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ldrestore.errors import ImageWriteError, OutputExistsError, PixelRangeError
from ldrestore.images.files import read_photo
from ldrestore.images.photo import Photo

SUFFIXES = (".png", ".jpg", ".tif", ".webp", ".bmp")
FULL, READ_ONLY, BROKEN = (28, "No space left on device"), (30, "Read-only file system"), (5, "Input/output error")


@pytest.fixture
def noise() -> np.ndarray:
    """(120, 130, 3) uint8, which no format makes small."""
    return np.random.default_rng(0).integers(0, 256, (120, 130, 3), dtype=np.uint8)


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    return fail


STAGES: dict[str, tuple[object, str]] = {
    "opening": (Path, "open"),
    "flushing": (os, "fsync"),
    "taking the name": (Path, "replace"),
}


@pytest.mark.parametrize("problem", [FULL, READ_ONLY, BROKEN])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_stage_that_fails_is_one_line_and_leaves_what_was_there(
    suffix: str,
    stage: str,
    problem: tuple[int, str],
    noise: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / f"a{suffix}"
    Photo(pixels=noise).save(path)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(*STAGES[stage], raising(OSError(*problem)))
        with pytest.raises(ImageWriteError, match=rf"a{suffix}: cannot be written \({problem[1]}\); check") as caught:
            Photo(pixels=noise[::-1].copy()).save(path, overwrite=True)
    assert str(caught.value).isprintable()
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_bytes() == before


@contextmanager
def files_of_at_most(num_bytes: int) -> Iterator[None]:
    """Let no file grow beyond a size, as on a disk that is full."""
    handler, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("num_bytes", [0, 1, 100, 5000])
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_disk_that_is_full_after_some_bytes_leaves_nothing(
    suffix: str, num_bytes: int, dtype: type, noise: np.ndarray, tmp_path: Path
) -> None:
    photo = Photo(pixels=noise.astype(dtype) * dtype(257 if dtype == np.uint16 else 1))
    message = rf"a{suffix}: cannot be written \(.*\); check folder, space and format"
    with pytest.raises(ImageWriteError, match=message), files_of_at_most(num_bytes):
        photo.save(tmp_path / f"a{suffix}")
    assert os.listdir(tmp_path) == []
    photo.save(tmp_path / f"a{suffix}")
    assert read_photo(tmp_path / f"a{suffix}").pixels.shape == noise.shape


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), RuntimeError("of the caller")])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_whoever_breaks_off_beside_the_whole_file_leaves_no_picture(
    suffix: str, error: BaseException, noise: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(type(error)):
        Photo(pixels=noise).save(tmp_path / f"a{suffix}", on_written=raising(error))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_belongs_beside_a_picture_sees_the_whole_file_before_it_has_its_name(
    suffix: str, noise: np.ndarray, tmp_path: Path
) -> None:
    found: list[tuple[Path, bytes, bool]] = []
    path = tmp_path / f"a{suffix}"
    Photo(pixels=noise).save(path, on_written=lambda place: found.append((place, place.read_bytes(), path.exists())))
    [(place, content, is_there)] = found
    assert (place.parent, is_there) == (tmp_path, False) and place.name.startswith(".")
    assert path.read_bytes() == content


def test_what_is_wrong_with_the_picture_itself_touches_no_file(noise: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(PixelRangeError):
        Photo(pixels=noise.astype(np.float32)).save(path)
    assert os.listdir(tmp_path) == []
    Photo(pixels=noise).save(path)
    state = path.stat()
    with pytest.raises(OutputExistsError):
        Photo(pixels=noise).save(path)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (state.st_mtime_ns, state.st_ino)
    assert os.listdir(tmp_path) == ["a.png"]
