"""A picture through one pass a tile: ticks, blends, estimates, grey pictures, and tiles that memory makes smaller."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ldrestore.errors import OutOfMemoryError
from ldrestore.images.photo import Photo
from ldrestore.options import FastRestoreOptions
from ldrestore.structures import DegradationEstimate, TilePlan
from ldrestore.systems.regression import RegressionSystem
from ldrestore.systems.regression_pictures import plan_of_passes, restore_picture
from ldrestore.systems.regression_steering import Steering
from ldrestore.tiling.planning import count_tiles
from tests.regressors.test_contract import tiny

CPU = torch.device("cpu")
WHOLE_PLAN = TilePlan(tile=0, overlap=0, memory_bytes=None)
TILES = TilePlan(tile=64, overlap=32, memory_bytes=None)


class Bar:
    """Counts what a progress bar is told."""

    def __init__(self) -> None:
        self.totals: list[int] = []
        self.ticks = 0

    @contextmanager
    def __call__(self, *, total: int) -> Iterator["Bar"]:
        self.totals.append(total)
        yield self

    def update(self) -> None:
        self.ticks += 1


def picture(height: int = 40, width: int = 90, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


@torch.no_grad()
def restored(
    system: RegressionSystem, pixels: np.ndarray, plan: TilePlan = WHOLE_PLAN, bar: Bar | None = None, **options: Any
) -> tuple[np.ndarray, TilePlan, DegradationEstimate]:
    return restore_picture(
        pixels,
        plan,
        Steering(),
        system=system,
        options=FastRestoreOptions(**options),
        device=CPU,
        progress_bar=bar or Bar(),
    )


@pytest.fixture(scope="module")
def system() -> RegressionSystem:
    return RegressionSystem(tiny("nafnet"))


def test_a_picture_taken_whole_is_the_network_rounded_to_8_bits(system) -> None:
    pixels = picture(48, 96)  # which the network need not pad
    found, plan, estimate = restored(system, pixels)
    lq = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = system.network(lq)[0].permute(1, 2, 0).clamp(0, 1).numpy() * 255
    assert np.abs(found - expected).max() <= 0.51
    assert plan == WHOLE_PLAN and estimate == DegradationEstimate()


@pytest.mark.parametrize(("plan", "is_cut"), [(WHOLE_PLAN, False), (TILES, True)])
def test_there_is_a_tick_for_each_tile(system, plan, is_cut) -> None:
    bar = Bar()
    restored(system, picture(70, 150), plan, bar)
    assert bar.totals == [bar.ticks] and (bar.ticks > 1) == is_cut


def test_tiles_of_a_picture_are_the_whole_within_a_level(system) -> None:
    pixels = picture(70, 150)
    whole, tiled = restored(system, pixels)[0], restored(system, pixels, TILES)[0]
    distances = np.abs(whole.astype(int) - tiled)
    assert np.percentile(distances, 99) <= 2 and distances.max() < 10  # of noise, through random weights


def test_fidelity_blends_the_input_in_and_at_one_is_it(system) -> None:
    pixels = picture()
    assert np.array_equal(restored(system, pixels, fidelity=1.0)[0], pixels)
    result, half = restored(system, pixels)[0].astype(float), restored(system, pixels, fidelity=0.5)[0]
    inner = (result > 0) & (result < 255)  # a clipped result was further away
    assert np.abs(half - (result + pixels) / 2)[inner].max() <= 1


def test_a_grey_picture_is_the_mean_of_what_its_colours_become(system) -> None:
    grey = picture(channels=1)
    found = restored(system, grey)[0]
    colours = restored(system, np.repeat(grey, 3, axis=2))[0].astype(float)
    assert found.shape == grey.shape
    inner = ((colours > 0) & (colours < 255)).all(axis=2)
    assert np.abs(found[..., 0] - colours.mean(axis=2))[inner].max() <= 1


def test_the_mean_over_all_orientations_does_not_hang_on_the_orientation(system) -> None:
    pixels = picture(40, 40)
    found = restored(system, pixels, self_ensemble=True)[0]
    turned = restored(system, np.ascontiguousarray(np.rot90(pixels)), self_ensemble=True)[0]
    assert np.abs(np.rot90(found).astype(int) - turned).max() <= 1
    plain = restored(system, pixels)[0]
    assert not np.array_equal(found, plain)


def test_an_estimate_is_the_mean_over_the_passes_of_a_picture(monkeypatch) -> None:
    system = RegressionSystem(tiny("prompted_nafnet"))
    pixels = picture(70, 150)
    passes: list[torch.Tensor] = []
    restore = system.restore

    def keep(lq: torch.Tensor, **options: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        result, probabilities = restore(lq, **options)
        assert probabilities is not None
        passes.append(probabilities)
        return result, probabilities

    monkeypatch.setattr(system, "restore", keep)
    estimate = restored(system, pixels, TILES)[2]
    assert len(passes) > 1 and estimate.names == tuple(system.network.config["degradations"])
    assert list(estimate.probabilities) == pytest.approx(torch.stack(passes).mean(dim=0).tolist(), abs=1e-6)


def failing_above(system: RegressionSystem, side: int) -> Callable[..., Any]:
    """The network where memory holds tiles of so many pixels a side."""
    forward = system.network.forward

    def run(lq: torch.Tensor, **options: Any) -> Any:
        if max(lq.shape[-2:]) > side:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(lq, **options)

    return run


def test_where_memory_runs_out_smaller_tiles_are_taken_and_told_of(monkeypatch) -> None:
    system = RegressionSystem(tiny("nafnet"))
    pixels, bar = picture(150, 400), Bar()
    expected = restored(system, pixels)[0]
    monkeypatch.setattr(system.network, "forward", failing_above(system, 320))
    found, plan, _ = restored(system, pixels, bar=bar)
    assert 0 < plan.tile <= 320 and plan.steps_down > 0
    assert bar.totals[-1] == count_tiles(plan, 150, 400)
    assert np.abs(found.astype(int) - expected).max() <= 2
    monkeypatch.setattr(system.network, "forward", failing_above(system, 8))
    with pytest.raises(OutOfMemoryError):
        restored(system, pixels)


def test_a_plan_counts_the_memory_of_the_self_ensemble_and_follows_the_tile_that_is_asked_for(system) -> None:
    photo = Photo(pixels=np.zeros((1000, 1000, 3), np.uint8))
    options = FastRestoreOptions(memory_gb=0.5)
    plain = plan_of_passes(photo, photo, system=system, options=options)
    more = plan_of_passes(photo, photo, system=system, options=replace(options, self_ensemble=True))
    assert 0 < (more.tile or 1000) <= (plain.tile or 1000)
    fixed = plan_of_passes(photo, photo, system=system, options=replace(options, tile=128))
    assert fixed.tile == 128 and fixed.overlap == min(system.record.overlap, 128 // 4)
