"""What a network is shown of a whole picture before it restores its tiles: a reduced copy and native crops.

The same views are made for every tile plan, so that what is decided about the whole picture does not depend on it.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ldrestore.images.bit_depth import MAX_VALUES

REDUCED_SIDE = 128
"""Longer side of the reduced copy in pixels, at most; networks that take the whole picture look at no more."""
VIEW_LADDER = (768, 512, 384, 256, 192, 128)
"""Sides of squares of as many pixels as are shown natively, at most; a picture of no more is shown whole."""
CROP_SIDE = 128
"""Side of a native crop in pixels, as of the patches that regressors are mostly trained with."""
MAX_CROPS = 9
"""Three by three of a picture that is not shown whole, however large: of a megapixel, crops of 256 pixels gave 0.01 dB
more where there was noise and 0.03 where there was haze, and showed four times as many pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Where a tile lies in its picture, in pixels; all are whole numbers."""

    top: int
    """First row."""
    left: int
    """First column."""
    height: int
    """Rows of the tile."""
    width: int
    """Its columns."""
    picture_height: int
    """Rows of the whole picture."""
    picture_width: int
    """Its columns."""

    def turned(self, turns: int, *, is_flipped: bool) -> "Window":
        """The same place in a turned picture.

        Args:
            turns: Quarter turns, as `torch.rot90` makes them over rows and columns.
            is_flipped: Whether left and right are exchanged after that.
        """
        window = self
        for _ in range(turns % 4):
            window = Window(
                top=window.picture_width - window.left - window.width,
                left=window.top,
                height=window.width,
                width=window.height,
                picture_height=window.picture_width,
                picture_width=window.picture_height,
            )
        if is_flipped:
            window = replace(window, left=window.picture_width - window.left - window.width)
        return window

    def padded(self, height: int, width: int) -> "Window":
        """The window of a tile that was padded at the right and bottom, beyond the picture's border or not.

        Args:
            height: Rows of the padded tile.
            width: Its columns.
        """
        return replace(self, height=height, width=width)

    @property
    def rows(self) -> slice:
        """Its rows in the picture."""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        """Its columns in the picture."""
        return slice(self.left, self.left + self.width)

    @property
    def shares(self) -> tuple[float, float, float, float]:
        """Top, left, bottom and right as shares of the picture's height and width; above 1 in what is padded."""
        return (
            self.top / self.picture_height,
            self.left / self.picture_width,
            (self.top + self.height) / self.picture_height,
            (self.left + self.width) / self.picture_width,
        )


def whole_window(height: int, width: int) -> Window:
    """The window of a picture restored at once."""
    return Window(top=0, left=0, height=height, width=width, picture_height=height, picture_width=width)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureViews:
    """The views of one picture, float32 in [0, 1] on the CPU."""

    reduced: Tensor
    """(1, 3, h, w), the whole picture, the longer side at most `REDUCED_SIDE`, each pixel a mean over its area."""
    crops: Tensor
    """(N, 3, P, Q), native crops, evenly spread, row by row; the whole picture as the only one where it is small."""
    windows: tuple[Window, ...]
    """Where each crop lies in the picture."""
    layout: tuple[int, int]
    """Rows and columns of crops."""
    is_whole: bool
    """Whether the only crop is the picture."""

    def turned(self, turns: int, *, is_flipped: bool) -> "PictureViews":
        """The views of the turned picture, see `Window.turned`."""

        def turn(x: Tensor) -> Tensor:
            x = x.rot90(turns, (-2, -1))
            return (x.flip(-1) if is_flipped else x).contiguous()

        order = turn(torch.arange(len(self.crops)).unflatten(0, self.layout))
        return PictureViews(
            reduced=turn(self.reduced),
            crops=turn(self.crops[order.flatten()]),
            windows=tuple(self.windows[index].turned(turns, is_flipped=is_flipped) for index in order.flatten()),
            layout=(order.shape[0], order.shape[1]),
            is_whole=self.is_whole,
        )


def views_of(pixels: np.ndarray, *, side: int = VIEW_LADDER[0], multiple: int = 1) -> PictureViews:
    """Make the views of a picture.

    Args:
        pixels: (H, W, C), C 1 or 3; uint8, uint16 or float32 in [0, 1]. Grey is shown as three equal channels.
        side: Side of a square of as many pixels as are shown natively, at most; see `VIEW_LADDER`.
        multiple: Crops start at multiples of this, so that a network's grid lies as it does in the whole picture.
    """
    height, width = pixels.shape[:2]
    reduced = _reduced(pixels)
    num_crops = min((side // CROP_SIDE) ** 2, MAX_CROPS)
    windows, layout = crop_windows(height, width, side=side, crop=CROP_SIDE, num_crops=num_crops, multiple=multiple)
    crops = torch.cat([_tensor_of(pixels[window.rows, window.columns]) for window in windows])
    is_whole = windows == (whole_window(height, width),)
    return PictureViews(reduced=reduced, crops=crops, windows=windows, layout=layout, is_whole=is_whole)


def crop_windows(
    height: int, width: int, *, side: int, crop: int, num_crops: int, multiple: int = 1
) -> tuple[tuple[Window, ...], tuple[int, int]]:
    """Where native crops of a picture lie that are shown in place of the whole.

    Args:
        height: Rows of the picture.
        width: Its columns.
        side: Side of a square; a picture of no more pixels than that is one crop.
        crop: Side of a crop.
        num_crops: How many there are, at most.
        multiple: Crops start at multiples of this.

    Returns:
        The crops, evenly spread, row by row; and how many rows and columns of them there are.
    """
    if height * width <= side * side:
        return (whole_window(height, width),), (1, 1)
    rows = min(max(1, round((num_crops * height / width) ** 0.5)), num_crops, max(1, height // crop))
    columns = min(num_crops // rows, max(1, width // crop))
    tops = _spread(height, crop, rows, multiple=multiple)
    lefts = _spread(width, crop, columns, multiple=multiple)
    windows = tuple(
        Window(
            top=top,
            left=left,
            height=min(crop, height),
            width=min(crop, width),
            picture_height=height,
            picture_width=width,
        )
        for top in tops
        for left in lefts
    )
    return windows, (rows, columns)


def reduced_copy(lq: Tensor) -> Tensor:
    """Pictures so small that their longer side is at most `REDUCED_SIDE`, each pixel a mean over its area.

    Args:
        lq: (B, 3, H, W).

    Returns:
        (B, 3, h, w); the pictures themselves where they are small enough.
    """
    height, width = lq.shape[-2:]
    if height <= REDUCED_SIDE and width <= REDUCED_SIDE:  # not by their maximum: exported, both sides are symbols
        return lq
    return F.interpolate(lq, _reduced_size(height, width), mode="area")


def _reduced(pixels: np.ndarray) -> Tensor:
    """`reduced_copy` of (H, W, C) in its own type, row by row: (1, 3, h, w) float32."""
    height, width = pixels.shape[:2]
    rows, columns = _reduced_size(height, width)
    if (rows, columns) == (height, width):
        return _tensor_of(pixels)
    pooled = []
    for row in range(rows):  # the cells of adaptive pooling
        first, last = row * height // rows, -(-(row + 1) * height // rows)
        pooled.append(F.adaptive_avg_pool2d(_tensor_of(pixels[first:last]), (1, columns)))
    return torch.cat(pooled, dim=2)


def _reduced_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the reduced copy."""
    longer = max(height, width)
    if longer <= REDUCED_SIDE:
        return height, width
    return max(1, round(height * REDUCED_SIDE / longer)), max(1, round(width * REDUCED_SIDE / longer))


def _spread(size: int, crop: int, count: int, *, multiple: int) -> list[int]:
    """Where crops of one axis start, from its first pixel to its last."""
    last = max(0, size - crop)
    places = [last / 2] if count == 1 else [last * index / (count - 1) for index in range(count)]
    return [int(place) // multiple * multiple for place in places]


def _tensor_of(pixels: np.ndarray) -> Tensor:
    """(H, W, C) of any type to (1, 3, H, W), float32 in [0, 1]."""
    scaled = pixels.astype(np.float32) / np.float32(MAX_VALUES[pixels.dtype.name])
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))[None].expand(-1, 3, -1, -1)
