"""What every decoder returns."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ldrestore.images.metadata import Metadata

SizeCheck = Callable[[int, int], None]
"""Takes width and height as soon as a header has told them, and raises where they are out of range."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """The first picture of a file as it is stored: unturned, in its own type."""

    pixels: np.ndarray
    """(H, W, 1 or 3), uint8, uint16 or any float."""
    alpha: np.ndarray | None
    """(H, W), of the pixels' type."""
    metadata: Metadata
    """As they lie in the file."""
    bit_depth: int
    """Bits of a stored sample."""
    num_frames: int = 1
    """Frames or pages of the file."""
    orientation: int | None = None
    """How the pixels are turned, 1 to 8, where the decoder or the user knows better than the metadata."""
    is_multiplied: bool = False
    """Whether colours are multiplied by alpha."""
    losses: tuple[str, ...] = ()
    """What else the file holds and is left out, in words."""
    damages: tuple[str, ...] = ()
    """What is wrong with metadata that are left out."""
