"""Formats are told apart by their first bytes, whatever the file is called."""

import io

import numpy as np
import pytest
from PIL import Image

from ldrestore.images.formats import HEAD_BYTES, READ_FORMATS, SUPPORTED_SUFFIXES, format_of, is_image_path


@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_what_pillow_writes_is_known_by_its_head(name):
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(file, name)
    assert format_of(file.getvalue()[:HEAD_BYTES]) == name
    assert name in READ_FORMATS


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1", "HEIF"),
        (b"\0\0\0\x18ftypmif1", "HEIF"),
        (b"\0\0\0\x18ftypavif", None),
        (b"\0\0\0\x18ftypisom", None),  # a film
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"II+\0\x08\0\0\0", "TIFF"),
        (b"RIFF\x10\0\0\0WAVE", None),
        (b"GIF89a", None),
        (b"%PDF-1.7", None),
        (b"", None),
        (b"\xff\xd8", None),
    ],
)
def test_other_heads(head, name):
    assert format_of(head) == name


def test_suffixes_are_told_in_any_case():
    assert is_image_path("A.JPG") and is_image_path("b.HeiC") and is_image_path("c.d.tiff")
    assert not any(map(is_image_path, ("a.gif", "png", "a.png.txt", ".png", "a")))
    assert all(is_image_path(f"a{suffix}") for suffix in SUPPORTED_SUFFIXES)
