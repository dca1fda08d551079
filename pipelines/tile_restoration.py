"""A picture through a regressor, tile by tile: one pass, the mean of eight, and smaller tiles when memory ends."""

import copy
import logging
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from diffusers import ModelMixin
from torch import Tensor

from ldrestore.errors import InputError, WeightsError
from ldrestore.images.padding import crop_to, pad_to_multiple
from ldrestore.regressors.factory import record_of
from ldrestore.regressors.onnx_regressor import OnnxRegressor
from ldrestore.structures import TilePlan
from ldrestore.tiling.picture_tiles import fixed_plan, plan_tiles, restore_tiled, step_down, tile_starts

logger = logging.getLogger(__name__)

Computed = TypeVar("Computed")

HALF_TYPES = (torch.float16, torch.bfloat16)

NUM_ORIENTATIONS = 8
"""Passes of the self-ensemble: four quarter turns, each flipped or not."""

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


def make_plan(
    height: int, width: int, *, tile: int | str, memory_gb: float, bytes_per_pixel: int, resident_bytes: int
) -> TilePlan:
    """How to cut a picture.

    Args:
        height: Rows of the picture that the network sees.
        width: Its columns.
        tile: "auto" for the memory budget, "off" for the whole picture at once, or the side of a tile in pixels.
        memory_gb: The budget in 10^9 bytes.
        bytes_per_pixel: Working memory of the network.
        resident_bytes: Size of input and output.

    Raises:
        InputError: another tile, or a budget that is not positive.
        OutOfMemoryError: not even the smallest tile fits the budget.
    """
    if tile == "off":
        return fixed_plan(0)
    if isinstance(tile, int) and not isinstance(tile, bool) and tile > 0:
        return fixed_plan(tile)
    if tile != "auto":
        raise InputError(f"tile must be 'auto', 'off' or a number of pixels such as 512, got {tile!r}")
    if not memory_gb > 0:
        raise InputError(f"memory_gb must be positive, got {memory_gb}")
    return plan_tiles(
        height,
        width,
        memory_bytes=round(memory_gb * 1e9),
        bytes_per_pixel=bytes_per_pixel,
        resident_bytes=resident_bytes,
    )


def count_tiles(plan: TilePlan, height: int, width: int) -> int:
    """Number of tiles of a picture."""
    return int(
        np.prod([len(tile_starts(size, min(plan.tile or size, size), plan.overlap)) for size in (height, width)])
    )


def restore_pixels(
    pixels: np.ndarray, restore_tile: Callable[[Tensor], Tensor], plan: TilePlan
) -> tuple[np.ndarray, TilePlan]:
    """Restore a picture, with smaller tiles where memory runs out.

    Args:
        pixels: (H, W, C), uint8, uint16 or float32 in [0, 1].
        restore_tile: (1, C, h, w) float32 in [0, 1] to the same shape.
        plan: The tiles to begin with.

    Returns:
        The restored pixels, of the same shape and type, and the plan that they were made with.

    Raises:
        OutOfMemoryError: even the smallest tiles need too much.
    """
    return with_smaller_tiles(
        lambda present: restore_tiled(pixels, restore_tile, present),
        plan,
        height=pixels.shape[0],
        width=pixels.shape[1],
    )


def with_smaller_tiles(
    compute: Callable[[TilePlan], Computed], plan: TilePlan, *, height: int, width: int
) -> tuple[Computed, TilePlan]:
    """Compute with a plan, and again with smaller tiles where memory runs out.

    Args:
        compute: Starts anew at each call.
        plan: The tiles to begin with.
        height: Rows of the picture.
        width: Its columns.

    Returns:
        What `compute` gives, and the plan that it was given.

    Raises:
        OutOfMemoryError: even the smallest tiles need too much.
    """
    while True:
        try:
            return compute(plan), plan
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            plan = step_down(plan, height, width)
            logger.warning("memory ran out; going on with tiles of %d pixels", plan.tile)
        if torch.cuda.is_available():  # after the handler: its traceback holds the tensors of the failed pass
            torch.cuda.empty_cache()


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on any device."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
        text in str(error) for text in _OUT_OF_MEMORY
    )


def one_pass(
    network: ModelMixin | OnnxRegressor, lq: Tensor, *, device: torch.device, embedding: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """One forward pass, padded by reflection; the residual is taken in the network's precision, added in float32.

    A grey picture goes in as three equal channels, and the mean of the three residuals is its own.

    Args:
        network: Any regressor.
        lq: (1, C, h, w), C 1 or 3, float32 in [0, 1].
        device: Where the network computes.
        embedding: (1, *embedding_shape), what steers a network that takes embeddings; None leaves it out.

    Returns:
        (1, C, h, w), float32 where `lq` is, not clamped; and the probabilities (N,), float32 on the CPU, of the
        degradations of networks that estimate them, None from others.

    Raises:
        WeightsError: the network gives infinite or undefined pixels in float32 too.
    """
    num_channels, height, width = lq.shape[1:]
    padded = pad_to_multiple(lq, network.size_multiple)
    rgb = padded.expand(-1, 3, -1, -1).to(device)  # (1, 3, H, W)
    dtype = network.dtype
    rgb = rgb.contiguous(memory_format=torch.channels_last)  # convolutions and channel norms are faster so
    residual, logits = _residual(network, rgb.to(dtype), embedding)
    if dtype in HALF_TYPES and not residual.isfinite().all():
        logger.warning("%s overflowed in %s; this tile is computed again in float32", type(network).__name__, dtype)
        residual, logits = _residual_in_float32(network, rgb, embedding)
    if not residual.isfinite().all():
        raise WeightsError(
            f"{type(network).__name__} gives infinite or undefined pixels in {dtype}; its weights are damaged"
        )
    if num_channels == 1:
        residual = residual.mean(dim=1, keepdim=True)
    probabilities = None if logits is None else logits[0].float().sigmoid().cpu()
    return lq + crop_to(residual, height, width).to(lq.device), probabilities


def mean_over_orientations(restore: Callable[[Tensor], Tensor], lq: Tensor) -> Tensor:
    """Geometric self-ensemble, Lim et al. 2017, section 3.4 (https://arxiv.org/abs/1707.02921), in float32.

    Args:
        restore: (1, C, h, w) to the same shape.
        lq: (1, C, h, w), float32.

    Returns:
        The mean over the eight flips and quarter turns, each turned back.
    """
    total = torch.zeros_like(lq)
    for turns in range(4):
        for is_flipped in (False, True):
            turned = lq.rot90(turns, (2, 3))
            turned = turned.flip(3) if is_flipped else turned
            restored = restore(turned.contiguous())
            restored = restored.flip(3) if is_flipped else restored
            total += restored.rot90(-turns, (2, 3))
    return total / NUM_ORIENTATIONS


def _residual(
    network: ModelMixin | OnnxRegressor, rgb: Tensor, embedding: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """What the network changes, (1, 3, H, W) in its own type to float32, and its logits, if it estimates."""
    options = {} if embedding is None else {"embedding": embedding.to(rgb)}
    if record_of(network).gives_estimate:
        restored, logits = network(rgb, return_estimate=True, **options)
        return restored.float() - rgb.float(), logits
    return network(rgb, **options).float() - rgb.float(), None


def _residual_in_float32(network: ModelMixin, rgb: Tensor, embedding: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The same with weights widened for this one call; the network keeps its own."""
    widened = copy.deepcopy(network).float()
    return _residual(widened, rgb.float(), embedding)
