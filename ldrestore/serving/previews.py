"""What a browser shows of a picture: 8 bits, upright, with its colour profile, no larger than it can take."""

from pathlib import Path

from PIL import Image

from ldrestore.images.photo import Photo

PAINTED_SIDE = 1280
"""Longest side, in pixels, of the picture that a mask is painted upon."""
COMPARED_SIDE = 4096
"""Longest side, in pixels, of the two pictures under the divider."""
LOSSLESS_PIXELS = 4_000_000
"""Larger previews are JPEG."""


def write_preview(photo: Photo, path: Path, *, longest: int, enlarged: int = 1) -> Path:
    """Write what a browser is to show.

    Args:
        photo: The picture.
        path: Of the file without a suffix.
        longest: Side, in pixels, that larger pictures are shrunk to.
        enlarged: How many times it is enlarged first, to be compared with a result of that size.

    Returns:
        The file: PNG, or JPEG where that is many times smaller.

    Raises:
        OSError: the disk is full.
    """
    image = photo.to_pil()
    width, height = image.width * enlarged, image.height * enlarged
    shrunk = min(1.0, longest / max(width, height))
    size = max(1, round(width * shrunk)), max(1, round(height * shrunk))
    if size != image.size:
        image = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    profile = {} if photo.icc_profile is None else {"icc_profile": photo.icc_profile}
    if photo.alpha is None and image.width * image.height > LOSSLESS_PIXELS:
        target = path.with_suffix(".jpg")
        image.save(target, "JPEG", quality=95, subsampling=0, **profile)
    else:
        target = path.with_suffix(".png")
        image.save(target, "PNG", compress_level=1, **profile)
    return target
