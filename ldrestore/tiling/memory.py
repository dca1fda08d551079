"""The one account of memory: what lies there beside the tiles while a picture is restored."""

from ldrestore.images.photo import Photo

MAP_BYTES = 3 * 4
"""Bytes a pixel of three channels in float32."""


def resident_bytes(photo: Photo, large: Photo) -> int:
    """What lies in memory from the first tile to the last: the input, its working copy, and the output.

    Args:
        photo: The input.
        large: What is restored of it; the input itself, or a copy, enlarged or not.
    """
    output = large.pixels.nbytes
    return _bytes_of(photo) + (0 if large is photo else _bytes_of(large)) + output


def whole_map_bytes(large: Photo, *, self_ensemble: bool, has_colour_fix: bool) -> int:
    """Float32 maps of the whole picture that live at the same time, for systems that hold it as a tensor.

    The damaged picture, the result and one in the making; in the self-ensemble also the sum and a turned copy, in a
    colour fix the difference, its padded copy and their low frequencies.

    Args:
        large: What is restored.
        self_ensemble: Whether eight orientations are averaged.
        has_colour_fix: Whether tones are taken from the input.
    """
    num_maps = 5 if self_ensemble or has_colour_fix else 3
    return num_maps * MAP_BYTES * large.height * large.width


def tile_map_bytes(*, self_ensemble: bool) -> int:
    """Bytes a pixel of a tile for what the self-ensemble holds beside a network's pass: sum and turned copies."""
    return 4 * MAP_BYTES if self_ensemble else 0


def _bytes_of(photo: Photo) -> int:
    """What a photo's pixels and alpha take."""
    return photo.pixels.nbytes + (0 if photo.alpha is None else photo.alpha.nbytes)
