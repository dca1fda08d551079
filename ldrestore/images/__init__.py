"""A picture in and out: files, inputs, padding, colour fixes."""

from ldrestore.images.color import adain_color_fix, wavelet_color_fix
from ldrestore.images.files import is_image_path, read_photo, write_photo
from ldrestore.images.inputs import to_photo, to_photos
from ldrestore.images.padding import crop_to, pad_to_multiple
from ldrestore.images.photo import Photo

__all__ = [
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
