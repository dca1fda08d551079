"""Image resources of Photoshop, in which JPEG and TIFF keep the records of IPTC."""

import struct

_SIGNATURE = b"8BIM"
IPTC_RESOURCE = 0x0404
SEGMENT_HEADER = b"Photoshop 3.0\0"
"""What the segment APP13 of a JPEG begins with."""


def iptc_of_resources(block: bytes | None) -> bytes | None:
    """Records of IPTC among resources as they lie in a file; None where there are none, or the block is damaged.

    Those of several resources are joined, as their records are.
    """
    place, records = 0, b""
    while block and block[place : place + 4] == _SIGNATURE and place + 7 <= len(block):
        code = int.from_bytes(block[place + 4 : place + 6], "big")
        place += 6 + 1 + block[place + 6]  # the resource's name
        place += place % 2
        size = int.from_bytes(block[place : place + 4], "big")
        if place + 4 + size > len(block):
            break
        if code == IPTC_RESOURCE:
            records += block[place + 4 : place + 4 + size]
        place += 4 + size + size % 2
    return records or None


def resources_of_iptc(records: bytes) -> bytes:
    """One resource that holds records of IPTC."""
    return _SIGNATURE + struct.pack(">HBBI", IPTC_RESOURCE, 0, 0, len(records)) + records + b"\0" * (len(records) % 2)
