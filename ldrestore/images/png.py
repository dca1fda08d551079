"""PNG of 16 bits a channel, W3C PNG, third edition: Pillow would cut its colours to 8 bits."""

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from ldrestore.errors import CorruptImageError
from ldrestore.images.decoding import check_size, photo_of_values, warn_of_damaged_metadata, warn_of_more_frames
from ldrestore.images.metadata import EXIF_PREFIX, Metadata, metadata_of_blocks, upright_exif
from ldrestore.images.photo import Photo

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = b"XML:com.adobe.xmp"

_MAX_METADATA_BYTES = 2**26  # a compressed profile or packet may announce anything
_BAND_ROWS = 256
_GREY, _RGB, _GREY_ALPHA, _RGBA = 0, 2, 4, 6  # colour types of the header


def read_deep_png(path: Path, *, max_pixels: int) -> Photo:
    """A PNG of 16 bits a channel: grey or RGB, with alpha or one transparent colour.

    Raises:
        CorruptImageError: a chunk is damaged or missing.
        ImageTooLargeError: more pixels than allowed.
    """
    with path.open("rb") as file:
        head = file.read(len(SIGNATURE) + 25)
        check_size(path, *struct.unpack(">II", head[16:24]), max_pixels=max_pixels)
        data = head + file.read()
    chunks = _metadata_chunks(data, path)
    if b"acTL" in chunks:
        warn_of_more_frames(path, int.from_bytes(chunks[b"acTL"][:4], "big"))
        data = _without_animation(data, path)
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)  # orientation is not applied
    if decoded is None or decoded.dtype != np.uint16:
        raise CorruptImageError(path, "the picture data are damaged", "get an intact copy of the file")
    values = decoded if decoded.ndim == 3 else decoded[..., None]
    colour_type = data[25]
    if colour_type == _GREY and b"tRNS" in chunks:  # OpenCV leaves out the transparent shade of grey
        opaque = values != int.from_bytes(chunks[b"tRNS"][:2], "big")
        values = np.concatenate([values, opaque * np.uint16(65535)], axis=2)
    elif colour_type == _GREY_ALPHA and values.shape[2] == 4:  # OpenCV gives grey with alpha as BGRA
        values = values[..., 2:]
    elif values.shape[2] >= 3:
        code = cv2.COLOR_BGR2RGB if values.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        values = cv2.cvtColor(values, code, dst=values)
    return photo_of_values(values, _metadata_of(chunks, path), format="PNG", path=path)


def write_deep_png(
    values: np.ndarray, file: BinaryIO, *, icc_profile: bytes | None, exif: bytes | None, xmp: bytes | None
) -> None:
    """Write (H, W, 1 to 4) of uint16, or of float32 in [0, 1], which is rounded to 16 bits."""
    height, width, num_channels = values.shape
    colour_type = {1: _GREY, 2: _GREY_ALPHA, 3: _RGB, 4: _RGBA}[num_channels]
    file.write(SIGNATURE)
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    if icc_profile:
        _write_chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile))
    if exif:
        _write_chunk(file, b"eXIf", exif.removeprefix(EXIF_PREFIX))
    if xmp:
        _write_chunk(file, b"iTXt", XMP_KEYWORD + b"\0\0\0\0\0" + xmp)  # neither compressed nor translated
    compressor = zlib.compressobj(4)
    for band in _filtered_bands(values):
        if data := compressor.compress(band):
            _write_chunk(file, b"IDAT", data)
    _write_chunk(file, b"IDAT", compressor.flush())
    _write_chunk(file, b"IEND", b"")


def _filtered_bands(values: np.ndarray) -> Iterator[bytes]:
    """Rows as big-endian bytes, each the difference to the row above (filter type 2), band by band."""
    previous: np.ndarray | None = None
    for top in range(0, len(values), _BAND_ROWS):
        rows = values[top : top + _BAND_ROWS]
        if rows.dtype == np.float32:
            rows = np.rint(rows * np.float32(65535))
        rows = rows.astype(">u2").reshape(len(rows), -1).view(np.uint8)  # (h, bytes of a row)
        above = np.concatenate([np.zeros_like(rows[:1]) if previous is None else previous, rows[:-1]])
        filtered = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
        filtered[:, 0] = 2
        np.subtract(rows, above, out=filtered[:, 1:])
        previous = rows[-1:]
        yield filtered.tobytes()


def _write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    """One chunk: length, kind, data, checksum."""
    file.write(struct.pack(">I", len(data)) + kind)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


def _chunks_of(data: bytes, path: Path) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and bytes of every chunk, the latter from its length to its sum; OpenCV checks neither sums nor the end.

    Raises:
        CorruptImageError: a checksum is wrong, or the end is missing.
    """
    view, position, kind = memoryview(data), len(SIGNATURE), b""
    while kind != b"IEND":
        end = position + 12 + int.from_bytes(view[position : position + 4], "big")
        kind, stored = bytes(view[position + 4 : position + 8]), view[end - 4 : end]
        if end > len(data) or zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(stored, "big"):
            raise CorruptImageError(
                path, f"the file is damaged or cut off at byte {position}", "get an intact copy of the file"
            )
        yield kind, view[position:end]
        position = end


def _metadata_chunks(data: bytes, path: Path) -> dict[bytes, bytes]:
    """What the chunks hold that matter beside the pixels, by kind.

    Raises:
        CorruptImageError: as `_chunks_of`.
    """
    kinds = (b"iCCP", b"eXIf", b"tRNS", b"acTL", b"iTXt")
    chunks: dict[bytes, bytes] = {}
    for kind, chunk in _chunks_of(data, path):
        if kind in kinds and (kind != b"iTXt" or bytes(chunk[8:]).startswith(XMP_KEYWORD + b"\0")):
            chunks[kind] = bytes(chunk[8:-4])
    return chunks


def _without_animation(data: bytes, path: Path) -> bytes:
    """A PNG of the still picture alone: OpenCV would play the animation."""
    animation = (b"acTL", b"fcTL", b"fdAT")
    return SIGNATURE + b"".join(chunk for kind, chunk in _chunks_of(data, path) if kind not in animation)


def _metadata_of(chunks: dict[bytes, bytes], path: Path) -> Metadata:
    """Metadata of chunks; damaged ones are left out with a warning."""
    profile, packet, exif = (
        _read_or_none(read, chunks.get(kind), path)
        for read, kind in ((_profile_of, b"iCCP"), (_packet_of, b"iTXt"), (_checked_exif, b"eXIf"))
    )
    return metadata_of_blocks(icc_profile=profile, exif=exif, xmp=packet)


def _read_or_none(read: Callable[[bytes], bytes], chunk: bytes | None, path: Path) -> bytes | None:
    """What a chunk holds; None, with a warning, where it is damaged."""
    try:
        return read(chunk) if chunk else None
    except (ValueError, IndexError, zlib.error) as error:
        warn_of_damaged_metadata(path, error)
        return None


def _checked_exif(chunk: bytes) -> bytes:
    """An EXIF block as it is.

    Raises:
        ValueError: it is damaged.
    """
    upright_exif(chunk)
    return chunk


def _profile_of(chunk: bytes) -> bytes:
    """The ICC profile of an iCCP chunk: name, null, method, compressed profile."""
    return _inflated(chunk[chunk.index(b"\0") + 2 :])


def _packet_of(chunk: bytes) -> bytes:
    """The text of an iTXt chunk: keyword, null, is compressed, method, language, null, keyword again, null, text."""
    rest = chunk[chunk.index(b"\0") + 1 :]
    text = rest[2:].split(b"\0", 2)[2]
    return _inflated(text) if rest[:1] == b"\1" else text


def _inflated(data: bytes) -> bytes:
    """Decompress metadata of a size that can be.

    Raises:
        ValueError: too large.
        zlib.error: damaged.
    """
    decompressor = zlib.decompressobj()
    inflated = decompressor.decompress(data, _MAX_METADATA_BYTES)
    if not decompressor.eof:
        raise ValueError(f"a metadata block is cut off or larger than {_MAX_METADATA_BYTES} bytes")
    return inflated
