"""Pictures of any size in bounded memory: a plan of overlapping tiles, and their blend without a seam.

The plan follows from the picture's size and a declared memory budget alone, through a fixed ladder, so that the same
call gives the same pixels tomorrow, whatever else the machine is doing.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ldrestore.errors import InputError, OutOfMemoryError, ShapeError
from ldrestore.images.depth import MAX_VALUES
from ldrestore.structures import TilePlan

TILE_LADDER = (2048, 1536, 1024, 768, 512, 384, 256, 192, 128)
"""Sides of tiles in pixels, tried from the largest."""


def plan_tiles(
    height: int, width: int, *, memory_bytes: int, bytes_per_pixel: int, resident_bytes: int = 0
) -> TilePlan:
    """The largest tiles whose working memory fits the budget; the whole picture at once where that fits.

    Args:
        height: Rows of the picture that is restored.
        width: Its columns.
        memory_bytes: The budget for everything, in bytes.
        bytes_per_pixel: Peak working memory of the network, in bytes a pixel of a tile.
        resident_bytes: What input and output take of the budget.

    Raises:
        OutOfMemoryError: not even the smallest tile fits.
    """
    free = memory_bytes - resident_bytes
    if height * width * bytes_per_pixel <= free:
        return TilePlan(tile=0, overlap=0, memory_bytes=memory_bytes)
    for tile in TILE_LADDER:
        band_bytes = 3 * 4 * width * (min(tile, height) + overlap_of(tile))  # float32 rows that await blending
        needed = tile * tile * bytes_per_pixel + band_bytes
        if needed <= free:
            return TilePlan(tile=tile, overlap=overlap_of(tile), memory_bytes=memory_bytes)
    raise OutOfMemoryError(
        f"{width}x{height} pixels need at least {math.ceil((needed + resident_bytes) / 1e7) / 100} GB, "
        f"got {memory_bytes / 1e9:.3g} GB; raise the memory budget"
    )


def fixed_plan(tile: int) -> TilePlan:
    """A plan of tiles of a given side; 0 for the whole picture at once.

    Raises:
        InputError: a side that is neither 0 nor a multiple of 64 from 64 on.
    """
    if tile != 0 and (tile < 64 or tile % 64):
        raise InputError(f"tile must be 0 or a multiple of 64, got {tile}")
    return TilePlan(tile=tile, overlap=overlap_of(tile) if tile else 0, memory_bytes=None)


def overlap_of(tile: int) -> int:
    """Pixels that neighbouring tiles share: an eighth of their side, 64 at most."""
    return min(64, tile // 8)


def step_down(plan: TilePlan, height: int, width: int) -> TilePlan:
    """The next smaller plan, after memory ran out.

    Raises:
        OutOfMemoryError: the plan is the smallest already.
    """
    side = max(height, width)
    current = min(plan.tile or side, side)
    smaller = [tile for tile in TILE_LADDER if tile < current]
    if not smaller:
        raise OutOfMemoryError(
            f"memory ran out with tiles of {current} pixels, the smallest; free some, or use the CPU"
        )
    return dataclasses.replace(plan, tile=smaller[0], overlap=overlap_of(smaller[0]), steps_down=plan.steps_down + 1)


def restore_tiled(pixels: np.ndarray, restore_tile: Callable[[Tensor], Tensor], plan: TilePlan) -> np.ndarray:
    """Restore a picture tile by tile and blend the overlaps linearly.

    Rows of tiles are finished one after the other: beyond input and output, memory holds one row of tiles.

    Args:
        pixels: (H, W, C), uint8, uint16 or float32 in [0, 1].
        restore_tile: Takes (1, C, h, w) float32 in [0, 1] to the restored tile of the same shape.
        plan: Side and overlap of the tiles.

    Returns:
        (H, W, C) of the same type, clipped; integers rounded to nearest.

    Raises:
        ShapeError: a restored tile has another shape.
    """
    height, width = pixels.shape[:2]
    tile_height = min(plan.tile or height, height)
    tops = tile_starts(height, tile_height, plan.overlap)
    output = np.empty_like(pixels)
    carried = np.empty((0, width, pixels.shape[2]), np.float32)  # rows of the last band that this one overlaps
    for index, top in enumerate(tops):
        band = _restored_band(pixels[top : top + tile_height], restore_tile, plan)
        _blend(carried, band[: len(carried)])
        next_top = tops[index + 1] if index + 1 < len(tops) else height
        _store(band[: next_top - top], output[top:next_top])
        carried = band[next_top - top :].copy()
    return output


def tile_starts(size: int, tile: int, overlap: int) -> list[int]:
    """Where tiles of one axis start; neighbours overlap by at least `overlap`, the last one ends at the border."""
    if tile >= size:
        return [0]
    starts = list(range(0, size - tile, tile - overlap))
    return [*starts, size - tile]


def seam_score(image: np.ndarray, plan: TilePlan) -> float:
    """Mean gradient across the tiles' borders relative to that elsewhere; 1 means that no seam shows.

    Args:
        image: (H, W, C), restored with the plan.
        plan: Its tiles.

    Raises:
        InputError: the plan has no border inside the picture.
    """
    values = image.astype(np.float64)
    at_seams, elsewhere = [], []
    for axis in (0, 1):
        size = image.shape[axis]
        starts = tile_starts(size, min(plan.tile or size, size), plan.overlap)
        ends = [start + plan.tile for start in starts[:-1]]
        gradients = np.abs(np.diff(values, axis=axis)).mean(axis=tuple(set(range(3)) - {axis}))  # one a line
        is_seam = np.zeros(size - 1, bool)
        is_seam[[line - 1 for line in (*starts[1:], *ends)]] = True
        at_seams.append(gradients[is_seam])
        elsewhere.append(gradients[~is_seam])
    if not np.concatenate(at_seams).size:
        raise InputError(f"a picture of {image.shape[1]}x{image.shape[0]} has no seam with tiles of {plan.tile}")
    return float(np.concatenate(at_seams).mean() / max(np.concatenate(elsewhere).mean(), 1e-12))


def _restored_band(rows: np.ndarray, restore_tile: Callable[[Tensor], Tensor], plan: TilePlan) -> np.ndarray:
    """One row of tiles, blended from left to right: (h, W, C) to float32 of the same shape."""
    height, width, num_channels = rows.shape
    tile_width = min(plan.tile or width, width)
    band = np.empty((height, width, num_channels), np.float32)
    starts = tile_starts(width, tile_width, plan.overlap)
    for left, previous_left in zip(starts, [-tile_width, *starts], strict=False):
        restored = _restored_tile(rows[:, left : left + tile_width], restore_tile)
        shared = max(0, previous_left + tile_width - left)
        _blend(band[:, left : left + shared].swapaxes(0, 1), restored[:, :shared].swapaxes(0, 1))
        band[:, left : left + tile_width] = restored
    return band


def _restored_tile(pixels: np.ndarray, restore_tile: Callable[[Tensor], Tensor]) -> np.ndarray:
    """One tile (h, w, C) in its own type, to float32 of the same shape.

    Raises:
        ShapeError: it comes back in another shape.
    """
    scaled = pixels.astype(np.float32) / np.float32(MAX_VALUES[pixels.dtype.name])
    lq = torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))[None]  # (1, C, h, w)
    restored = restore_tile(lq)
    if restored.shape != lq.shape:
        raise ShapeError(f"a tile of {tuple(lq.shape)} came back as {tuple(restored.shape)}")
    return restored[0].float().cpu().numpy().transpose(1, 2, 0)


def _blend(before: np.ndarray, after: np.ndarray) -> None:
    """Fade from one to the other along the first axis, into `after`; a + (b - a) t keeps equal values as they are."""
    num_lines = len(before)
    if num_lines:
        share = ((np.arange(num_lines, dtype=np.float32) + 0.5) / num_lines).reshape(-1, *[1] * (before.ndim - 1))
        after[...] = before + (after - before) * share


def _store(band: np.ndarray, output: np.ndarray) -> None:
    """Clip float32 rows and write them into rows of the output's type, integers rounded to nearest."""
    np.clip(band, 0.0, 1.0, out=band)
    if output.dtype == np.float32:
        output[...] = band
    else:
        band *= np.float32(MAX_VALUES[output.dtype.name])
        np.rint(band, out=band)
        output[...] = band.astype(output.dtype)
