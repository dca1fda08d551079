"""What every restoration pipeline returns."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from diffusers.utils import BaseOutput
from PIL import Image

from ldrestore.images.changes import Changes, changes_of
from ldrestore.images.photo import Photo
from ldrestore.options import OutputType
from ldrestore.structures import DegradationEstimate


@dataclass
class RestoreOutput(BaseOutput):
    """Restored pictures, in the order of the input."""

    images: list[Any]  # all of one kind, which the call's `output_type` names
    """8-bit PIL views by default; numpy and torch are float32 in [0, 1], with alpha, if any, as the last channel."""
    photos: list[Photo]
    """The same with their own depth, alpha, colour profile and metadata; `photo.save(path)` writes one."""
    degradations: list[DegradationEstimate]
    """What the model believes to be wrong with each picture, name to probability; empty from models that estimate
    nothing."""
    records: list[dict[str, Any]]
    """How each was made, see `ldrestore.records.make_record`."""
    advice: list[tuple[str, ...]] = field(default_factory=list)
    """Of each picture, sentences on what the model does not change unasked, and how to ask; empty from models that
    advise nothing."""
    inputs: list[Photo] = field(default_factory=list)
    """What came in, in its own depth."""

    @property
    def changes(self) -> list[Changes]:
        """What was changed in each picture, computed at each look; `.picture()` of one is its map with the scale."""
        return [changes_of(photo, original) for photo, original in zip(self.photos, self.inputs, strict=True)]


def as_output_type(photo: Photo, output_type: OutputType) -> Image.Image | np.ndarray | torch.Tensor | Photo:
    """A photo as the caller wants it; see `RestoreOutput.images`."""
    if output_type == "photo":
        return photo
    if output_type == "pil":
        return photo.to_pil()
    values = photo.pixels if photo.alpha is None else np.dstack([photo.pixels, photo.alpha])
    scaled = values.astype(np.float32) / np.float32(photo.max_value)  # (H, W, C)
    return scaled if output_type == "np" else torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))
