import threading

import pytest
import torch
from torch import nn

from ldrestore.blocks.naf import NAFBlock
from ldrestore.errors import StatisticsError
from ldrestore.tiling.shared_statistics import (
    MapStatistic,
    channel_means,
    measured_statistics,
    shared_statistics,
    side_by_side,
)
from ldrestore.tiling.tally import Tally


def pixelwise(num_channels=8):
    """A network in which only normalisation and pooling look beyond a pixel."""
    torch.manual_seed(0)
    block = NAFBlock(num_channels)
    block.conv2 = nn.Conv2d(16, 16, 1)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    return nn.Sequential(nn.GroupNorm(4, num_channels), nn.SiLU(), block, nn.GroupNorm(2, num_channels, eps=0.1))


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_a_part_with_the_statistics_of_the_whole_is_a_part_of_the_whole(dtype, tolerance):
    network = pixelwise().to(dtype)
    x = (torch.linspace(-3, 5, 20) + torch.randn(1, 8, 6, 20)).to(dtype)
    with measured_statistics({"": network}) as statistics:
        whole = network(x)
    assert len(statistics) == 3
    for _ in range(2):
        with shared_statistics({"": network}, statistics):
            part = network(x[..., :7])
        assert part.dtype == dtype
        torch.testing.assert_close(part, whole[..., :7], rtol=tolerance, atol=tolerance)
    assert (network(x[..., :7]) - whole[..., :7]).abs().max() > 0.5


@torch.no_grad()
def test_nothing_stays_behind():
    network, x = pixelwise(), torch.randn(1, 8, 6, 6)
    before = network(x)
    with measured_statistics({"": network}) as statistics:
        assert torch.equal(network(x), before)
    with shared_statistics({"": network}, statistics):
        network(x)
    assert torch.equal(network(x + 1), pixelwise()(x + 1))
    assert len(statistics) == 3


@torch.no_grad()
def test_tokens_are_normalised_too():
    network, tokens = nn.GroupNorm(2, 4, affine=False), torch.randn(1, 4, 30)
    with measured_statistics({"": network}) as statistics:
        whole = network(tokens)
    with shared_statistics({"": network}, statistics):
        torch.testing.assert_close(network(tokens[..., :5]), whole[..., :5])


@torch.no_grad()
def test_parts_are_measured_as_the_one_map_that_they_make():
    network, x = pixelwise(), torch.randn(1, 8, 6, 20)
    parts = torch.cat([part for row in x.split(3, dim=2) for part in row.split(5, dim=3)])  # 2 rows of 4
    assert torch.equal(side_by_side(parts, (2, 4)), x)
    with measured_statistics({"": network}) as of_whole:
        whole = network(x)
    with measured_statistics({"": network}, layout=(2, 4)) as of_parts:
        outputs = network(parts)
    assert of_parts.keys() == of_whole.keys()
    for name, value in of_whole.items():
        torch.testing.assert_close(of_parts[name], value)
    torch.testing.assert_close(side_by_side(outputs, (2, 4)), whole, rtol=1e-4, atol=1e-4)


class Routed(nn.Module):
    """Takes one of two ways, and one module twice."""

    def __init__(self):
        super().__init__()
        self.common, self.left, self.right = (MapStatistic(channel_means) for _ in range(3))

    def forward(self, x, is_left=True):
        chosen = self.left if is_left else self.right
        return self.common(x) + 10 * self.common(2 * x) + 100 * chosen(x)


def test_statistics_are_known_by_module_and_call():
    network, x = Routed(), torch.ones(1, 1, 2, 2)
    with measured_statistics({"net": network}) as statistics:
        whole = network(x)
    assert {name: value.item() for name, value in statistics.items()} == {
        "net.common": 1,
        "net.common#2": 2,
        "net.left": 1,
    }
    with shared_statistics({"net": network}, statistics):
        assert torch.equal(network(5 * x), whole)


def test_a_pass_that_takes_another_way_is_an_error():
    network, x = Routed(), torch.ones(1, 1, 2, 2)
    with measured_statistics({"": network}) as statistics:
        network(x)
    with (
        pytest.raises(StatisticsError, match="whole picture's right, which was not measured"),
        shared_statistics({"": network}, statistics),
    ):
        network(x, is_left=False)
    with (
        pytest.raises(StatisticsError, match="no use of the whole picture's common, left"),
        shared_statistics({"": network}, statistics),
    ):
        network.common(x)
    assert network.common(3 * x).item() == 3


def test_another_thread_measures_for_itself():
    network, x, values = nn.Sequential(MapStatistic(channel_means), nn.Flatten()), torch.ones(1, 1, 2, 2), []
    with measured_statistics({"": network}) as statistics:
        network(x)
    with shared_statistics({"": network}, statistics):
        thread = threading.Thread(target=lambda: values.append(network[0](7 * x).item()))
        thread.start()
        thread.join()
        network(7 * x)
    assert values == [7]


class SelfAttention(nn.Module):
    is_cross_attention = False

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.qkv = nn.Linear(4, 12)

    def forward(self, x):
        projected = self.qkv(x.flatten(2).mT)[:, None]  # (B, 1, L, 12)
        mixed = nn.functional.scaled_dot_product_attention(*projected.chunk(3, dim=-1))
        return x + mixed[:, 0].mT.reshape(x.shape)


@torch.no_grad()
def test_positions_of_a_part_attend_to_the_whole():
    network, x = nn.Sequential(SelfAttention(), SelfAttention()), 3 * torch.randn(1, 4, 6, 8)
    before = network(x)
    with measured_statistics({"": network}) as statistics:
        assert torch.equal(network(x), before)
    with shared_statistics({"": network}, statistics):
        torch.testing.assert_close(network(x[..., :3]), before[..., :3])
    assert not torch.allclose(network(x[..., :3]), before[..., :3], atol=1e-3)
    parts = torch.cat(x.split(4, dim=3))
    with measured_statistics({"": network}, layout=(1, 2)):
        torch.testing.assert_close(side_by_side(network(parts), (1, 2)), before)


@torch.no_grad()
def test_tiles_tell_what_crops_have_missed():
    """Statistics of a crop, with what the tiles add, are those of the whole: exactly so in the first layer."""
    network, x = pixelwise(), torch.cat([torch.randn(1, 8, 6, 16), 3 + 2 * torch.randn(1, 8, 6, 8)], dim=3)
    with measured_statistics({"": network}) as truth:
        network(x)
    with measured_statistics({"": network}) as of_crop:
        network(x[..., 10:18])
    tally = Tally()
    for left in (0, 8, 16):
        tile = slice(max(0, left - 2), min(24, left + 10))
        core = slice(left - tile.start, left - tile.start + 8)
        counted = tally.take((slice(0, 6), core), size=(6, tile.stop - tile.start))
        with shared_statistics({"": network}, of_crop, tally=counted):
            network(x[..., tile])
    with measured_statistics({"": network}, differences=tally.differences(of_crop).values) as corrected:
        network(x[..., 10:18])
    torch.testing.assert_close(corrected["0"], truth["0"], rtol=1e-4, atol=1e-4)
    for key, value in truth.items():
        assert (corrected[key] - value).abs().max() < 0.6 * (of_crop[key] - value).abs().max(), key
