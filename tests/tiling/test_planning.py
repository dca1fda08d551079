import itertools
import re

import pytest

from ldrestore.errors import InputError, OutOfMemoryError
from ldrestore.structures import TilePlan
from ldrestore.tiling.planning import (
    TILE_LADDER,
    count_tiles,
    fixed_plan,
    is_one_tile,
    make_plan,
    overlap_of,
    plan_tiles,
    step_down,
    tile_spans,
)


@pytest.mark.parametrize("multiple", [1, 16])
@pytest.mark.parametrize(("size", "tile", "overlap"), [(100, 128, 16), (129, 128, 16), (1000, 128, 16), (240, 128, 16)])
def test_tiles_cover_an_axis_overlap_enough_and_lie_on_the_grid(size, tile, overlap, multiple):
    spans = tile_spans(size, TilePlan(tile=tile, overlap=overlap, memory_bytes=None), multiple=multiple)
    assert spans[0].start == 0 and spans[-1].stop == size
    assert all(span.start % multiple == 0 and 0 < span.stop - span.start <= tile for span in spans)
    assert all(before.stop - after.start >= overlap for before, after in itertools.pairwise(spans))
    assert all(span.stop - span.start == min(tile, size) for span in spans[:-1])


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


def test_the_overlap_is_what_the_network_needs_and_a_quarter_of_the_tile_at_most():
    assert [overlap_of(tile, overlap=64) for tile in (64, 128, 256, 2048)] == [16, 32, 64, 64]
    assert fixed_plan(512, overlap=32).overlap == 32
    assert plan_tiles(5000, 8000, memory_bytes=10**9, bytes_per_pixel=1000, overlap=96).overlap == 96


def test_the_look_takes_part_of_the_budget_and_steps_down_too():
    assert plan_tiles(5000, 8000, memory_bytes=10**9, bytes_per_pixel=700).look == 768
    assert plan_tiles(5000, 8000, memory_bytes=10**9, bytes_per_pixel=7000).look == 256
    assert step_down(fixed_plan(0), 600, 700).look == 512
    for tile in ("auto", "off", 512):  # the same for all, so that the plan does not matter
        plans = {"tile": tile, "memory_gb": 4, "bytes_per_pixel": 3000, "resident_bytes": 10**8}
        assert make_plan(3000, 4000, **plans).look == 768
        assert make_plan(3000, 4000, **{**plans, "bytes_per_pixel": 7000}).look == 512
    assert step_down(fixed_plan(256), 600, 700).look == 192


def test_tiles_are_counted():
    plan = make_plan(200, 300, tile=128, memory_gb=1, bytes_per_pixel=1, resident_bytes=0)
    assert count_tiles(plan, 200, 300) == 2 * 3 and not is_one_tile(plan, 200, 300)
    assert is_one_tile(plan, 128, 128) and is_one_tile(fixed_plan(0), 9000, 9000)
