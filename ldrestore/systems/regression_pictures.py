"""A picture through one regressor: its tiles, one look at the whole of it, and a pass a tile and orientation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ldrestore.images.photo import Photo
from ldrestore.options import FastRestoreOptions
from ldrestore.structures import DegradationEstimate, TilePlan
from ldrestore.systems.regression import RegressionSystem
from ldrestore.systems.regression_steering import Steering
from ldrestore.tiling.blending import restore_tiled
from ldrestore.tiling.memory import resident_bytes, tile_map_bytes
from ldrestore.tiling.orientations import ORIENTATIONS, UPRIGHT, Orientation, mean_over_orientations
from ldrestore.tiling.picture_views import Window
from ldrestore.tiling.planning import count_tiles, make_plan
from ldrestore.tiling.retries import with_smaller_tiles


def plan_of_passes(photo: Photo, large: Photo, *, system: RegressionSystem, options: FastRestoreOptions) -> TilePlan:
    """The tiles of one picture, whose input, working copy and output lie in memory all along.

    Args:
        photo: The input.
        large: What is restored of it.
        system: Its network's record tells what a pixel needs, and how far a pixel sees.
        options: Of the call; the memory budget counts beside the weights.
    """
    return make_plan(
        large.height,
        large.width,
        tile=options.tile,
        memory_gb=options.memory_gb,
        bytes_per_pixel=system.record.bytes_per_pixel + tile_map_bytes(self_ensemble=options.self_ensemble),
        resident_bytes=resident_bytes(photo, large),
        overlap=system.record.overlap,
    )


def restore_picture(
    pixels: np.ndarray,
    plan: TilePlan,
    steering: Steering,
    *,
    system: RegressionSystem,
    options: FastRestoreOptions,
    device: torch.device,
    progress_bar: Callable[..., Any],
) -> tuple[np.ndarray, TilePlan, DegradationEstimate]:
    """Restore a picture, with smaller tiles where memory runs out.

    Args:
        pixels: (H, W, C), of any type.
        plan: The tiles to begin with.
        steering: What steers the network.
        system: What it goes through.
        options: Of the call.
        device: Where the network computes.
        progress_bar: Makes a bar of `total` ticks, one a tile.

    Returns:
        (H, W, C), of the same type; the plan that memory allowed; and what the network believes to be wrong.

    Raises:
        UndefinedNumbersError: the network gives infinite or undefined pixels in float32 too.
        OutOfMemoryError: not even the smallest tile fits.
    """
    (height, width), embedding, hints = pixels.shape[:2], steering.embedding, steering.hints

    def compute(present: TilePlan) -> tuple[np.ndarray, list[Tensor]]:
        orientations = ORIENTATIONS if options.self_ensemble else (UPRIGHT,)
        looks = system.looks_at(
            pixels, present, orientations=orientations, device=device, embedding=embedding, hints=hints
        )
        estimates: list[Tensor] = []

        def restore_tile(lq: Tensor, window: Window) -> Tensor:
            def forward(turned: Tensor, orientation: Orientation = UPRIGHT) -> Tensor:
                place = window.turned(orientation.turns, is_flipped=orientation.is_flipped)
                restored, estimate = system.restore(
                    turned, device=device, embedding=embedding, hints=hints, look=looks[orientation], window=place
                )
                estimates.extend([] if estimate is None else [estimate])
                return restored

            restored = mean_over_orientations(forward, lq) if options.self_ensemble else forward(lq)
            bar.update()
            return torch.lerp(restored, lq, options.fidelity)

        with progress_bar(total=count_tiles(present, height, width)) as bar:
            return restore_tiled(pixels, restore_tile, present, multiple=system.record.size_multiple), estimates

    (restored, estimates), plan = with_smaller_tiles(
        compute, plan, height=height, width=width, overlap=system.record.overlap
    )
    return restored, plan, _estimate_of(estimates, system)


def _estimate_of(probabilities: list[Tensor], system: RegressionSystem) -> DegradationEstimate:
    """The mean over the passes of one picture, each (N,); empty from a network that estimates nothing."""
    if not probabilities:
        return DegradationEstimate()
    mean = torch.stack(probabilities).mean(dim=0)
    names = getattr(system.network, "estimate_names", system.network.config["degradations"])
    return DegradationEstimate(tuple(names), tuple(mean.tolist()))
