"""XMP packets, ISO 16684-1: orientation and dimensions that follow the pixels, and promises of what is gone."""

import re

MAX_PACKET = 2**24
"""Packets of more bytes are carried as they are."""

VIDEO, GAIN_MAP, EXTENSION = "the video of a motion photo", "a gain map", "an extension of the XMP packet"
"""What a packet may promise, in words."""

_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)([0-9]+)""")
_SIZES = (
    re.compile(rb"""((?:exif:PixelXDimension|tiff:ImageWidth)\s*(?:=\s*["']|>)\s*)[0-9]+"""),
    re.compile(rb"""((?:exif:PixelYDimension|tiff:ImageLength)\s*(?:=\s*["']|>)\s*)[0-9]+"""),
)

_NAMESPACES = {
    b"http://ns.google.com/photos/1.0/container/": (b"Container", None),  # a directory of the files that follow
    b"http://ns.adobe.com/hdr-gain-map/1.0/": (b"hdrgm", GAIN_MAP),
    b"http://ns.apple.com/HDRGainMap/1.0/": (b"HDRGainMap", GAIN_MAP),
    b"http://ns.apple.com/pixeldatainfo/1.0/": (b"apdi", GAIN_MAP),
    b"http://ns.adobe.com/xmp/note/": (b"xmpNote", EXTENSION),
}
"""Namespace to its usual prefix, and to what everything in it promises; None where its content tells."""

_OTHER_NAMESPACES = (b"http://ns.google.com/photos/1.0/camera/", b"http://ns.google.com/photos/1.0/container/item/")

_MOTION_NAMES = rb"[\w.-]+:(?:MicroVideo|MotionPhoto)\w*"


def xmp_orientation(packet: bytes | None) -> int | None:
    """The orientation that an XMP packet states; None where it states none."""
    match = _ORIENTATION.search(packet) if packet else None
    return int(match[2][:9]) if match else None


def upright_xmp(packet: bytes | None) -> bytes | None:
    """An XMP packet with its orientation reset; None for none or an empty one."""
    return _ORIENTATION.sub(rb"\g<1>1", packet) if packet else None


def sized_xmp(packet: bytes | None, *, width: int, height: int) -> bytes | None:
    """An XMP packet with the dimensions that it states set."""
    if packet is None:
        return None
    for pattern, size in zip(_SIZES, (width, height), strict=True):
        packet = pattern.sub(rb"\g<1>%d" % size, packet)
    return packet


def without_promises(packet: bytes | None) -> tuple[bytes | None, tuple[str, ...]]:
    """Remove what announces data that lie behind the picture in its file, and are not carried.

    Motion photos of Google, and of the makers that follow it (https://developer.android.com/media/platform/
    motion-photo-format), gain maps of Adobe, Google and Apple, and extensions of the packet itself.

    Args:
        packet: An XMP packet, or None.

    Returns:
        The packet without them, and what they promised, in words, each once.
    """
    if packet is None or len(packet) > MAX_PACKET:
        return packet, ()
    promises: list[str] = []
    packet, is_found = _without(packet, _MOTION_NAMES)
    promises += [VIDEO] * is_found
    for namespace, (usual, promise) in _NAMESPACES.items():
        names = {usual, *re.findall(rb"xmlns:([\w.-]+)\s*=\s*[\"']" + re.escape(namespace) + rb"[\"']", packet)}
        for name in sorted(names):
            whole = packet
            packet, is_found = _without(packet, re.escape(name) + rb":[\w.-]+")
            if is_found and promise is not None:
                promises.append(promise)
            elif is_found:
                promises += [VIDEO] * (b"MotionPhoto" in whole) + [GAIN_MAP] * (b"GainMap" in whole)
    return _without_unused_names(packet), tuple(dict.fromkeys(promises))


def _without_unused_names(packet: bytes) -> bytes:
    """A packet without declarations of the namespaces above for which nothing is left."""
    for namespace in (*_NAMESPACES, *_OTHER_NAMESPACES):
        declaration = re.compile(rb"\sxmlns:([\w.-]+)\s*=\s*[\"']" + re.escape(namespace) + rb"[\"']")
        for name in set(declaration.findall(packet)):
            if not re.search(rb"[\s</]" + re.escape(name) + rb":[\w.-]", packet):
                packet = declaration.sub(b"", packet)
    return packet


def _without(packet: bytes, names: bytes) -> tuple[bytes, bool]:
    """A packet without the attributes and elements of some names (a pattern), and whether there were any."""
    packet, count = re.subn(rb"\s" + names + rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')", b"", packet)
    kept, position, is_found = [], 0, count > 0
    for match in re.finditer(rb"<(" + names + rb")(?=[\s/>])[^>]*>", packet):
        if match.start() < position:  # inside of what is left out
            continue
        end = match.end()
        if not match[0].endswith(b"/>"):
            closing = b"</" + match[1]
            found = packet.find(closing, end)
            end = packet.find(b">", found) + 1 if found >= 0 else 0
            if not end:  # not well-formed: left alone
                break
        kept.append(packet[position : match.start()])
        position, is_found = end, True
    return b"".join([*kept, packet[position:]]), is_found
