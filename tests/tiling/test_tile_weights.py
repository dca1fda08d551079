"""Each tile's share in each pixel, as the blend really deals it out: one channel a tile."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from ldrestore.structures import TilePlan
from ldrestore.tiling.blending import blend_tiles, restore_tiled, tile_places
from ldrestore.tiling.picture_views import Window
from ldrestore.tiling.planning import TILE_LADDER, count_tiles, fixed_plan, overlap_of, tile_cores, tile_spans

CUTS = [
    ((40, 40), 16, 4, 1),
    ((17, 90), 16, 4, 1),  # the second row of tiles is the first, but for one cell
    ((33, 16), 16, 4, 4),
    ((50, 47), 16, 4, 8),
    ((31, 64), 16, 0, 1),
    ((20, 20), 16, 15, 1),  # each pixel lies in many tiles
    ((9, 100), 32, 8, 8),
    ((1, 70), 16, 4, 1),
    ((35, 1), 16, 4, 1),
    ((30, 50), 8, 2, 8),  # a grid as coarse as the tiles
    ((30, 50), 8, 2, 16),  # and coarser
]


def shares_of(
    size: tuple[int, int], tile: int, overlap: int, multiple: int
) -> tuple[Tensor, list[tuple[slice, slice]]]:
    """(N, H, W), how much each of N tiles counts in each cell; and where each lies."""
    places = [place for place, _ in tile_places(size=size, tile=tile, overlap=overlap, multiple=multiple)]
    order = {(rows.start, columns.start): index for index, (rows, columns) in enumerate(places)}

    def compute(rows: slice, columns: slice) -> Tensor:
        part = torch.zeros(1, len(places), rows.stop - rows.start, columns.stop - columns.start)
        part[:, order[rows.start, columns.start]] = 1
        return part

    return blend_tiles(compute, size=size, tile=tile, overlap=overlap, multiple=multiple)[0], places


@pytest.mark.parametrize(("size", "tile", "overlap", "multiple"), CUTS)
def test_the_shares_of_all_tiles_make_one_everywhere(
    size: tuple[int, int], tile: int, overlap: int, multiple: int
) -> None:
    shares, _ = shares_of(size, tile, overlap, multiple)
    assert shares.min() >= 0
    torch.testing.assert_close(shares.sum(dim=0), torch.ones(size), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("size", "tile", "overlap", "multiple"), CUTS)
def test_every_tile_counts_within_itself_and_nowhere_else(
    size: tuple[int, int], tile: int, overlap: int, multiple: int
) -> None:
    shares, places = shares_of(size, tile, overlap, multiple)
    for share, (rows, columns) in zip(shares, places, strict=True):
        outside = share.clone()
        outside[rows, columns] = 0
        assert not outside.any()
        assert share[rows, columns].any()


@pytest.mark.parametrize(("size", "tile", "overlap", "multiple"), CUTS)
def test_cores_make_up_the_map_each_cell_once(size: tuple[int, int], tile: int, overlap: int, multiple: int) -> None:
    counts = torch.zeros(size, dtype=torch.int)
    for (rows, columns), (core_rows, core_columns) in tile_places(
        size=size, tile=tile, overlap=overlap, multiple=multiple
    ):
        assert multiple > tile - overlap or rows.start % multiple == columns.start % multiple == 0
        counts[rows, columns][core_rows, core_columns] += 1
    assert (counts == 1).all()


@pytest.mark.parametrize("tile", [64, 128, 192, 256, 512])
@pytest.mark.parametrize("multiple", [1, 8, 16, 64, 128])
def test_spans_of_every_plan_cover_each_axis_with_the_overlap_asked_for(tile: int, multiple: int) -> None:
    plan = fixed_plan(tile)
    for size in (1, multiple, tile - 1, tile, tile + 1, tile + multiple, 2 * tile, 1000, 1021, 2049):
        spans = tile_spans(size, plan, multiple=multiple)
        covered = np.zeros(size, int)
        for span in spans:
            assert span.start % min(multiple, 32) == 0 and span.stop - span.start <= tile
            assert span.start % multiple == 0 or multiple > tile - plan.overlap
            covered[span] += 1
        assert covered.all()
        pairs = list(itertools.pairwise(spans))
        assert all(before.stop - after.start >= plan.overlap for before, after in pairs)
        assert all(before.start < after.start and before.stop < after.stop for before, after in pairs)
        cores = tile_cores(spans)
        assert [core.stop for core in cores[:-1]] == [core.start for core in cores[1:]]
        assert all(span.start <= core.start < core.stop <= span.stop for span, core in zip(spans, cores, strict=True))


def test_a_core_lies_half_an_overlap_away_from_the_borders_where_its_tile_knows_little() -> None:
    for tile in TILE_LADDER:
        plan = TilePlan(tile=tile, overlap=overlap_of(tile), memory_bytes=None)
        spans = tile_spans(5000, plan, multiple=16)
        for index, (span, core) in enumerate(zip(spans, tile_cores(spans), strict=True)):
            assert index == 0 or core.start - span.start >= plan.overlap // 2
            assert index == len(spans) - 1 or span.stop - core.stop >= plan.overlap // 2


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_an_enlarged_picture_in_tiles_is_the_one_enlarged_whole(scale: int, dtype: type) -> None:
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    pixels = (np.random.default_rng(3).random((90, 150, 3)) * top).astype(dtype)

    def enlarge(lq: Tensor, window: Window) -> Tensor:
        assert lq.shape == (1, 3, window.height, window.width)
        return lq.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)

    tiled = restore_tiled(pixels, enlarge, fixed_plan(64), scale=scale)
    assert tiled.dtype == dtype
    assert np.array_equal(tiled, pixels.repeat(scale, axis=0).repeat(scale, axis=1))


@pytest.mark.parametrize(("height", "width", "tile"), [(200, 300, 64), (65, 64, 64), (64, 640, 128), (1, 1000, 64)])
def test_as_many_tiles_are_computed_as_were_counted(height: int, width: int, tile: int) -> None:
    windows: list[Window] = []

    def keep(lq: Tensor, window: Window) -> Tensor:
        windows.append(window)
        return lq

    plan = fixed_plan(tile)
    restore_tiled(np.zeros((height, width, 1), np.uint8), keep, plan)
    assert len(windows) == len(set(windows)) == count_tiles(plan, height, width)


def test_values_that_are_not_numbers_stay_within_their_tile() -> None:
    """Whoever checks a result for undefined numbers finds them, and finds where."""
    pixels = np.zeros((64, 200, 1), np.float32)

    def spoil(lq: Tensor, window: Window) -> Tensor:
        return torch.full_like(lq, float("nan")) if window.left == 0 else lq

    restored = restore_tiled(pixels, spoil, fixed_plan(64))
    assert np.isnan(restored[:, :48]).all()
    assert not np.isnan(restored[:, 64:]).any()
