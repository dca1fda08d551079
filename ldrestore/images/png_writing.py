"""PNG of 8 and of 16 bits a channel, with all chunks of metadata; Pillow writes the pixels of 8 bits."""

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image

from ldrestore.images.bit_depth import BAND_ROWS
from ldrestore.images.exif import EXIF_PREFIX
from ldrestore.images.metadata import Chunk, Metadata
from ldrestore.images.pillow_writing import save_with_pillow
from ldrestore.images.png import GREY, GREY_ALPHA, PNG_SIGNATURE, RGB, RGBA, XMP_KEYWORD, framed
from ldrestore.images.resolution import Resolution

_HEADER_BYTES = len(PNG_SIGNATURE) + 25  # with IHDR, which comes first; chunks of metadata may follow
_LARGEST = 2**31 - 1


def write_png(image: Image.Image, file: BinaryIO, *, metadata: Metadata) -> None:
    """Write an 8-bit Pillow image of mode L, LA, RGB or RGBA."""
    save_with_pillow(image, file, "PNG", place=_HEADER_BYTES, inserted=_encoded(metadata))


def write_deep_png(values: np.ndarray, file: BinaryIO, *, metadata: Metadata) -> None:
    """Write (H, W, 1 to 4) of uint16, or of float32 in [0, 1], which is rounded to 16 bits."""
    height, width, num_channels = values.shape
    colour_type = {1: GREY, 2: GREY_ALPHA, 3: RGB, 4: RGBA}[num_channels]
    file.write(PNG_SIGNATURE)
    file.write(framed(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)))
    file.write(_encoded(metadata))
    compressor = zlib.compressobj(4)
    for band in _filtered_bands(values):
        if data := compressor.compress(band):
            file.write(framed(b"IDAT", data))
    file.write(framed(b"IDAT", compressor.flush()))
    file.write(framed(b"IEND", b""))


def _encoded(metadata: Metadata) -> bytes:
    """All chunks of metadata as they lie in a file."""
    return b"".join(framed(kind, value) for kind, value in _chunks_of(metadata))


def _chunks_of(metadata: Metadata) -> Iterator[Chunk]:
    """Chunks of metadata that may follow the header, those of colour first."""
    blocks = metadata.blocks
    for kind, value in blocks.colour_chunks:
        if not (kind == b"sRGB" and metadata.icc_profile):  # only one of the two may be there
            yield kind, value
    if metadata.icc_profile:
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc_profile)
    if blocks.resolution is not None:
        yield b"pHYs", _physical_size(blocks.resolution)
    if metadata.exif:
        yield b"eXIf", metadata.exif.removeprefix(EXIF_PREFIX)
    if metadata.xmp:
        yield b"iTXt", XMP_KEYWORD + b"\0\0\0\0\0" + metadata.xmp  # neither compressed nor translated
    yield from blocks.texts
    for comment in blocks.comments:
        yield _commented(comment)


def _physical_size(resolution: Resolution) -> bytes:
    """The pHYs chunk: pixels a metre, or the shape of a pixel."""
    is_metric = resolution.unit != "none"
    values = resolution.per("metre") if is_metric else (resolution.x * 1000, resolution.y * 1000)
    x, y = (min(max(round(value), 1), _LARGEST) for value in values)
    return struct.pack(">IIB", x, y, is_metric)


def _commented(comment: bytes) -> Chunk:
    """A comment of JPEG as a text chunk; what is neither UTF-8 nor ASCII is taken for Latin-1."""
    comment = comment.replace(b"\0", b"")
    if comment.isascii():
        return b"tEXt", b"Comment\0" + comment
    try:
        comment.decode("utf-8")
    except UnicodeDecodeError:
        return b"tEXt", b"Comment\0" + comment
    return b"iTXt", b"Comment\0\0\0\0\0" + comment


def _filtered_bands(values: np.ndarray) -> Iterator[bytes]:
    """Rows as big-endian bytes, each the difference to the row above (filter type 2), band by band."""
    previous: np.ndarray | None = None
    for top in range(0, len(values), BAND_ROWS):
        rows = values[top : top + BAND_ROWS]
        if rows.dtype == np.float32:
            rows = np.rint(rows * np.float32(65535))
        rows = rows.astype(">u2").reshape(len(rows), -1).view(np.uint8)  # (h, bytes of a row)
        above = np.concatenate([np.zeros_like(rows[:1]) if previous is None else previous, rows[:-1]])
        filtered = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
        filtered[:, 0] = 2
        np.subtract(rows, above, out=filtered[:, 1:])
        previous = rows[-1:]
        yield filtered.tobytes()
