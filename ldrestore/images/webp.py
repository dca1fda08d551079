"""WebP."""

import struct
from collections.abc import Iterator
from pathlib import Path

from PIL.WebPImagePlugin import WebPImageFile

from ldrestore.images.decoded import Decoded, SizeCheck
from ldrestore.images.exif import exif_resolution
from ldrestore.images.metadata import CREDENTIALS, FileBlocks, Metadata
from ldrestore.images.pillow_pixels import pixels_of


def decode_webp(path: Path, check_size: SizeCheck) -> Decoded:
    """A WebP, its first frame.

    Raises:
        ImageTooLargeError: more pixels than allowed.
    """
    with WebPImageFile(path) as image:
        check_size(*image.size)
        pixels, alpha = pixels_of(image, path)
        info, num_frames = image.info, getattr(image, "n_frames", 1)
    exif = info.get("exif")
    metadata = Metadata(
        icc_profile=info.get("icc_profile"),
        exif=exif,
        xmp=info.get("xmp"),
        blocks=FileBlocks(resolution=exif_resolution(exif)),
    )
    losses = (CREDENTIALS,) if b"C2PA" in _chunk_names(path) else ()
    return Decoded(pixels=pixels, alpha=alpha, metadata=metadata, bit_depth=8, num_frames=num_frames, losses=losses)


def _chunk_names(path: Path) -> Iterator[bytes]:
    """What the parts of the file are called, without reading them."""
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", head)
            yield name
            file.seek(size + size % 2, 1)
