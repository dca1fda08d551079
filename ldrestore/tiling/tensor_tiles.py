"""Tiles of tensors, such as latents: computed one at a time and faded into each other.

`picture_tiles` plans tiles and restores pictures in memory; here a tile may come out larger than what it is made from,
as pixels do from latents, and everything stays on one device.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ldrestore.errors import InputError, ShapeError
from ldrestore.tiling.picture_tiles import tile_starts


def blend_tiles(
    compute: Callable[[slice, slice], Tensor], *, size: tuple[int, int], tile: int, overlap: int, scale: int = 1
) -> Tensor:
    """Compute a map tile by tile; where tiles overlap, they fade linearly into each other.

    Beyond the result, memory holds one tile at a time.

    Args:
        compute: Takes the rows and columns of a tile, in cells, to (B, C, h * scale, w * scale).
        size: Height and width of the whole, in cells.
        tile: Side of a tile in cells; smaller where the whole is.
        overlap: Cells that neighbours share at least, in [0, tile).
        scale: Pixels along a cell's side.

    Returns:
        (B, C, H * scale, W * scale), of the tiles' device and type.

    Raises:
        InputError: the overlap is out of its range.
        ShapeError: a tile comes out in another size.
    """
    if not 0 <= overlap < tile:
        raise InputError(f"overlap must lie in [0, tile), got {overlap} and tiles of {tile}")
    rows, columns = (fading_weights(side, tile, overlap=overlap, scale=scale) for side in size)
    blended = None
    for top, row_weights in rows:
        for left, column_weights in columns:
            height, width = len(row_weights) // scale, len(column_weights) // scale
            part = compute(slice(top, top + height), slice(left, left + width))
            if part.shape[-2:] != (height * scale, width * scale):
                raise ShapeError(f"a tile of {height}x{width} cells came back as {tuple(part.shape)}")
            if blended is None:
                blended = part.new_zeros(*part.shape[:2], size[0] * scale, size[1] * scale, dtype=torch.float32)
            weights = (row_weights[:, None] * column_weights).to(part.device)
            place = blended[..., top * scale : (top + height) * scale, left * scale : (left + width) * scale]
            place.addcmul_(part.float(), weights)
    return blended.to(part.dtype)


def fading_weights(size: int, tile: int, *, overlap: int, scale: int = 1) -> list[tuple[int, Tensor]]:
    """The tiles of one axis, and how much each of them counts at each pixel; at every pixel they sum to 1.

    Args:
        size: Cells along the axis.
        tile: Cells of a tile.
        overlap: Cells that neighbours share at least.
        scale: Pixels of a cell.

    Returns:
        For each tile its first cell, and (pixels of the tile,) float32 in (0, 1].
    """
    starts = tile_starts(size, tile, overlap)
    length = min(tile, size) * scale
    total = torch.zeros(size * scale)
    weights = []
    for index, start in enumerate(starts):
        weight = torch.ones(length)
        for is_after, neighbours in ((True, starts[:index][-1:]), (False, starts[index + 1 :][:1])):
            for neighbour in neighbours:
                shared = length - abs(neighbour - start) * scale
                ramp = (torch.arange(shared) + 0.5) / shared
                place = weight[:shared] if is_after else weight[length - shared :]
                place.mul_(ramp if is_after else ramp.flip(0))
        total[start * scale : start * scale + length] += weight
        weights.append(weight)
    return [
        (start, weight / total[start * scale : start * scale + length])
        for start, weight in zip(starts, weights, strict=True)
    ]
