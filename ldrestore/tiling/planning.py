"""The one planner: from a picture's size and a declared memory budget to tiles, through a fixed ladder.

So the same call gives the same pixels tomorrow, whatever else the machine is doing.
"""

import dataclasses
import math
from collections.abc import Sequence
from itertools import pairwise

from ldrestore.errors import InputError, OutOfMemoryError
from ldrestore.structures import TilePlan
from ldrestore.tiling.picture_views import VIEW_LADDER

TILE_LADDER = (2048, 1536, 1024, 768, 512, 384, 256, 192, 128)
"""Sides of tiles in pixels, tried from the largest."""

MAX_LOOK_BYTES = 2 * 10**9
"""Working memory in bytes that a look at the whole picture may take, however large the budget is."""

PREDICTION_LADDER = (1024, *VIEW_LADDER)
"""Sides of squares of as many pixels as a network on latents takes at once, at most: its self-attention takes time by
the square of the pixels."""

DEFAULT_OVERLAP = 64
"""Pixels that neighbouring tiles share where a network declares nothing else."""


def make_plan(
    height: int,
    width: int,
    *,
    tile: int | str,
    memory_gb: float,
    bytes_per_pixel: int,
    resident_bytes: int,
    overlap: int = DEFAULT_OVERLAP,
    scale: int = 1,
) -> TilePlan:
    """How to cut a picture, as a user asks for it.

    Args:
        height: Rows of the picture that the network sees.
        width: Its columns.
        tile: "auto" for the memory budget, "off" for the whole picture at once, or the side of a tile in pixels.
        memory_gb: The budget in 10^9 bytes.
        bytes_per_pixel: Working memory of the network.
        resident_bytes: What lies in memory beside it.
        overlap: Pixels that neighbouring tiles should share, see `overlap_of`.
        scale: Pixels of the result along a pixel's side.

    Raises:
        InputError: another tile, or a budget that is not positive and finite.
        OutOfMemoryError: not even the smallest tile fits the budget.
    """
    if tile == "off":
        return dataclasses.replace(fixed_plan(0), look=_look_side(bytes_per_pixel))
    if isinstance(tile, int) and not isinstance(tile, bool) and tile > 0:
        return dataclasses.replace(fixed_plan(tile, overlap=overlap), look=_look_side(bytes_per_pixel))
    if tile != "auto":
        raise InputError(f"tile must be 'auto', 'off' or a number of pixels such as 512, got {tile!r}")
    if not 0 < memory_gb < math.inf:
        raise InputError(f"memory_gb must be positive and finite, got {memory_gb}")
    return plan_tiles(
        height,
        width,
        memory_bytes=round(memory_gb * 1e9),
        bytes_per_pixel=bytes_per_pixel,
        resident_bytes=resident_bytes,
        overlap=overlap,
        scale=scale,
    )


def plan_tiles(
    height: int,
    width: int,
    *,
    memory_bytes: int,
    bytes_per_pixel: int,
    resident_bytes: int = 0,
    overlap: int = DEFAULT_OVERLAP,
    scale: int = 1,
) -> TilePlan:
    """The largest tiles whose working memory fits the budget; the whole picture at once where that fits.

    Args:
        height: Rows of the picture that is restored.
        width: Its columns.
        memory_bytes: The budget for everything, in bytes.
        bytes_per_pixel: Peak working memory of the network, in bytes a pixel of a tile.
        resident_bytes: What lies in memory beside it, such as input and output.
        overlap: Pixels that neighbouring tiles should share, see `overlap_of`.
        scale: Pixels of the result along a pixel's side.

    Raises:
        OutOfMemoryError: not even the smallest tile fits.
    """
    free = memory_bytes - resident_bytes
    look = _look_side(bytes_per_pixel, free=free)
    whole = height * width * bytes_per_pixel
    if whole <= free:
        return TilePlan(tile=0, overlap=0, memory_bytes=memory_bytes, look=look)
    for tile in TILE_LADDER:
        shared = overlap_of(tile, overlap=overlap)
        band_bytes = 3 * 4 * width * (min(tile, height) + shared) * scale**2  # float32 rows that await blending
        needed = tile * tile * bytes_per_pixel + band_bytes
        if needed <= free:
            return TilePlan(tile=tile, overlap=shared, memory_bytes=memory_bytes, look=look)
    raise OutOfMemoryError(
        f"{width}x{height} pixels need at least {math.ceil((min(needed, whole) + resident_bytes) / 1e7) / 100} GB, "
        f"got {memory_bytes / 1e9:.3g} GB; raise the memory budget"
    )


def fixed_plan(tile: int, *, overlap: int = DEFAULT_OVERLAP) -> TilePlan:
    """A plan of tiles of a given side; 0 for the whole picture at once.

    Args:
        tile: Side in pixels.
        overlap: Pixels that neighbouring tiles should share, see `overlap_of`.

    Raises:
        InputError: a side that is neither 0 nor a multiple of 64 from 64 on.
    """
    if tile != 0 and (tile < 64 or tile % 64):
        raise InputError(f"tile must be 0 or a multiple of 64, got {tile}")
    return TilePlan(tile=tile, overlap=overlap_of(tile, overlap=overlap) if tile else 0, memory_bytes=None)


def _look_side(bytes_per_pixel: int, *, free: int = MAX_LOOK_BYTES) -> int:
    """The largest of `VIEW_LADDER` whose working memory fits; the same for all budgets that are large enough."""
    most = min(free, MAX_LOOK_BYTES)
    return next((side for side in VIEW_LADDER if side * side * bytes_per_pixel <= most), VIEW_LADDER[-1])


def prediction_tile(plan: TilePlan, height: int, width: int, *, bytes_per_pixel: int, resident_bytes: int) -> int:
    """The tiles of a network on latents, which needs less memory a pixel than the autoencoder a plan is made for.

    The larger its tiles are, the more of the picture each of them knows; up to a megapixel it takes the whole, so that
    tiles of the autoencoder, however small, do not change what is predicted.

    Args:
        plan: Of the autoencoder.
        height: Rows of the picture.
        width: Its columns.
        bytes_per_pixel: Working memory of the network on latents, in bytes a pixel of the picture.
        resident_bytes: What lies in memory beside it.

    Returns:
        Side in pixels; 0 for the whole picture.
    """
    if not plan.tile:
        return 0
    free = MAX_LOOK_BYTES if plan.memory_bytes is None else plan.memory_bytes - resident_bytes
    most = min(free, MAX_LOOK_BYTES)
    fitting = (side for side in PREDICTION_LADDER if side * side * bytes_per_pixel <= most)
    side = max(plan.tile if plan.tile < PREDICTION_LADDER[0] else 0, next(fitting, PREDICTION_LADDER[-1]))
    return 0 if height * width <= side * side else side


def overlap_of(tile: int, *, overlap: int = DEFAULT_OVERLAP) -> int:
    """Pixels that neighbouring tiles share.

    Args:
        tile: Their side.
        overlap: What the network's sight asks for; a quarter of the side at most is given.
    """
    return min(overlap, tile // 4)


def step_down(plan: TilePlan, height: int, width: int, *, overlap: int = DEFAULT_OVERLAP) -> TilePlan:
    """The next smaller plan, after memory ran out.

    Args:
        plan: The one that needed too much.
        height: Rows of the picture.
        width: Its columns.
        overlap: Pixels that neighbouring tiles should share, see `overlap_of`.

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
    tile = smaller[0]
    return dataclasses.replace(
        plan,
        tile=tile,
        overlap=overlap_of(tile, overlap=overlap),
        look=min(plan.look, tile),
        steps_down=plan.steps_down + 1,
    )


def tile_spans(size: int, plan: TilePlan, *, multiple: int = 1) -> list[slice]:
    """The tiles of one axis; neighbours share at least the plan's overlap, the last one ends at the border.

    Args:
        size: Pixels of the axis.
        plan: Side and overlap of the tiles.
        multiple: Tiles start at multiples of this, if side and overlap are multiples too; the last one may be a little
            smaller for it. Tiles so small that their overlap would be lost start at multiples of a divisor of it.
    """
    tile = plan.tile or size
    if tile >= size:
        return [slice(0, size)]
    step = tile - plan.overlap
    multiple = next(divisor for divisor in range(step, 0, -1) if multiple % divisor == 0)
    stride = step // multiple * multiple
    last = -(-(size - tile) // multiple) * multiple
    starts = [*range(0, size - tile, stride), last]
    return [slice(start, min(start + tile, size)) for start in starts]


def tile_cores(spans: Sequence[slice]) -> list[slice]:
    """Which part of each tile of one axis is nearer to it than to its neighbours; they make up the axis.

    Args:
        spans: Of `tile_spans`.
    """
    borders = [(before.stop + after.start) // 2 for before, after in pairwise(spans)]
    return [slice(*ends) for ends in pairwise([spans[0].start, *borders, spans[-1].stop])]


def count_tiles(plan: TilePlan, height: int, width: int) -> int:
    """Number of tiles of a picture."""
    return len(tile_spans(height, plan)) * len(tile_spans(width, plan))


def is_one_tile(plan: TilePlan, height: int, width: int) -> bool:
    """Whether a plan takes a picture whole."""
    return not plan.tile or plan.tile >= max(height, width)
