import pytest
import torch
from torch import nn

from ldrestore.blocks.naf import NAFBlock
from ldrestore.tiling.shared_statistics import PIECE, measured_statistics, shared_statistics, spread_cells


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
    with measured_statistics() as statistics:
        whole = network(x)
    assert len(statistics) == 3
    for _ in range(2):
        with shared_statistics(statistics):
            part = network(x[..., :7])
        assert part.dtype == dtype
        torch.testing.assert_close(part, whole[..., :7], rtol=tolerance, atol=tolerance)
    assert (network(x[..., :7]) - whole[..., :7]).abs().max() > 0.5


@torch.no_grad()
def test_nothing_stays_behind():
    network, x = pixelwise(), torch.randn(1, 8, 6, 6)
    before = network(x)
    with measured_statistics() as statistics:
        assert torch.equal(network(x), before)
    with shared_statistics(statistics):
        network(x)
    assert torch.equal(network(x + 1), pixelwise()(x + 1))
    assert len(statistics) == 3


@torch.no_grad()
def test_tokens_are_normalised_too():
    norm, tokens = nn.GroupNorm(2, 4, affine=False), torch.randn(1, 4, 30)
    with measured_statistics() as statistics:
        whole = norm(tokens)
    with shared_statistics(statistics):
        torch.testing.assert_close(norm(tokens[..., :5]), whole[..., :5])


@pytest.mark.parametrize(("size", "length"), [(5, 8), (8, 8), (9, 8), (100, 16), (101, 18), (40, 4)])
def test_a_collage_is_spread_over_the_axis(size, length):
    cells = spread_cells(size, length)
    assert len(cells) == (size if size <= length else length // PIECE * PIECE)
    assert cells.min() == 0 and cells.max() < size
    assert size > length or torch.equal(cells, torch.arange(size))
    if length > PIECE:
        assert cells.max() == size - 1
