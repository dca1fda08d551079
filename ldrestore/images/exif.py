"""EXIF blocks, changed in place, so that makers' notes with absolute offsets stay readable."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ldrestore.images.orientation import TURNED, UPRIGHT_TAG
from ldrestore.images.resolution import Resolution, Unit, resolution_of

EXIF_PREFIX = b"Exif\0\0"
"""What an EXIF block begins with in a `Photo` and in JPEG files."""
ORIENTATION_TAG = 0x0112
X_RESOLUTION_TAG, Y_RESOLUTION_TAG, UNIT_TAG = 0x011A, 0x011B, 0x0128

RESOLUTION_UNITS: dict[int, Unit] = {1: "none", 2: "inch", 3: "centimetre"}
"""Values of ResolutionUnit, TIFF 6.0, page 38."""

CAMERA_TAG, GPS_TAG, INTEROP_TAG = 0x8769, 0x8825, 0xA005
"""Where the directories of the camera, of the place, and, in the camera's, of interoperability lie."""
MAKER_NOTE_TAG = 0x927C

_WIDTH_TAGS, _HEIGHT_TAGS = (0x0100, 0xA002), (0x0101, 0xA003)  # ImageWidth, PixelXDimension; ImageLength, ...
_RELATED_TAGS = (0x1001, 0x1002)  # RelatedImageWidth, RelatedImageLength, of interoperability
_SHORT, _LONG, _RATIONAL = 3, 4, 5  # types of a directory's values

ByteOrder = Literal["little", "big"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a directory."""

    place: int
    tag: int
    type: int


def upright_exif(block: bytes) -> tuple[bytes, int | None]:
    """Reset the orientation of an EXIF block.

    The link to the thumbnail is cut: it shows the picture unrestored and unturned. Of a block that was turned by a
    quarter, the two resolutions change places.

    Args:
        block: With or without its prefix.

    Returns:
        The block with its prefix, and the orientation that it stated; None where it stated none.

    Raises:
        ValueError: the block is damaged.
    """
    data, order, start = opened_exif(block)
    end = _end_of(data, order, start)
    orientation = None
    entries = {entry.tag: entry for entry in entries_of(data, order, start)}
    if entry := entries.get(ORIENTATION_TAG):
        size = 2 if entry.type == _SHORT else 4
        orientation = int.from_bytes(data[entry.place + 8 : entry.place + 8 + size], order)
        data[entry.place + 8 : entry.place + 12] = UPRIGHT_TAG.to_bytes(size, order).ljust(4, b"\0")
    pair = [entries.get(tag) for tag in (X_RESOLUTION_TAG, Y_RESOLUTION_TAG)]
    if orientation in TURNED and pair[0] and pair[1]:
        x, y = (slice(entry.place + 8, entry.place + 12) for entry in pair if entry)
        data[x], data[y] = data[y], data[x]
    data[end : end + 4] = bytes(len(data[end : end + 4]))
    return EXIF_PREFIX + bytes(data), orientation


def sized_exif(block: bytes, *, width: int, height: int) -> bytes:
    """Set the dimensions that an EXIF block states, where it states any; a damaged block stays as it is."""
    try:
        data, order, start = opened_exif(block)
        cameras = _pointers(data, order, start)
        for place in (start, *cameras):
            _set_sizes(data, order, place, {_WIDTH_TAGS: width, _HEIGHT_TAGS: height})
        for camera in cameras:
            for place in _pointers(data, order, camera, tag=INTEROP_TAG):
                _set_sizes(data, order, place, {_RELATED_TAGS[:1]: width, _RELATED_TAGS[1:]: height})
    except ValueError:
        return block
    return EXIF_PREFIX + bytes(data) if block.startswith(EXIF_PREFIX) else bytes(data)


def _set_sizes(data: bytearray, order: ByteOrder, place: int, sizes: Mapping[tuple[int, ...], int]) -> None:
    """Set the dimensions that a directory states, in place.

    Raises:
        ValueError: the directory does not fit.
    """
    for entry in entries_of(data, order, place):
        for tags, size in sizes.items():
            if entry.tag in tags and entry.type in (_SHORT, _LONG):
                data[entry.place + 2 : entry.place + 4] = _LONG.to_bytes(2, order)  # as wide as its place
                data[entry.place + 8 : entry.place + 12] = size.to_bytes(4, order)


def exif_resolution(block: bytes | None) -> Resolution | None:
    """The resolution that an EXIF block states; None for none and for a damaged block."""
    if not block:
        return None
    try:
        data, order, start = opened_exif(block)
        entries = {entry.tag: entry for entry in entries_of(data, order, start)}
    except ValueError:
        return None
    values = []
    for entry in (entries.get(X_RESOLUTION_TAG), entries.get(Y_RESOLUTION_TAG)):
        if entry is None or entry.type != _RATIONAL:
            return None
        place = int.from_bytes(data[entry.place + 8 : entry.place + 12], order)
        values.append(
            (int.from_bytes(data[place : place + 4], order), int.from_bytes(data[place + 4 : place + 8], order))
        )
    unit = entries.get(UNIT_TAG)
    code = 2 if unit is None else int.from_bytes(data[unit.place + 8 : unit.place + 10], order)
    width, height = values
    return resolution_of(width, height, RESOLUTION_UNITS.get(code, "inch"))


def has_maker_note(block: bytes | None) -> bool:
    """Whether an EXIF block holds a maker's note."""
    if not block:
        return False
    try:
        data, order, start = opened_exif(block)
        return any(
            entry.tag == MAKER_NOTE_TAG
            for place in _pointers(data, order, start)
            for entry in entries_of(data, order, place)
        )
    except ValueError:
        return False


def opened_exif(block: bytes) -> tuple[bytearray, ByteOrder, int]:
    """The block without its prefix, its byte order, and where its first directory starts.

    Raises:
        ValueError: the block is damaged.
    """
    data = bytearray(block)
    while data.startswith(EXIF_PREFIX):
        del data[: len(EXIF_PREFIX)]
    orders: dict[bytes, ByteOrder] = {b"II": "little", b"MM": "big"}
    order = orders.get(bytes(data[:2]))
    if order is None or int.from_bytes(data[2:4], order) != 42:
        raise ValueError("the EXIF block has no TIFF header")
    start = int.from_bytes(data[4:8], order)
    _end_of(data, order, start)
    return data, order, start


def _end_of(data: bytearray, order: ByteOrder, start: int) -> int:
    """Where the entries of a directory end, and the link to the next one lies.

    Raises:
        ValueError: the directory does not fit.
    """
    end = start + 2 + 12 * int.from_bytes(data[start : start + 2], order)
    if not 8 <= start < end <= len(data):
        raise ValueError("the EXIF directory does not fit its block")
    return end


def entries_of(data: bytearray, order: ByteOrder, start: int) -> Iterator[Entry]:
    """The values of a directory.

    Raises:
        ValueError: the directory does not fit.
    """
    for place in range(start + 2, _end_of(data, order, start), 12):
        tag, kind = (int.from_bytes(data[at : at + 2], order) for at in (place, place + 2))
        yield Entry(place, tag, kind)


def _pointers(data: bytearray, order: ByteOrder, start: int, *, tag: int = CAMERA_TAG) -> list[int]:
    """Where the directory that a tag points to starts, if there is one."""
    return [
        int.from_bytes(data[entry.place + 8 : entry.place + 12], order)
        for entry in entries_of(data, order, start)
        if entry.tag == tag
    ]
