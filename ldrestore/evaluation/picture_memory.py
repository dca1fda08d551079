"""Pictures that stay in memory from one step of a benchmark to the next, so that what was just written is not read."""

from ldrestore.images.photo import Photo

MOST_REMEMBERED = 2**28
"""Bytes of pixels."""


class PictureMemory:
    """Pictures by a key that says their pixels: a hash of them, or the file that they were read from.

    The first ones that fit are kept, since each step takes pictures in the same order.
    """

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        """Begin with none.

        Args:
            most: Bytes of pixels that are kept.
        """
        self._left = most
        self._kept: dict[str, Photo] = {}

    def get(self, key: str) -> Photo | None:
        """The picture of a key; None where it is not kept."""
        return self._kept.get(key)

    def keep(self, key: str, photo: Photo) -> None:
        """Keep the pixels and the alpha of a picture, as far as memory is left; nothing else that it carries.

        Floats are not kept, since files hold them rounded.
        """
        size = photo.pixels.nbytes + (0 if photo.alpha is None else photo.alpha.nbytes)
        if key not in self._kept and size <= self._left and photo.pixels.dtype.kind != "f":
            self._left -= size
            self._kept[key] = Photo(pixels=photo.pixels, alpha=photo.alpha)
