import pytest
import torch

from ldrestore.errors import InputError, ShapeError
from ldrestore.tiling.tensor_tiles import blend_tiles, fading_weights


@pytest.mark.parametrize("scale", [1, 4])
@pytest.mark.parametrize(
    ("size", "tile", "overlap"), [(5, 8, 2), (8, 8, 2), (9, 8, 2), (15, 8, 4), (40, 8, 3), (20, 8, 0)]
)
def test_weights_sum_to_one_and_fade(size, tile, overlap, scale):
    total = torch.zeros(size * scale)
    for start, weights in fading_weights(size, tile, overlap=overlap, scale=scale):
        assert weights.min() > 0
        total[start * scale : start * scale + len(weights)] += weights
    torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize("size", [(3, 5), (8, 30), (19, 8), (21, 26)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tiles_of_a_map_are_the_map(size, dtype):
    cells = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)).to(dtype)
    enlarged = cells.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    def compute(rows, columns):
        return cells[..., rows, columns].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    blended = blend_tiles(compute, size=size, tile=8, overlap=2, scale=2)
    assert blended.dtype == dtype
    torch.testing.assert_close(blended, enlarged, rtol=1e-6, atol=1e-6)


def test_neighbours_fade_linearly():
    drifts = iter((0.0, 1.0))
    blended = blend_tiles(lambda rows, columns: torch.full((1, 1, 2, 8), next(drifts)), size=(2, 12), tile=8, overlap=4)
    expected = torch.tensor([0.0] * 4 + [0.125, 0.375, 0.625, 0.875] + [1.0] * 4)
    assert torch.equal(blended, expected.expand(1, 1, 2, 12))


def test_wrong_tiles_are_refused():
    with pytest.raises(InputError, match=r"\[0, tile\), got 8 and tiles of 8"):
        blend_tiles(lambda rows, columns: torch.zeros(1, 1, 8, 8), size=(8, 8), tile=8, overlap=8)
    with pytest.raises(ShapeError, match="8x8 cells came back as"):
        blend_tiles(lambda rows, columns: torch.zeros(1, 1, 8, 7), size=(8, 8), tile=8, overlap=2)
