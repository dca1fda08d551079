"""PNG, W3C PNG, third edition: the chunks are read here, the pixels by Pillow (8 bits and less) or OpenCV (16 bits)."""

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL.PngImagePlugin import PngImageFile

from ldrestore.errors import CorruptImageError
from ldrestore.images.decoded import Decoded, SizeCheck
from ldrestore.images.exif import exif_resolution, upright_exif
from ldrestore.images.metadata import CREDENTIALS, Chunk, FileBlocks, Metadata
from ldrestore.images.photoshop import iptc_of_resources
from ldrestore.images.pillow_pixels import pixels_of
from ldrestore.images.resolution import Resolution, resolution_of

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = b"XML:com.adobe.xmp"
COLOUR_KINDS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"mDCV": 24, b"cLLI": 8}
"""Chunks that say what the values mean, besides iCCP, and their bytes."""
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
"""Colour types of the header."""

_MAX_METADATA_BYTES = 2**26  # a compressed profile or packet may announce anything
_CUT = "the file is damaged or cut off at byte {}"
TEXT_KINDS = (b"tEXt", b"zTXt", b"iTXt")
"""Chunks of text: plain, compressed, and in UTF-8."""
_PIXEL_KINDS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_LENGTHS_OF_KEYS = {GREY: 2, RGB: 6}
_CREDENTIALS = b"caBX"
_RAW_PROFILES = {
    b"Raw profile type exif": "exif",
    b"Raw profile type APP1": "exif",
    b"Raw profile type xmp": "xmp",
    b"Raw profile type iptc": "iptc",
}
"""Keywords under which ImageMagick writes blocks as text."""
_XMP_HEADER = b"http://ns.adobe.com/xap/1.0/\0"
"""What a segment APP1 of JPEG begins with that holds XMP; ImageMagick writes it as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """What the header announces."""

    width: int
    height: int
    depth: int
    colour_type: int


def decode_png(path: Path, check_size: SizeCheck) -> Decoded:
    """A PNG of any depth: grey, RGB or a palette, with alpha or transparent colours; of an animation its still picture.

    Raises:
        CorruptImageError: a chunk of the pixels is damaged or missing.
        ImageTooLargeError: more pixels than allowed.
    """
    with path.open("rb") as file:
        head = file.read(len(PNG_SIGNATURE) + 25)
        if head[12:16] != b"IHDR":
            raise CorruptImageError(path, "the file has no header", "get an intact copy of the file")
        width, height, depth, colour_type = struct.unpack(">IIBB", head[16:26])
        header = _Header(width=width, height=height, depth=depth, colour_type=colour_type)
        check_size(header.width, header.height)
        data = head + file.read()
    is_deep = header.depth == 16
    chunks, damages = _chunks_of(data, path, needs_end=is_deep)
    transparent = _transparent_colour(chunks, header, damages)
    is_palette = header.colour_type == PALETTE
    kept = (*_PIXEL_KINDS, b"tRNS") if is_palette else _PIXEL_KINDS
    still = PNG_SIGNATURE + b"".join(framed(kind, value) for kind, value in chunks if kind in kept)
    pixels, alpha = (_deep_pixels if is_deep else _shallow_pixels)(still, header, path)
    if transparent is not None:
        alpha = _alpha_of_key(pixels, transparent, header)
    animation = next((value for kind, value in chunks if kind == b"acTL"), None)
    metadata, unread = _metadata_of(chunks)
    return Decoded(
        pixels=pixels,
        alpha=alpha,
        metadata=metadata,
        bit_depth=header.depth,
        num_frames=1 if animation is None else int.from_bytes(animation[:4], "big"),
        losses=(CREDENTIALS,) if any(kind == _CREDENTIALS for kind, _ in chunks) else (),
        damages=(*damages, *unread),
    )


def png_metadata(path: Path) -> Metadata:
    """What a PNG keeps beside its pixels, before and behind them, without reading these; damaged blocks are left out.

    Args:
        path: A file that begins as a PNG does.
    """
    chunks: list[Chunk] = []
    with path.open("rb") as file:
        file.seek(len(PNG_SIGNATURE))
        while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind in _PIXEL_KINDS:
                file.seek(length + 4, os.SEEK_CUR)
                continue
            value = file.read(length)
            if int.from_bytes(file.read(4), "big") == zlib.crc32(value, zlib.crc32(kind)):
                chunks.append((kind, value))
    return _metadata_of(chunks)[0]


def framed(kind: bytes, data: bytes) -> bytes:
    """One chunk as it lies in a file: length, kind, data, checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def _deep_pixels(still: bytes, header: _Header, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of 16 bits, which Pillow would cut to 8.

    Raises:
        CorruptImageError: they are damaged.
    """
    decoded = cv2.imdecode(np.frombuffer(still, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise CorruptImageError(path, "the picture data are damaged", "get an intact copy of the file")
    values = decoded if decoded.ndim == 3 else decoded[..., None]
    if header.colour_type == GREY_ALPHA and values.shape[2] == 4:  # OpenCV gives grey with alpha as BGRA
        values = values[..., 2:]
    elif values.shape[2] >= 3:
        code = cv2.COLOR_BGR2RGB if values.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        values = cv2.cvtColor(values, code, dst=values)
    if values.shape[2] in (2, 4):
        return np.ascontiguousarray(values[..., :-1]), np.ascontiguousarray(values[..., -1])
    return values, None


def _shallow_pixels(still: bytes, header: _Header, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of 1 to 8 bits; fewer than 8 are spread over the range."""
    with PngImageFile(io.BytesIO(still)) as image:
        return pixels_of(image, path)


def _transparent_colour(chunks: list[Chunk], header: _Header, damages: list[str]) -> bytes | None:
    """What says which grey or colour is transparent; None for none, and with a note where it cannot be understood."""
    kinds = [kind for kind, _ in chunks]
    if header.colour_type not in _LENGTHS_OF_KEYS or b"tRNS" not in kinds:
        return None
    place = kinds.index(b"tRNS")
    value = chunks[place][1]
    if len(value) == _LENGTHS_OF_KEYS[header.colour_type] and b"IDAT" not in kinds[:place]:
        return value
    damages.append("a chunk b'tRNS' of the wrong length, or behind the pixels")
    return None


def _alpha_of_key(pixels: np.ndarray, transparent: bytes, header: _Header) -> np.ndarray:
    """Alpha (H, W) from the one grey or colour that is transparent; its low bits count, section 11.3.1.1."""
    num_channels = pixels.shape[2]
    white = 2**header.depth - 1
    key = [int.from_bytes(transparent[2 * i : 2 * i + 2], "big") & white for i in range(num_channels)]
    spread = np.iinfo(pixels.dtype).max // white
    is_opaque = np.any([pixels[..., i] != key[i] * spread for i in range(num_channels)], axis=0)
    return np.where(is_opaque, np.iinfo(pixels.dtype).max, 0).astype(pixels.dtype)


def _chunks_of(data: bytes, path: Path, *, needs_end: bool) -> tuple[list[Chunk], list[str]]:
    """Kind and data of all chunks, and what is wrong with those that are left out since their checksum is.

    Args:
        data: The file.
        path: For messages.
        needs_end: Whether the end must be there; Pillow misses pixels by itself, OpenCV does not.

    Raises:
        CorruptImageError: a chunk of the pixels is damaged or cut off.
    """
    chunks: list[Chunk] = []
    damages = []
    for kind, value, place, is_whole in _framed_chunks(data):
        has_pixels = any(known == b"IDAT" for known, _ in chunks)
        is_cut = place + 12 + len(value) > len(data) or len(value) < int.from_bytes(data[place : place + 4], "big")
        is_needed = kind[:1].isupper() or kind == b"tRNS" or (is_cut and not has_pixels)
        if is_whole:
            chunks.append((kind, value))
        elif is_needed and not (kind == b"IEND" and not needs_end):
            raise CorruptImageError(path, _CUT.format(place), "get an intact copy of the file")
        elif kind != b"IEND":
            damages.append(f"a chunk {kind!r} is damaged or cut off")
    if needs_end and (not chunks or chunks[-1][0] != b"IEND"):
        raise CorruptImageError(path, _CUT.format(len(data)), "get an intact copy of the file")
    return chunks, damages


def _framed_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, int, bool]]:
    """Kind, data, place and wholeness of each chunk, to the end of the picture or of the file."""
    position, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND" and position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + 12 + length
        kind, value = data[position + 4 : position + 8], data[position + 8 : end - 4]
        stored = int.from_bytes(data[end - 4 : end], "big")
        is_whole = end <= len(data) and zlib.crc32(value, zlib.crc32(kind)) == stored
        yield kind, value, position, is_whole
        position = end


def _metadata_of(chunks: list[Chunk]) -> tuple[Metadata, list[str]]:
    """Metadata of whole chunks, and what is wrong with those that cannot be read."""
    damages: list[str] = []
    found: dict[bytes, bytes] = {}
    for kind, value in chunks:
        found.setdefault(kind, value)
    texts, blocks = _texts_of(chunks, damages)
    colours = [(kind, found[kind]) for kind in COLOUR_KINDS if kind in found]
    damages += [f"a chunk {kind!r} of the wrong length" for kind, value in colours if len(value) != COLOUR_KINDS[kind]]
    profile = _read_or_none(_profile_of, found.get(b"iCCP"), damages)
    exif = _read_or_none(_checked_exif, found.get(b"eXIf") or blocks.get("exif"), damages)
    metadata = Metadata(
        icc_profile=profile,
        exif=exif,
        xmp=blocks.get("xmp"),
        blocks=FileBlocks(
            resolution=_resolution_of(found.get(b"pHYs")) or exif_resolution(exif),
            iptc=iptc_of_resources(blocks.get("iptc")) or blocks.get("iptc"),
            texts=tuple(texts),
            colour_chunks=tuple((kind, value) for kind, value in colours if len(value) == COLOUR_KINDS[kind]),
        ),
    )
    return metadata, damages


def _texts_of(chunks: list[Chunk], damages: list[str]) -> tuple[list[Chunk], dict[str, bytes]]:
    """Text chunks as they are, and what is no text among them: XMP, and blocks that ImageMagick has written as text."""
    texts: list[Chunk] = []
    blocks: dict[str, bytes] = {}
    for kind, value in chunks:
        if kind not in TEXT_KINDS:
            continue
        keyword = value.split(b"\0", 1)[0]
        name = "xmp" if keyword == XMP_KEYWORD else _RAW_PROFILES.get(keyword)
        if name is None and kind == b"zTXt" and value[len(keyword) + 1 :][:1] != b"\0":
            damages.append("a text chunk whose compression is unknown")  # for which other programs refuse the picture
        elif name is None:
            texts.append((kind, value))
        if name is None:
            continue

        def read(value: bytes, kind: bytes = kind, is_raw: bool = keyword != XMP_KEYWORD) -> bytes:
            text = text_of(kind, value)
            return bytes.fromhex(text.split(b"\n", 3)[3].decode("ascii")) if is_raw else text

        if block := _read_or_none(read, value, damages):
            name = "xmp" if block.startswith(_XMP_HEADER) else name
            blocks.setdefault(name, block.removeprefix(_XMP_HEADER))
    return texts, blocks


def text_of(kind: bytes, value: bytes) -> bytes:
    """The text of a text chunk, in its own encoding.

    Raises:
        ValueError: it is damaged or too large.
        zlib.error: it is damaged.
    """
    rest = value[value.index(b"\0") + 1 :]
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return _inflated(rest[1:])
    parts = rest[2:].split(b"\0", 2)  # language, translated keyword, text
    if len(parts) != 3:
        raise ValueError("a text chunk is cut off")
    return _inflated(parts[2]) if rest[:1] == b"\1" else parts[2]


def _read_or_none(read: Callable[[bytes], bytes], value: bytes | None, damages: list[str]) -> bytes | None:
    """What a chunk holds; None, with a note, where it is damaged."""
    try:
        return read(value) if value else None
    except (ValueError, IndexError, zlib.error) as error:
        damages.append(str(error))
        return None


def _checked_exif(block: bytes) -> bytes:
    """An EXIF block as it is.

    Raises:
        ValueError: it is damaged.
    """
    upright_exif(block)
    return block


def _profile_of(value: bytes) -> bytes:
    """The ICC profile of an iCCP chunk: name, null, method, compressed profile."""
    return _inflated(value[value.index(b"\0") + 2 :])


def _resolution_of(value: bytes | None) -> Resolution | None:
    """What a pHYs chunk states."""
    if value is None or len(value) != 9:
        return None
    x, y, unit = struct.unpack(">IIB", value)
    return resolution_of(x, y, "metre" if unit == 1 else "none")


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
