"""A picture in and out: files, inputs, padding, tiles, colour fixes."""

from ldrestore.images.color import adain_color_fix, wavelet_color_fix
from ldrestore.images.files import is_image_path, read_photo, write_photo
from ldrestore.images.inputs import to_photo, to_photos
from ldrestore.images.padding import crop_to, pad_to_multiple
from ldrestore.images.photo import Photo
from ldrestore.images.tiles import fixed_plan, plan_tiles, restore_tiled, seam_score, step_down

__all__ = [
    "Photo",
    "adain_color_fix",
    "crop_to",
    "fixed_plan",
    "is_image_path",
    "pad_to_multiple",
    "plan_tiles",
    "read_photo",
    "restore_tiled",
    "seam_score",
    "step_down",
    "to_photo",
    "to_photos",
    "wavelet_color_fix",
    "write_photo",
]
