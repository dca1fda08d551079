"""A picture through a foreign network: enlarged before, by the network itself, or shrunk after, as the user asks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ldrestore.images.photo import Photo
from ldrestore.images.working_copy import working_copy
from ldrestore.options import RestoreOptions
from ldrestore.regressors.foreign_network import ForeignFacts, ForeignNetwork
from ldrestore.structures import TilePlan
from ldrestore.systems.finite_numbers import check_finite
from ldrestore.tiling.blending import restore_tiled
from ldrestore.tiling.memory import resident_bytes, tile_map_bytes
from ldrestore.tiling.orientations import Orientation, mean_over_orientations
from ldrestore.tiling.picture_views import Window
from ldrestore.tiling.planning import count_tiles, make_plan
from ldrestore.tiling.retries import with_smaller_tiles

BYTES_PER_PIXEL = 6_000
"""Working memory that is allowed for at each input pixel, whatever the network; `BYTES_PER_OUTPUT` comes upon it."""
BYTES_PER_OUTPUT = 1_000
"""The same at each pixel that comes out."""


def enlargement_before(scale: int, facts: ForeignFacts) -> int:
    """How many times a picture is enlarged before a network sees it: what its own scale leaves of the scale asked for.

    Args:
        scale: Asked for.
        facts: Of the network.
    """
    return scale // facts.scale if scale % facts.scale == 0 else 1


def restore_foreign(
    photo: Photo, large: Photo, *, network: ForeignNetwork, options: RestoreOptions, progress_bar: Callable[..., Any]
) -> tuple[np.ndarray, TilePlan]:
    """Restore a picture, with smaller tiles where memory runs out.

    Args:
        photo: The input.
        large: The input, enlarged as asked for; what fidelity blends with.
        network: What it goes through.
        options: Of the call.
        progress_bar: Makes a bar of `total` ticks, one a tile.

    Returns:
        Pixels of the shape and type of `large`, and the plan that memory allowed.

    Raises:
        UndefinedNumbersError: the network gives infinite or undefined pixels.
        OutOfMemoryError: not even the smallest tile fits.
    """
    before = enlargement_before(options.scale, network.facts)
    shown = working_copy(photo, scale=before)
    after = options.scale // before
    tile = "off" if options.tile == "auto" and not network.facts.takes_tiles else options.tile
    turned = tile_map_bytes(self_ensemble=options.self_ensemble) * after**2
    plan = make_plan(
        shown.height,
        shown.width,
        tile=tile,
        memory_gb=options.memory_gb,
        bytes_per_pixel=BYTES_PER_PIXEL + BYTES_PER_OUTPUT * network.facts.scale**2 + turned,
        resident_bytes=resident_bytes(photo, large) + shown.pixels.nbytes,
        scale=after,
    )

    def forward(lq: Tensor, orientation: Orientation | None = None) -> Tensor:
        restored = check_finite(network(lq), of=f"the pixels of {network.facts.architecture}")
        if network.facts.scale == after:
            return restored
        size = (lq.shape[-2] * after, lq.shape[-1] * after)
        return F.interpolate(restored, size=size, mode="bicubic", antialias=True).clamp_(0, 1)

    def compute(present: TilePlan) -> np.ndarray:
        def restore_tile(lq: Tensor, window: Window) -> Tensor:
            restored = mean_over_orientations(forward, lq) if options.self_ensemble else forward(lq)
            bar.update()
            return torch.lerp(restored, _part(large, window, after), options.fidelity)

        with progress_bar(total=count_tiles(present, shown.height, shown.width)) as bar:
            return restore_tiled(shown.pixels, restore_tile, present, multiple=network.facts.size_multiple, scale=after)

    return with_smaller_tiles(compute, plan, height=shown.height, width=shown.width)


def _part(large: Photo, window: Window, scale: int) -> Tensor:
    """The part of the enlarged input that a tile stands for: (1, C, h, w), float32 in [0, 1]."""
    rows = slice(window.top * scale, (window.top + window.height) * scale)
    columns = slice(window.left * scale, (window.left + window.width) * scale)
    values = large.pixels[rows, columns].astype(np.float32) / np.float32(large.max_value)
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None]
