"""What a restoration changed, as a map to be read at a glance, and in three numbers."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ldrestore.errors import ShapeError
from ldrestore.images.bit_depth import BAND_ROWS
from ldrestore.images.encoding import write_picture
from ldrestore.images.enlargement import enlarge
from ldrestore.images.metadata import FileBlocks, Metadata
from ldrestore.images.photo import Photo

COLOUR_SCALE: tuple[tuple[int, tuple[int, int, int]], ...] = (
    (0, (0, 0, 0)),
    (1, (10, 20, 60)),
    (2, (30, 40, 120)),
    (4, (90, 40, 150)),
    (8, (180, 50, 120)),
    (16, (235, 100, 60)),
    (32, (250, 180, 60)),
    (64, (255, 255, 230)),
)
"""Change in levels of 255 to colour: from black over blue, purple and orange to white, each step twice the last and
brighter than it; in between colours are blended, beyond the last it stays."""

NOTICED = 2.0
"""Levels up to which a change is hardly seen."""
LARGEST_MAP = 2048
"""Longest side of a map in pixels; of larger pictures each pixel shows the mean of those it stands for."""
MIN_WIDTH = 440
"""Of a map with its legend, in pixels."""
_MARK = b"Title\0ldrestore: what was changed"
_LEGEND_HEIGHT, _MARGIN, _INK, _PAPER = 62, 10, (235, 235, 235), (24, 24, 28)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Changes:
    """What differs between a result and the picture that it was made of."""

    levels: np.ndarray
    """(H, W) float32, how far a pixel's most changed channel moved, in levels of 255; reduced to `LARGEST_MAP`."""
    mean: float
    """Mean change of all pixels, in levels."""
    largest: float
    """Largest change of a pixel, in levels."""
    noticed: float
    """Share of the pixels that changed by more than `NOTICED` levels, in [0, 1]."""

    def map(self) -> np.ndarray:
        """(H, W, 3) uint8, the colours of `COLOUR_SCALE`."""
        steps = np.array([level for level, _ in COLOUR_SCALE], np.float32)
        place = np.interp(np.log2(self.levels + 1), np.log2(steps + 1), np.arange(len(COLOUR_SCALE)))
        channels = np.array([colour for _, colour in COLOUR_SCALE], np.float32).T
        coloured = [np.interp(place, np.arange(len(COLOUR_SCALE)), channel) for channel in channels]
        colours: np.ndarray = np.rint(np.stack(coloured, axis=2)).astype(np.uint8)
        return colours

    def picture(self) -> Image.Image:
        """The map with its scale and the three numbers below it."""
        coloured = Image.fromarray(self.map())
        width = max(coloured.width, MIN_WIDTH)
        sheet = Image.new("RGB", (width, coloured.height + _LEGEND_HEIGHT), _PAPER)
        sheet.paste(coloured, ((width - coloured.width) // 2, 0))
        _draw_legend(ImageDraw.Draw(sheet), self.summary, top=coloured.height, width=width)
        return sheet

    @property
    def summary(self) -> str:
        """The three numbers, in words."""
        return (
            f"{self.noticed:.0%} of the pixels changed by more than {NOTICED:.0f} levels; mean {self.mean:.1f}, "
            f"most {self.largest:.0f}"
        )


def changes_of(result: Photo, original: Photo) -> Changes:
    """What a restoration changed.

    Args:
        result: (N * H, N * W).
        original: (H, W); enlarged bicubically where the result is larger, so that the map shows what the model did.

    Raises:
        ShapeError: the result's sides are no whole multiple of the original's.
    """
    scale = result.height // original.height
    if scale < 1 or (result.height, result.width) != (original.height * scale, original.width * scale):
        raise ShapeError(
            f"a result of {result.width}x{result.height} cannot be held against an original of "
            f"{original.width}x{original.height}; expected a whole multiple of its sides"
        )
    original = enlarge(original, scale)
    levels = np.empty((result.height, result.width), np.float32)
    for top in range(0, result.height, BAND_ROWS):  # no float copies of whole pictures
        rows = slice(top, top + BAND_ROWS)
        difference = np.abs(result.pixels[rows].astype(np.float32) - original.pixels[rows])
        levels[rows] = difference.max(axis=2) * np.float32(255 / result.max_value)
    found = {
        "mean": float(levels.mean(dtype=np.float64)),
        "largest": float(levels.max()),
        "noticed": float((levels > NOTICED).mean()),
    }
    return Changes(levels=_reduced(levels), **found)


def write_changes(changes: Changes, path: Path) -> None:
    """Write the map with its scale as PNG, whole or not at all; what lies there is replaced.

    Raises:
        ImageWriteError: it cannot be written.
    """
    metadata = Metadata(blocks=FileBlocks(texts=((b"tEXt", _MARK),)))
    write_picture(np.asarray(changes.picture()), None, path, metadata=metadata, format="PNG", overwrite=True)


def is_changes_file(path: Path) -> bool:
    """Whether a file is a map that `write_changes` wrote."""
    try:
        with path.open("rb") as file:
            return _MARK in file.read(4096)
    except OSError:
        return False


def _reduced(levels: np.ndarray) -> np.ndarray:
    """(H, W) with sides of `LARGEST_MAP` at most."""
    height, width = levels.shape
    share = LARGEST_MAP / max(height, width)
    if share >= 1:
        return levels
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return cv2.resize(levels, size, interpolation=cv2.INTER_AREA)


def _draw_legend(draw: ImageDraw.ImageDraw, summary: str, *, top: int, width: int) -> None:
    """A bar of the scale's colours with their levels, and a line of words, below a map."""
    font = ImageFont.load_default(size=12)
    cell = min(48, (width - 2 * _MARGIN) // (len(COLOUR_SCALE) + 1))
    left = _MARGIN
    for index, (level, colour) in enumerate(COLOUR_SCALE):
        place = left + index * cell
        draw.rectangle((place, top + 8, place + cell - 2, top + 20), fill=colour, outline=(90, 90, 90))
        text = f"{level}+" if index == len(COLOUR_SCALE) - 1 else str(level)
        draw.text((place + cell // 2 - 1, top + 22), text, fill=_INK, font=font, anchor="ma")
    draw.text((left + len(COLOUR_SCALE) * cell + 4, top + 6), "levels", fill=_INK, font=font)
    draw.text((left, top + 40), summary, fill=_INK, font=font)
