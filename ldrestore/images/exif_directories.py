"""Directories of EXIF as fields of stored bytes, so that what a file says is written again as it is, whatever its type.

Pillow turns values into Python's and back, which fails where a field has another type than its name asks for.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ldrestore.images.exif import CAMERA_TAG, EXIF_PREFIX, GPS_TAG, INTEROP_TAG, MAKER_NOTE_TAG, entries_of, opened_exif

MAIN = 0
"""Key of a block's first directory; the others have the tag that points to them."""

ASCII, SHORT, LONG, RATIONAL = 2, 3, 4, 5
_ITEM_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4}
"""Type to bytes that change places between the byte orders; a rational has two such items."""
_PAIRS = (5, 10)
_HOMES = {CAMERA_TAG: MAIN, GPS_TAG: MAIN, INTEROP_TAG: CAMERA_TAG}
"""Directory to the one that points to it."""
_THUMBNAIL_TAGS = (0x0201, 0x0202)


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a directory."""

    tag: int
    type: int
    value: bytes
    """Little-endian."""

    @property
    def count(self) -> int:
        """How many items of the type the value has."""
        return len(self.value) // (_ITEM_SIZES[self.type] * (2 if self.type in _PAIRS else 1))


def exif_fields(block: bytes) -> dict[int, tuple[Field, ...]]:
    """The fields of each directory of an EXIF block; without makers' notes, whose offsets hold in their file alone.

    Fields of unknown types, that lie outside the block, or that are together larger than it, and directories
    that do not fit it are left out.

    Args:
        block: With or without its prefix.

    Raises:
        ValueError: the block is damaged.
    """
    data, order, start = opened_exif(block)
    starts, directories = {MAIN: start}, {}
    room = len(data)  # fields that share their bytes could grow a small block without bound
    while starts:
        name, place = starts.popitem()
        fields = []
        try:
            entries = list(entries_of(data, order, place))
        except ValueError:
            if name == MAIN:
                raise
            continue
        for entry in entries:
            value = _little_endian(data, order, place=entry.place, kind=entry.type)
            if value is None or entry.tag in (MAKER_NOTE_TAG, *_THUMBNAIL_TAGS):
                continue
            if _HOMES.get(entry.tag) == name:
                starts[entry.tag] = int.from_bytes(value[:4], "little")
            elif entry.tag not in _HOMES and len(value) <= room:
                room -= len(value)
                fields.append(Field(entry.tag, entry.type, value))
        directories[name] = tuple(fields)
    return {name: fields for name, fields in directories.items() if fields}


def directory_bytes(fields: Iterable[Field], place: int) -> bytes:
    """A little-endian directory, its values behind it.

    Args:
        fields: Each tag once.
        place: Where it will lie in its file or block; even.
    """
    ordered = sorted(fields, key=lambda field: field.tag)
    entries, values = b"", b""
    end = place + 2 + 12 * len(ordered) + 4
    for field in ordered:
        entries += struct.pack("<HHI", field.tag, field.type, field.count)
        if len(field.value) <= 4:
            entries += field.value.ljust(4, b"\0")
        else:
            entries += struct.pack("<I", end + len(values))
            values += field.value + b"\0" * (len(field.value) % 2)
    return struct.pack("<H", len(ordered)) + entries + bytes(4) + values


def exif_block(directories: Mapping[int, Iterable[Field]]) -> bytes:
    """An EXIF block of directories, with its prefix.

    Args:
        directories: By tag, see `MAIN`.
    """
    fields = {MAIN: tuple(directories.get(MAIN, ()))}
    fields.update({tag: tuple(directories[tag]) for tag in _HOMES if tag in directories})
    names = {tag for tag in fields if _HOMES.get(tag, MAIN) in fields}
    places, place = {}, 8
    for name in sorted(names):
        pointers = [Field(tag, LONG, bytes(4)) for tag, home in _HOMES.items() if home == name and tag in names]
        places[name], place = place, place + len(directory_bytes([*fields[name], *pointers], place))
    body = b""
    for name in sorted(names):
        pointers = [
            Field(tag, LONG, places[tag].to_bytes(4, "little"))
            for tag, home in _HOMES.items()
            if home == name and tag in names
        ]
        body += directory_bytes([*fields[name], *pointers], places[name])
    return EXIF_PREFIX + b"II*\0" + (8).to_bytes(4, "little") + body


def _little_endian(data: bytearray, order: str, *, place: int, kind: int) -> bytes | None:
    """The value of the entry at a place; None for an unknown type, for none, and for one that lies outside."""
    item = _ITEM_SIZES.get(kind)
    if item is None:
        return None
    number = int.from_bytes(data[place + 4 : place + 8], "little" if order == "little" else "big")
    size = item * number * (2 if kind in _PAIRS else 1)
    start = place + 8
    if size > 4:
        start = int.from_bytes(data[start : start + 4], "little" if order == "little" else "big")
    value = bytes(data[start : start + size])
    if not size or len(value) < size:
        return None
    if order == "little" or item == 1:
        return value
    return b"".join(value[i : i + item][::-1] for i in range(0, size, item))
