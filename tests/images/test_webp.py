import io
import struct

import numpy as np
import pytest
from PIL import Image

from ldrestore.errors import MetadataLossWarning
from ldrestore.images.files import read_photo


def extended_webp(values, *chunks):
    """A lossless WebP of the extended format with further chunks behind its pixels."""
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "WEBP", lossless=True)
    height, width = (side - 1 for side in values.shape[:2])
    header = struct.pack("<4sII", b"VP8X", 10, 0) + width.to_bytes(3, "little") + height.to_bytes(3, "little")
    more = b"".join(struct.pack("<4sI", name, len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks)
    body = b"WEBP" + header + stream.getvalue()[12:] + more
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_credentials_that_hold_for_other_pixels_are_told(tmp_path, rng):
    values = rng.integers(0, 256, (6, 9, 3), np.uint8)
    (tmp_path / "a.webp").write_bytes(extended_webp(values, (b"odd ", b"x"), (b"C2PA", b"jumb")))
    with pytest.warns(MetadataLossWarning, match="content credentials"):
        photo = read_photo(tmp_path / "a.webp")
    np.testing.assert_array_equal(photo.pixels, values)
