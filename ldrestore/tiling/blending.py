"""The one blend: tiles computed one at a time, which fade into each other where they overlap.

A tile knows least at its own border, where its convolutions run into the padding. So the outer quarters of what two
neighbours share are each taken from the one that has them inside, and the middle half fades from one to the other.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor

from ldrestore.errors import InputError, ShapeError
from ldrestore.images.bit_depth import MAX_VALUES
from ldrestore.structures import TilePlan
from ldrestore.tiling.picture_views import Window
from ldrestore.tiling.planning import tile_cores, tile_spans


def restore_tiled(
    pixels: np.ndarray,
    restore_tile: Callable[[Tensor, Window], Tensor],
    plan: TilePlan,
    *,
    multiple: int = 1,
    scale: int = 1,
) -> np.ndarray:
    """Restore a picture tile by tile.

    Rows of tiles are finished one after the other: beyond input and output, memory holds one row of tiles.

    Args:
        pixels: (H, W, C), uint8, uint16 or float32 in [0, 1].
        restore_tile: Takes (1, C, h, w) float32 in [0, 1], and where it lies, to the restored (1, C, h * scale,
            w * scale).
        plan: Side and overlap of the tiles.
        multiple: Tiles start at multiples of this.
        scale: Pixels of the result along a pixel's side.

    Returns:
        (H * scale, W * scale, C) of the same type, clipped; integers rounded to nearest.

    Raises:
        ShapeError: a restored tile has another shape.
    """
    height, width = pixels.shape[:2]
    output = np.empty((height * scale, width * scale, *pixels.shape[2:]), pixels.dtype)

    def compute(rows: slice, columns: slice) -> Tensor:
        window = Window(
            top=rows.start,
            left=columns.start,
            height=rows.stop - rows.start,
            width=columns.stop - columns.start,
            picture_height=height,
            picture_width=width,
        )
        scaled = pixels[rows, columns].astype(np.float32) / np.float32(MAX_VALUES[pixels.dtype.name])
        lq = torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))[None]  # (1, C, h, w)
        return restore_tile(lq, window).float().cpu()

    rows, columns = (tile_spans(size, plan, multiple=multiple) for size in (height, width))
    for finished, band in _bands(compute, rows, columns, scale=scale):
        _store(band[0].permute(1, 2, 0).numpy(), output[finished.start * scale : finished.stop * scale])
    return output


def blend_tiles(
    compute: Callable[[slice, slice], Tensor],
    *,
    size: tuple[int, int],
    tile: int,
    overlap: int,
    scale: int = 1,
    multiple: int = 1,
) -> Tensor:
    """Compute a map tile by tile; a tile may come out larger than its cells, as pixels do from latents.

    Beyond the result, memory holds one row of tiles.

    Args:
        compute: Takes the rows and columns of a tile, in cells, to (B, C, h * scale, w * scale).
        size: Height and width of the whole, in cells.
        tile: Side of a tile in cells; smaller where the whole is.
        overlap: Cells that neighbours share at least, in [0, tile).
        scale: Pixels along a cell's side.
        multiple: Tiles start at multiples of as many cells.

    Returns:
        (B, C, H * scale, W * scale), of the tiles' device and type.

    Raises:
        InputError: the overlap is out of its range.
        ShapeError: a tile comes out in another size.
    """
    if not 0 <= overlap < tile:
        raise InputError(f"overlap must lie in [0, tile), got {overlap} and tiles of {tile}")
    plan = TilePlan(tile=tile, overlap=overlap, memory_bytes=None)
    rows, columns = (tile_spans(side, plan, multiple=multiple) for side in size)
    types: list[torch.dtype] = []

    def computed(rows: slice, columns: slice) -> Tensor:
        part = compute(rows, columns)
        types.append(part.dtype)
        return part.float()

    blended = None
    for finished, band in _bands(computed, rows, columns, scale=scale):
        if blended is None:
            blended = band.new_empty(*band.shape[:2], size[0] * scale, size[1] * scale, dtype=types[0])
        blended[..., finished.start * scale : finished.stop * scale, :] = band
    assert blended is not None
    return blended


def tile_places(
    *, size: tuple[int, int], tile: int, overlap: int, multiple: int = 1
) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """The tiles of `blend_tiles`: rows and columns of each, and which of them no other tile is nearer to.

    Args:
        size: Height and width of the whole, in cells.
        tile: Side of a tile in cells.
        overlap: Cells that neighbours share at least.
        multiple: Tiles start at multiples of as many cells.

    Yields:
        Rows and columns of the tile in the whole; and the rows and columns of its core, in the tile.
    """
    plan = TilePlan(tile=tile, overlap=overlap, memory_bytes=None)
    axes = []
    for side in size:
        spans = tile_spans(side, plan, multiple=multiple)
        cores = [
            slice(core.start - span.start, core.stop - span.start)
            for span, core in zip(spans, tile_cores(spans), strict=True)
        ]
        axes.append(list(zip(spans, cores, strict=True)))
    for (rows, inner_rows), (columns, inner_columns) in product(*axes):
        yield (rows, columns), (inner_rows, inner_columns)


def fading_shares(length: int) -> Tensor:
    """How much the later of two neighbours counts along what they share: (length,) float32, from 0 to 1."""
    margin = length // 4
    inner = length - 2 * margin
    ramp = (torch.arange(inner) + 0.5) / inner if inner else torch.empty(0)
    return torch.cat([torch.zeros(margin), ramp, torch.ones(margin)])


def _bands(
    compute: Callable[[slice, slice], Tensor], rows: Sequence[slice], columns: Sequence[slice], *, scale: int
) -> Iterator[tuple[slice, Tensor]]:
    """Finished rows from the top down: which cells, and (B, C, h * scale, W * scale), float32."""
    carried: Tensor | None = None  # rows of the last band that this one overlaps
    ends = [*(following.start for following in rows[1:]), rows[-1].stop]
    for present, end in zip(rows, ends, strict=True):
        band = _band(compute, present, columns, scale=scale)
        if carried is not None:
            _fade(carried, band[..., : carried.shape[-2], :], axis=-2)
        finished = slice(present.start, end)
        num_finished = (finished.stop - finished.start) * scale
        yield finished, band[..., :num_finished, :]
        carried = band[..., num_finished:, :].clone()


def _band(compute: Callable[[slice, slice], Tensor], rows: slice, columns: Sequence[slice], *, scale: int) -> Tensor:
    """One row of tiles, blended from left to right: (B, C, h * scale, W * scale).

    Raises:
        ShapeError: a tile comes out in another size.
    """
    band, last = None, 0
    height = (rows.stop - rows.start) * scale
    for place in columns:
        part = compute(rows, place)
        left, right = place.start * scale, place.stop * scale
        if part.shape[-2:] != (height, right - left):
            raise ShapeError(f"a tile of {height // scale}x{(right - left) // scale} came back as {tuple(part.shape)}")
        if len(columns) == 1:
            return part
        if band is None:
            band = part.new_empty(*part.shape[:2], height, columns[-1].stop * scale)
        shared = max(0, last - left)
        _fade(band[..., left : left + shared], part[..., :shared], axis=-1)
        band[..., left:right] = part
        last = right
    assert band is not None
    return band


def _fade(before: Tensor, after: Tensor, *, axis: int) -> None:
    """Fade from one to the other along an axis, into `after`; a + (b - a) t keeps equal values as they are."""
    if before.shape[axis]:
        shares = fading_shares(before.shape[axis]).to(after.device)
        after.copy_(before + (after - before) * (shares[:, None] if axis == -2 else shares))


def _store(band: np.ndarray, output: np.ndarray) -> None:
    """Clip float32 rows and write them into rows of the output's type, integers rounded to nearest."""
    np.clip(band, 0.0, 1.0, out=band)
    if output.dtype == np.float32:
        output[...] = band
    else:
        band *= np.float32(MAX_VALUES[output.dtype.name])
        np.rint(band, out=band)
        output[...] = band.astype(output.dtype)
