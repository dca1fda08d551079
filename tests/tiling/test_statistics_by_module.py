"""Statistics belong to a module and a call of it; what was measured elsewhere is never used in their place."""

from contextlib import AbstractContextManager

import pytest
import torch
from torch import Tensor, nn

from ldrestore.errors import InputError, StatisticsError
from ldrestore.structures import TilePlan
from ldrestore.tiling.blending import tile_places
from ldrestore.tiling.cut_maps import CutMap, Place
from ldrestore.tiling.planning import fixed_plan
from ldrestore.tiling.shared_statistics import (
    MapStatistic,
    channel_means,
    group_moments,
    measured_statistics,
    shared_statistics,
)
from ldrestore.tiling.tally import Tally


def picture(height: int = 6, width: int = 8, channels: int = 4, seed: int = 0) -> Tensor:
    ramp = torch.linspace(0, 3, width)
    return ramp + torch.randn(1, channels, height, width, generator=torch.Generator().manual_seed(seed))


def norms(*counts: int) -> nn.Sequential:
    """Normalisations one behind the other, each of so many groups."""
    return nn.Sequential(*(nn.GroupNorm(count, 4) for count in counts))


@torch.no_grad()
def test_networks_of_the_same_layers_keep_their_statistics_apart() -> None:
    left, right = norms(2), norms(2)
    x, y = picture(), 5 - 2 * picture(seed=1)
    with measured_statistics({"left": left, "right": right}) as statistics:
        whole = left(x), right(y)
    assert set(statistics) == {"left.0", "right.0"}
    with shared_statistics({"left": left, "right": right}, statistics):
        torch.testing.assert_close(right(y[..., 2:5]), whole[1][..., 2:5])  # the other one first
        torch.testing.assert_close(left(x[..., 2:5]), whole[0][..., 2:5])


@torch.no_grad()
def test_another_root_or_a_deeper_network_finds_nothing() -> None:
    x = picture()
    with measured_statistics({"net": norms(2)}) as statistics:
        norms(2)  # built within, and no part of it
    assert statistics == {}
    network = norms(2)
    with measured_statistics({"net": network}) as statistics:
        network(x)
    for networks, missing in (({"other": network}, r"other\.0"), ({"net": (deep := norms(2, 4))}, r"net\.1")):
        with (
            pytest.raises(StatisticsError, match=rf"whole picture's {missing}, which was not measured.*tile='off'"),
            shared_statistics(networks, statistics),
        ):
            next(iter(networks.values()))(x)
    assert torch.equal(deep(x), norms(2, 4)(x))  # no hook has stayed


@torch.no_grad()
@pytest.mark.parametrize("calls", [1, 3])
def test_as_many_calls_of_a_module_as_were_measured_are_right_and_others_an_error(calls: int) -> None:
    network, x = norms(2), picture()
    with measured_statistics({"": network}) as statistics:
        for factor in (1, 2):
            network(factor * x + factor)
    assert set(statistics) == {"0", "0#2"}

    def share() -> None:
        with shared_statistics({"": network}, statistics):
            for _ in range(calls):
                network(x)

    with pytest.raises(StatisticsError, match="0#3, which was not measured" if calls == 3 else "made no use of .* 0:"):
        share()


@torch.no_grad()
def test_after_an_error_of_the_network_itself_nothing_stays_and_the_error_is_its_own() -> None:
    network, x = nn.Sequential(nn.GroupNorm(2, 4), MapStatistic(channel_means)), picture()
    before = network(x)

    def fail(context: AbstractContextManager[object]) -> None:
        with context:
            network(x)
            raise RuntimeError("out of paper")

    with measured_statistics({"": network}) as statistics:
        network(x)
    for context in (measured_statistics({"": network}), shared_statistics({"": network}, statistics)):
        with pytest.raises(RuntimeError, match="out of paper"):
            fail(context)
    assert torch.equal(network(x), before)
    assert network[1].passes == {}


@torch.no_grad()
def test_every_part_of_a_batch_of_tiles_has_the_statistics_of_the_whole() -> None:
    network, x = nn.Sequential(nn.GroupNorm(2, 4), MapStatistic(channel_means)), picture()
    with measured_statistics({"": network}) as statistics:
        whole = network(x)
    tiles = torch.cat(x.split(4, dim=3))
    with shared_statistics({"": network}, statistics):
        found = network(tiles)
    assert found.shape == (2, 4, 1, 1)
    torch.testing.assert_close(found, whole.expand(2, -1, -1, -1))


@torch.no_grad()
@pytest.mark.parametrize("tile", [8, 16, 24])
@pytest.mark.parametrize("size", [(40, 40), (17, 60), (33, 25)])
def test_tiles_of_any_cut_tell_the_moments_of_the_whole(tile: int, size: tuple[int, int]) -> None:
    """Of the first layer exactly; each cell counts once, however the tiles overlap."""
    network, x = norms(2), picture(*size)
    with measured_statistics({"": network}) as of_crop:
        network(x[..., :8, :8])
    tally = Tally()
    for (rows, columns), core in tile_places(size=size, tile=tile, overlap=tile // 4):
        counted = tally.take(core, size=(rows.stop - rows.start, columns.stop - columns.start))
        with shared_statistics({"": network}, of_crop, tally=counted):
            network(x[..., rows, columns])
    assert tally.total == size[0] * size[1]
    ratios, shifts = tally.differences(of_crop).values["0"]
    variances, means = group_moments(x, 2)
    torch.testing.assert_close(of_crop["0"][1] + shifts, means, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(of_crop["0"][0] * ratios, variances, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_differences_of_a_whole_that_is_like_its_crop_are_none() -> None:
    network, x = norms(2), picture(8, 8).repeat(1, 1, 3, 3)
    with measured_statistics({"": network}) as of_crop:
        network(x[..., :8, :8])
    tally = Tally()
    with shared_statistics({"": network}, of_crop, tally=tally.take((slice(0, 24), slice(0, 24)), size=(24, 24))):
        network(x)
    differences = tally.differences(of_crop)
    assert differences.largest < 1e-4
    torch.testing.assert_close(differences.values["0"][0], torch.ones(1, 2), rtol=0, atol=1e-4)


CUT = {"height": 40, "width": 48, "look": 16, "crop": 8, "multiple": 4, "overlap": 4}


@pytest.mark.parametrize(("tile", "is_whole"), [(0, True), (48, True), (64, True), (40, False), (16, False)])
def test_a_map_of_one_tile_is_computed_once_and_measured_never(tile: int, is_whole: bool) -> None:
    cut, requests = CutMap(tile=tile, **CUT), []

    def compute(places: list[Place]) -> Tensor:
        requests.append(places)
        return torch.cat(
            [torch.ones(1, 1, rows.stop - rows.start, columns.stop - columns.start) for rows, columns in places]
        )

    assert cut.is_whole == is_whole
    assert torch.equal(cut.compute(compute, {}), torch.ones(1, 1, 40, 48))
    assert (requests == [[(slice(0, 40), slice(0, 48))]]) == is_whole


def test_crops_are_asked_for_together_and_tiles_one_by_one() -> None:
    cut, requests = CutMap(tile=16, **CUT), []
    cells = torch.arange(40 * 48.0).view(1, 1, 40, 48)

    def compute(places: list[Place]) -> Tensor:
        requests.append(places)
        return torch.cat([cells[..., rows, columns] for rows, columns in places])

    assert torch.equal(cut.compute(compute, {}), cells)
    assert len(requests[0]) > 1 and all(len(places) == 1 for places in requests[1:])
    for rows, columns in (place for places in requests for place in places):
        assert rows.start % 4 == columns.start % 4 == 0
        assert rows.stop <= 40 and columns.stop <= 48


def test_a_plan_in_pixels_becomes_one_in_cells_and_cuts_none() -> None:
    cut = CutMap.of_plan(fixed_plan(256), height=100, width=90, factor=8, multiple=2)
    assert (cut.tile, cut.overlap, cut.multiple, cut.is_whole) == (32, 8, 2, False)
    odd = CutMap.of_plan(TilePlan(tile=64, overlap=10, memory_bytes=None), height=100, width=90, factor=8)
    assert odd.overlap == 2  # no less than was asked for
    assert CutMap.of_plan(fixed_plan(0), height=100, width=90, factor=8).is_whole
    with pytest.raises(InputError, match="tiles must be multiples of 48 pixels for this autoencoder, got 64"):
        CutMap.of_plan(fixed_plan(64), height=9, width=9, factor=48)
