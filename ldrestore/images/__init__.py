"""A picture in and out: files, inputs, padding, colour fixes.

Importing this imports no torch; the names of `_LAZY`, which compute on tensors, are resolved on first use.
"""

from importlib import import_module
from typing import Any

from ldrestore.images.files import is_image_path, read_photo, write_photo
from ldrestore.images.inputs import to_photo, to_photos
from ldrestore.images.metadata import FileBlocks
from ldrestore.images.photo import Photo

_LAZY = {
    "adain_color_fix": "ldrestore.images.color",
    "crop_to": "ldrestore.images.padding",
    "pad_to_multiple": "ldrestore.images.padding",
    "wavelet_color_fix": "ldrestore.images.color",
}

__all__ = [
    "FileBlocks",
    "Photo",
    "adain_color_fix",
    "crop_to",
    "is_image_path",
    "pad_to_multiple",
    "read_photo",
    "to_photo",
    "to_photos",
    "wavelet_color_fix",
    "write_photo",
]


def __getattr__(name: str) -> Any:
    """Import a function on tensors on first use."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
