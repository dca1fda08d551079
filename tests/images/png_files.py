"""PNG files written out by the specification."""

import struct
import zlib

import numpy as np


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def shallow_png(values, depth, colour_type, *extra):
    """A PNG of 1 to 8 bits a channel without filters, written out by the specification; (H, W, C) of codes."""
    height, width = values.shape[:2]
    bits = (values.reshape(height, -1, 1) >> np.arange(depth)[::-1]) & 1  # (H, W * C, depth)
    rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    chunks = (chunk(b"IHDR", header), *extra, chunk(b"IDAT", data), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
