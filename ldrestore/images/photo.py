"""A picture as the library holds it: pixels in their own depth, and what a file keeps beside them."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ldrestore.errors import ShapeError
from ldrestore.images.bit_depth import MAX_VALUES
from ldrestore.images.encoding import pil_view, write_picture
from ldrestore.images.metadata import FileBlocks, Metadata


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Photo:
    """An upright picture with its alpha, colour profile and metadata."""

    pixels: np.ndarray
    """(H, W, C), C 1 or 3; uint8, uint16, or float32 in [0, 1]; encoded values, orientation applied."""
    alpha: np.ndarray | None = None
    """(H, W), of the pixels' type; None where the picture is opaque."""
    icc_profile: bytes | None = None
    """Colour profile that the values are encoded for; None means sRGB."""
    exif: bytes | None = None
    """EXIF block, its orientation reset to upright."""
    xmp: bytes | None = None
    """XMP packet, its orientation reset to upright."""
    blocks: FileBlocks = field(default_factory=FileBlocks)
    """Resolution, texts, comments and what else its format keeps."""
    format: str | None = None
    """Pillow's name of the file format, e.g. "JPEG"; None where the picture came from memory."""
    path: Path | None = None
    """The file; None where the picture came from memory."""

    def __post_init__(self) -> None:
        """Check type and shapes."""
        if (
            self.pixels.dtype.name not in MAX_VALUES
            or self.pixels.ndim != 3
            or self.pixels.shape[2] not in (1, 3)
            or not self.pixels.size
        ):
            raise ShapeError(
                "pixels must be (H, W, 1 or 3) of uint8, uint16 or float32, "
                f"got {self.pixels.shape} of {self.pixels.dtype}"
            )
        if self.alpha is not None and (
            self.alpha.shape != self.pixels.shape[:2] or self.alpha.dtype != self.pixels.dtype
        ):
            raise ShapeError(
                f"alpha must be {self.pixels.shape[:2]} of {self.pixels.dtype}, "
                f"got {self.alpha.shape} of {self.alpha.dtype}"
            )

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])

    @property
    def num_channels(self) -> int:
        """1 for grey, 3 for RGB; alpha is not counted."""
        return int(self.pixels.shape[2])

    @property
    def max_value(self) -> float:
        """Code value of white: 255, 65535 or 1."""
        return MAX_VALUES[self.pixels.dtype.name]

    def replace(self, *, pixels: np.ndarray, alpha: np.ndarray | None) -> "Photo":
        """The same picture with other pixels: (H, W, C) and (H, W)."""
        return dataclasses.replace(self, pixels=pixels, alpha=alpha)

    def to_pil(self) -> Image.Image:
        """An 8-bit view, of mode L, LA, RGB or RGBA; deeper values are rounded to nearest."""
        return pil_view(self.pixels, self.alpha)

    def save(
        self,
        path: str | Path,
        *,
        format: str | None = None,
        quality: int = 95,
        overwrite: bool = False,
        on_written: Callable[[Path], None] | None = None,
    ) -> None:
        """Write the picture; see `ldrestore.images.encoding.write_picture`.

        Raises:
            ImageFileError: the file cannot be written, or exists and `overwrite` is False.
            InputError: the quality is out of range.
        """
        metadata = Metadata(icc_profile=self.icc_profile, exif=self.exif, xmp=self.xmp, blocks=self.blocks)
        write_picture(
            self.pixels,
            self.alpha,
            path,
            metadata=metadata,
            format=format,
            quality=quality,
            overwrite=overwrite,
            on_written=on_written,
        )
