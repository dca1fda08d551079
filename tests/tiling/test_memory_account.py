"""The account of memory: more of anything never asks for less, and what a plan asks for lies within its budget."""

import dataclasses
import itertools
import math
import re

import numpy as np
import pytest

from ldrestore.errors import InputError, OutOfMemoryError
from ldrestore.images.photo import Photo
from ldrestore.structures import TilePlan
from ldrestore.tiling.memory import MAP_BYTES, resident_bytes, tile_map_bytes, whole_map_bytes
from ldrestore.tiling.planning import (
    MAX_LOOK_BYTES,
    PREDICTION_LADDER,
    TILE_LADDER,
    fixed_plan,
    make_plan,
    plan_tiles,
    prediction_tile,
    step_down,
)

GB = 10**9


def side(plan: TilePlan) -> float:
    """Of its tiles; beyond all for the whole picture."""
    return plan.tile or math.inf


def planned(**changes: int) -> TilePlan | None:
    """A plan of a usual call with some of it changed; None where memory does not do."""
    usual = {"height": 4000, "width": 6000, "memory_bytes": 2 * GB, "bytes_per_pixel": 3000, "resident_bytes": 10**8}
    call = {**usual, **changes}
    try:
        return plan_tiles(call.pop("height"), call.pop("width"), **call)
    except OutOfMemoryError:
        return None


def sides(name: str, values: list[int]) -> list[float]:
    """Sides of the tiles for growing values of one number; 0 where memory does not do."""
    return [0 if (plan := planned(**{name: value})) is None else side(plan) for value in values]


@pytest.mark.parametrize("name", ["height", "width", "bytes_per_pixel", "resident_bytes", "scale"])
def test_more_to_do_never_gets_larger_tiles(name: str) -> None:
    values = {
        "height": [1, 100, 700, 4000, 10**5, 10**7],
        "width": [1, 100, 700, 6000, 10**5, 10**7],
        "bytes_per_pixel": [1, 50, 1000, 3000, 10**4, 10**5, 10**6],
        "resident_bytes": [0, 10**8, GB, 2 * GB - 10**8, 2 * GB, 3 * GB],
        "scale": [1, 2, 4, 8, 32],
    }[name]
    found = sides(name, values)
    assert found == sorted(found, reverse=True)
    assert len(set(found)) > 1


def test_more_memory_never_gets_smaller_tiles_or_a_smaller_look() -> None:
    budgets = [GB // 20, 2 * GB // 9, GB // 4, GB // 2, GB, 2 * GB, 8 * GB, 80 * GB]
    plans = [plan for budget in budgets if (plan := planned(memory_bytes=budget)) is not None]
    assert [side(plan) for plan in plans] == sorted(side(plan) for plan in plans)
    assert [plan.look for plan in plans] == sorted(plan.look for plan in plans)
    assert plans[0].tile == TILE_LADDER[-1] and plans[-1].tile == 0


@pytest.mark.parametrize(
    ("height", "width", "scale"), [(4000, 6000, 1), (100, 90_000, 1), (90_000, 100, 2), (300, 300, 4), (8000, 8000, 4)]
)
def test_what_a_plan_takes_lies_within_the_budget(height: int, width: int, scale: int) -> None:
    for budget, per_pixel in itertools.product((GB // 2, GB, 4 * GB, 30 * GB), (500, 7000, 60_000)):
        plan = planned(height=height, width=width, scale=scale, memory_bytes=budget, bytes_per_pixel=per_pixel)
        if plan is None:
            continue
        tile = plan.tile or max(height, width)
        taken = 10**8 + min(tile, height) * min(tile, width) * per_pixel
        if plan.tile:  # rows of three float32 channels that await the next row of tiles
            taken += 3 * 4 * scale**2 * width * min(plan.tile, height)
        assert taken <= budget
        assert plan.memory_bytes == budget


@pytest.mark.parametrize(("height", "width"), [(100, 100), (90, 3000), (5000, 8000), (128, 128)])
def test_the_least_that_is_asked_for_is_enough_and_little_less_is_not(height: int, width: int) -> None:
    with pytest.raises(OutOfMemoryError, match=rf"{width}x{height} pixels need at least") as caught:
        plan_tiles(height, width, memory_bytes=1, bytes_per_pixel=100_000)
    match = re.search(r"at least ([\d.]+) GB, got 1e-09 GB; raise the memory budget", str(caught.value))
    assert match is not None
    needed = round(float(match[1]) * GB)
    plan_tiles(height, width, memory_bytes=needed, bytes_per_pixel=100_000)
    with pytest.raises(OutOfMemoryError):
        plan_tiles(height, width, memory_bytes=needed - 2 * 10**7, bytes_per_pixel=100_000)


@pytest.mark.parametrize("memory_gb", [0, -1, float("nan"), float("inf"), -float("inf")])
def test_budgets_that_are_none_are_refused_where_they_count(memory_gb: float) -> None:
    call = {"bytes_per_pixel": 1000, "resident_bytes": 0}
    with pytest.raises(InputError, match="memory_gb must be positive and finite, got"):
        make_plan(500, 500, tile="auto", memory_gb=memory_gb, **call)
    assert make_plan(500, 500, tile=128, memory_gb=memory_gb, **call).tile == 128


@pytest.mark.parametrize("tile", ["whole", "", "512", None, 0, -64, True, 512.0])
def test_other_words_than_auto_off_and_pixels_are_refused(tile: object) -> None:
    with pytest.raises(InputError, match=r"tile must be 'auto', 'off' or a number of pixels such as 512"):
        make_plan(500, 500, tile=tile, memory_gb=4, bytes_per_pixel=1000, resident_bytes=0)  # what a user may give


@pytest.mark.parametrize(("height", "width"), [(50, 60), (130, 100), (600, 700), (3000, 2000)])
def test_stepping_down_comes_to_an_end_and_never_goes_up(height: int, width: int) -> None:
    plan, found = fixed_plan(0), []
    while plan.tile != TILE_LADDER[-1] and max(height, width) > TILE_LADDER[-1]:
        plan = step_down(plan, height, width)
        found.append(plan)
    with pytest.raises(OutOfMemoryError, match=r"memory ran out with tiles of \d+ pixels, the smallest; free some, or"):
        step_down(plan, height, width)
    assert [one.steps_down for one in found] == list(range(1, len(found) + 1))
    assert all(one.tile < max(height, width) and 0 < one.overlap <= one.tile // 4 for one in found)
    assert [one.tile for one in found] == [tile for tile in TILE_LADDER if tile < max(height, width)]
    assert [one.look for one in found] == sorted((one.look for one in found), reverse=True)


def photo(height: int = 30, width: int = 20, *, kind: type = np.uint8, alpha: bool = False, channels: int = 3) -> Photo:
    return Photo(
        pixels=np.zeros((height, width, channels), kind), alpha=np.zeros((height, width), kind) if alpha else None
    )


def test_what_lies_in_memory_grows_with_depth_alpha_channels_and_scale() -> None:
    plain = resident_bytes(photo(), photo())
    assert plain == 30 * 20 * 3 * 3  # input, working copy, output
    assert resident_bytes(photo(kind=np.uint16), photo(kind=np.uint16)) == 2 * plain
    assert resident_bytes(photo(kind=np.float32), photo(kind=np.float32)) == 4 * plain
    assert resident_bytes(photo(alpha=True), photo(alpha=True)) > plain
    assert resident_bytes(photo(channels=1), photo(channels=1)) == plain // 3
    large = [resident_bytes(photo(), photo(30 * scale, 20 * scale)) for scale in (1, 2, 3, 4)]
    assert large == sorted(large) and large[-1] > 10 * plain
    same = photo()
    assert resident_bytes(same, same) == plain * 2 // 3


@pytest.mark.parametrize("large", [photo(), photo(1, 1), photo(300, 7)])
def test_self_ensemble_and_colour_fix_ask_for_more_and_both_for_no_less_than_either(large: Photo) -> None:
    found = {
        flags: whole_map_bytes(large, self_ensemble=flags[0], has_colour_fix=flags[1])
        for flags in itertools.product((False, True), repeat=2)
    }
    assert found[False, False] == 3 * MAP_BYTES * large.height * large.width
    assert found[False, False] < min(found[True, False], found[False, True])
    assert found[True, True] >= max(found[True, False], found[False, True])
    assert tile_map_bytes(self_ensemble=True) > tile_map_bytes(self_ensemble=False) == 0


def test_the_networks_on_latents_take_the_whole_where_that_fits_and_never_less_than_the_autoencoder() -> None:
    plan = fixed_plan(256)
    call = {"bytes_per_pixel": 500, "resident_bytes": 0}
    assert prediction_tile(fixed_plan(0), 9000, 9000, **call) == 0
    assert prediction_tile(plan, 900, 1000, **call) == 0
    assert prediction_tile(plan, 3000, 3000, **call) == PREDICTION_LADDER[0]
    for bytes_per_pixel in (10**3, 10**4, 10**5, 10**6):
        tile = prediction_tile(plan, 3000, 3000, bytes_per_pixel=bytes_per_pixel, resident_bytes=0)
        assert tile >= plan.tile
        assert tile == plan.tile or tile**2 * bytes_per_pixel <= MAX_LOOK_BYTES
    limited = dataclasses.replace(plan, memory_bytes=GB)
    tiles = [
        prediction_tile(limited, 3000, 3000, bytes_per_pixel=2000, resident_bytes=resident)
        for resident in (0, GB // 2, GB - 10**6, GB)
    ]
    assert tiles == sorted(tiles, reverse=True) and tiles[0] > tiles[-1] == plan.tile
