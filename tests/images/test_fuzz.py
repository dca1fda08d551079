"""Thousands of damaged files at the reader: each is read or refused with a typed error, none crashes or hangs it."""

import io
import warnings

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ldrestore.errors import ImageFileError
from ldrestore.images.files import read_photo
from ldrestore.images.inputs import to_photo

NUM_FILES = 2400


def seeds():
    """Small intact files of every format, by name."""
    pixels = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    files = {}
    for name, mode, options in (
        ("JPEG", "RGB", {"exif": exif}),
        ("JPEG", "CMYK", {}),
        ("PNG", "RGBA", {"exif": exif}),
        ("PNG", "P", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("TIFF", "P", {"exif": exif}),
        ("TIFF", "1", {"compression": "group4"}),
        ("WEBP", "RGBA", {"exif": exif}),
        ("BMP", "RGB", {}),
    ):
        buffer = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(buffer, name, **options)
        files[f"{name} {mode}"] = buffer.getvalue()
    for name, values in (("16-bit", pixels.astype(np.uint16) * 257), ("float", pixels.astype(np.float32) / 255)):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, values, photometric="rgb", compression="zlib")
        files[f"TIFF {name}"] = buffer.getvalue()
    return files


FILES = seeds()


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    deep = folder / "deep.png"
    to_photo(np.random.default_rng(0).integers(0, 65536, (10, 12, 3), dtype=np.uint16)).save(deep)
    FILES["PNG 16-bit"] = deep.read_bytes()
    return folder / "damaged"


@pytest.mark.timeout(240)
@settings(max_examples=NUM_FILES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_files_are_read_or_refused(target, data):
    damaged = bytearray(FILES[data.draw(st.sampled_from(sorted(FILES)))])
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(("flip", "cut", "insert", "zero", "splice", "random tail")))
        place = data.draw(st.integers(0, max(0, len(damaged) - 1)))
        if kind == "flip" and damaged:
            damaged[place] ^= data.draw(st.integers(1, 255))
        elif kind == "cut":
            del damaged[place : place + data.draw(st.integers(1, 400))]
        elif kind == "insert":
            damaged[place:place] = data.draw(st.binary(min_size=1, max_size=16))
        elif kind == "splice":
            other = FILES[data.draw(st.sampled_from(sorted(FILES)))]
            damaged[place:] = other[data.draw(st.integers(0, len(other) - 1)) :]
        elif kind == "random tail":
            damaged[max(16, place) :] = data.draw(st.binary(max_size=64))
        elif damaged:
            end = min(len(damaged), place + data.draw(st.integers(1, 64)))
            damaged[place:end] = bytes(end - place)
    target.write_bytes(damaged)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # damaged metadata are left out with a warning
        try:
            photo = read_photo(target, max_pixels=10**6)
        except ImageFileError:
            return
    assert photo.pixels.size > 0
    assert photo.pixels.shape[0] * photo.pixels.shape[1] <= 10**6
