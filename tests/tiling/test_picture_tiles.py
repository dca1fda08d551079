import itertools
import re
import tracemalloc

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ldrestore.errors import InputError, OutOfMemoryError, ShapeError
from ldrestore.tiling.picture_tiles import (
    TILE_LADDER,
    fixed_plan,
    overlap_of,
    plan_tiles,
    restore_tiled,
    seam_score,
    step_down,
    tile_starts,
)


def identity(lq):
    return lq


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("size", [(1, 1), (70, 417), (300, 65), (200, 200)])
@pytest.mark.parametrize("tile", [0, 64, 128])
def test_an_identity_network_returns_the_input_to_the_bit(dtype, size, tile):
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    pixels = (np.random.default_rng(0).random((*size, 3)) * white).astype(dtype)
    restored = restore_tiled(pixels, identity, fixed_plan(tile))
    assert restored.dtype == dtype
    assert np.array_equal(restored, pixels)


def test_tiles_equal_the_whole_picture_for_a_filter_that_sees_less_than_the_overlap():
    pixels = np.random.default_rng(0).random((150, 170, 3)).astype(np.float32)

    def blur(lq):
        return F.avg_pool2d(F.pad(lq, (1, 1, 1, 1), mode="reflect"), 3, stride=1)

    whole = restore_tiled(pixels, blur, fixed_plan(0))
    tiled = restore_tiled(pixels, blur, fixed_plan(64))
    inner = np.abs(whole - tiled)
    assert np.median(inner) == 0
    assert inner.max() < 0.35  # at a tile's own border its filter sees the reflection, at low weight in the blend


def test_brightness_that_drifts_from_tile_to_tile_shows_no_seam():
    ramp = np.linspace(0.2, 0.8, 600, dtype=np.float32)
    noise = 0.02 * np.random.default_rng(0).standard_normal((600, 600, 3)).astype(np.float32)
    pixels = np.clip(ramp[None, :, None] + noise, 0, 1)
    drifts = iter(np.linspace(-0.02, 0.02, 64))
    plan = fixed_plan(128)
    restored = restore_tiled(pixels, lambda lq: lq + float(next(drifts)), plan)
    assert seam_score(restored, plan) <= 1.05


def test_the_seam_score_sees_a_seam():
    plan = fixed_plan(128)
    pixels = 0.5 + 0.01 * np.random.default_rng(0).standard_normal((256, 256, 1))
    assert seam_score(pixels, plan) == pytest.approx(1, abs=0.1)
    starts = tile_starts(256, 128, plan.overlap)
    pixels[:, starts[1] :] += 0.2
    assert seam_score(pixels, plan) > 1.5
    with pytest.raises(InputError, match="has no seam"):
        seam_score(pixels, fixed_plan(0))


@pytest.mark.parametrize(("size", "tile", "overlap"), [(100, 128, 16), (129, 128, 16), (1000, 128, 16), (240, 128, 16)])
def test_tiles_cover_an_axis_and_overlap_enough(size, tile, overlap):
    starts = tile_starts(size, tile, overlap)
    assert starts[0] == 0
    assert starts[-1] == max(0, size - tile)
    assert all(after - before <= tile - overlap for before, after in itertools.pairwise(starts))


def test_working_memory_does_not_grow_with_the_height():
    def peak(height):
        pixels = np.zeros((height, 512, 3), np.uint8)
        tracemalloc.start()
        restore_tiled(pixels, identity, fixed_plan(128))
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest - pixels.nbytes  # the output is of the input's size

    assert peak(2048) < 1.1 * peak(512)


def test_the_plan_follows_from_size_and_budget():
    whole = plan_tiles(500, 500, memory_bytes=10**9, bytes_per_pixel=1000)
    assert (whole.tile, whole.overlap) == (0, 0)
    assert whole == plan_tiles(500, 500, memory_bytes=10**9, bytes_per_pixel=1000)
    tiled = plan_tiles(5000, 8000, memory_bytes=10**9, bytes_per_pixel=1000)
    assert tiled.tile in TILE_LADDER
    assert tiled.tile**2 * 1000 < 10**9
    smaller = plan_tiles(5000, 8000, memory_bytes=10**9, bytes_per_pixel=1000, resident_bytes=5 * 10**8)
    assert smaller.tile < tiled.tile
    with pytest.raises(OutOfMemoryError, match=r"got 0\.01 GB; raise the memory budget") as caught:
        plan_tiles(5000, 8000, memory_bytes=10**7, bytes_per_pixel=1000)
    needed = float(re.search(r"at least ([\d.]+) GB", str(caught.value))[1])
    assert plan_tiles(5000, 8000, memory_bytes=round(needed * 1e9), bytes_per_pixel=1000).tile == TILE_LADDER[-1]


def test_stepping_down_goes_rung_by_rung_and_is_counted():
    plan = step_down(fixed_plan(0), 600, 700)
    assert (plan.tile, plan.overlap, plan.steps_down) == (512, overlap_of(512), 1)
    assert step_down(plan, 600, 700).tile == 384
    with pytest.raises(OutOfMemoryError, match="128 pixels"):
        step_down(fixed_plan(128), 600, 700)


def test_wrong_tiles_are_refused():
    with pytest.raises(InputError, match="multiple of 64, got 100"):
        fixed_plan(100)
    with pytest.raises(ShapeError, match="came back as"):
        restore_tiled(np.zeros((8, 8, 3), np.uint8), lambda lq: lq[..., :4], fixed_plan(0))


def test_results_are_clipped_and_rounded():
    pixels = np.full((4, 4, 1), 100, np.uint8)
    for value, expected in ((-0.3, 0), (1.7, 255), (100.6 / 255, 101), (100.4 / 255, 100)):
        restored = restore_tiled(pixels, lambda lq, value=value: torch.full_like(lq, value), fixed_plan(0))
        assert (restored == expected).all()
