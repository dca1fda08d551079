"""One look at a whole picture: what it sees, what it decides, and how its grid changes the light."""

import pytest
import torch
from torch.nn import functional as F

from ldrestore.regressors import picture_look
from ldrestore.regressors.bilateral_grid import sliced
from ldrestore.regressors.picture_look import PictureLook, Relighting

WHOLE = torch.tensor([[0.0, 0.0, 1.0, 1.0]])


def look(*, trained: bool = True, **sizes: int) -> PictureLook:
    """A small look; trained, none of its layers is zero."""
    torch.manual_seed(0)
    module = PictureLook(**{"num_hints": 4, "code_dim": 6, "num_levels": 3, **sizes})
    with torch.no_grad():
        for parameter in module.parameters() if trained else ():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module


def test_the_dark_channel_is_the_darkest_colour_around_each_place() -> None:
    reduced = torch.rand(2, 3, 7, 9)
    channels = picture_look._spread(reduced)
    assert channels.shape == (2, 7, 7, 9)
    assert torch.equal(channels[:, :3], reduced)
    torch.testing.assert_close(channels[:, 3:6], torch.pow(reduced + 0.001, 1 / 3))
    for row in range(7):
        for column in range(9):
            around = reduced[:, :, max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
            assert torch.equal(channels[:, 6, row, column], around.amin(dim=(1, 2, 3)))


def test_values_below_black_are_spread_as_black() -> None:
    below, black = (picture_look._spread(torch.full((1, 3, 5, 5), value))[:, 3:6] for value in (-0.5, 0.0))
    assert torch.equal(below, black)
    torch.testing.assert_close(black, torch.full((1, 3, 5, 5), 0.1))


@pytest.mark.parametrize("size", [(1, 1), (4, 8), (5, 11), (6, 3)])
def test_means_of_blocks_count_what_there_is_at_the_border(size: tuple[int, int]) -> None:
    features = torch.randn(2, 3, *size)
    found = picture_look._block_means(features)
    rows, columns = (-(-side // 4) for side in size)
    assert found.shape == (2, 3, rows, columns)
    for row in range(rows):
        for column in range(columns):
            block = features[..., 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            torch.testing.assert_close(found[..., row, column], block.mean(dim=(2, 3)), rtol=1e-4, atol=1e-5)


def test_moments_are_taken_in_full_precision_and_never_without_a_gradient() -> None:
    features = 100 + torch.randn(1, 2, 64, 64)
    mean, deviation = picture_look._moments(features.bfloat16())
    assert mean.dtype == deviation.dtype == torch.bfloat16
    torch.testing.assert_close(mean.float(), features.mean(dim=(2, 3)), rtol=1e-2, atol=0)
    torch.testing.assert_close(
        deviation.float(), features.bfloat16().float().std(dim=(2, 3), correction=0), rtol=1e-2, atol=0
    )
    even = torch.full((1, 2, 4, 4), 0.3, requires_grad=True)
    picture_look._moments(even)[1].sum().backward()
    assert even.grad is not None and even.grad.isfinite().all()


@pytest.mark.parametrize("num_levels", [1, 8])
def test_a_new_look_leaves_the_light_alone_by_a_square_root_guide(num_levels: int) -> None:
    module, lq = look(trained=False, num_levels=num_levels), torch.rand(2, 3, 16, 24)
    relighting = module(lq, torch.rand(2, 4))
    assert relighting.grid.shape == (2, num_levels, 12, 2, 3)
    assert not relighting.grid.any()
    torch.testing.assert_close(relighting.exponent, torch.full((2, 1), 0.5))
    torch.testing.assert_close(module.luminance.softmax(dim=0), torch.tensor([0.3, 0.59, 0.11]))
    assert torch.equal(module.relight(lq, relighting, WHOLE.expand(2, -1)), lq)


@pytest.mark.parametrize("bias", [-100.0, 0.0, 100.0])
def test_the_exponent_of_the_guide_stays_between_its_bounds(bias: float) -> None:
    module = look()
    with torch.no_grad():
        module.to_exponent.bias.fill_(bias)
    exponent = module(torch.rand(3, 3, 16, 16), torch.zeros(3, 4)).exponent
    assert exponent.min() >= 0.2 and exponent.max() <= 2.0
    if bias:
        torch.testing.assert_close(exponent, torch.full((3, 1), 2.0 if bias > 0 else 0.2))


def test_without_a_word_both_codes_are_one_and_hints_reach_their_own_picture_alone() -> None:
    module, reduced = look(), torch.rand(2, 3, 16, 16)
    silent = module(reduced, torch.zeros(2, 4))
    assert torch.equal(silent.code, silent.plain_code)
    hinted = module(reduced, torch.tensor([[0.0] * 4, [1.0, 0.0, 1.0, 0.0]]))
    torch.testing.assert_close(hinted.grid[0], silent.grid[0])
    torch.testing.assert_close(hinted.plain_code, silent.plain_code)
    assert (hinted.code[1] - silent.code[1]).abs().max() > 1e-3
    assert (hinted.grid[1] - silent.grid[1]).abs().max() > 1e-5


def test_light_is_changed_by_the_guide_of_two_by_two_pixels() -> None:
    torch.manual_seed(1)
    module, lq = look(), torch.rand(1, 3, 6, 8)
    lq[..., :2, :2], lq[..., 2:4, :2] = 0.0, 1.0
    relighting = Relighting(torch.randn(1, 3, 12, 2, 2), torch.tensor([[0.7]]), torch.empty(0), torch.empty(0))
    weights = (module.luminance.exp() / module.luminance.exp().sum()).detach()
    guide = torch.empty(1, 1, 3, 4)
    for row in range(3):
        for column in range(4):
            block = lq[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean(dim=(1, 2))
            brightness = float((weights * block).sum())
            guide[0, 0, row, column] = min((min(max(brightness, 0.0), 1.0) + 0.001) ** 0.7, 1.0)
    coefficients = F.interpolate(sliced(relighting.grid, guide, WHOLE), scale_factor=2, mode="bilinear")[0]
    expected = lq.clone()
    for channel in range(3):
        matrix_row = coefficients[4 * channel : 4 * channel + 4]
        expected[0, channel] += (matrix_row[:3] * lq[0]).sum(dim=0) + matrix_row[3]
    torch.testing.assert_close(module.relight(lq, relighting, WHOLE), expected, rtol=1e-4, atol=1e-5)


def test_each_picture_is_looked_at_by_itself() -> None:
    module, reduced, hints = look(), torch.rand(3, 3, 17, 22), torch.rand(3, 4)
    together = module(reduced, hints)
    for index in range(3):
        alone = module(reduced[index : index + 1], hints[index : index + 1])
        for whole, part in zip(together, alone, strict=True):
            torch.testing.assert_close(whole[index : index + 1], part, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (16, 16)])
def test_pictures_of_any_size_give_a_grid_and_gradients_reach_every_weight(size: tuple[int, int]) -> None:
    module, lq = look(), torch.rand(1, 3, *size)
    relighting = module(lq, torch.rand(1, 4))
    rows, columns = (-(-side // 8) for side in size)
    assert relighting.grid.shape == (1, 3, 12, rows, columns)
    relit = module.relight(torch.rand(1, 3, 8, 8), relighting, WHOLE)
    (relit.square().sum() + relighting.plain_code.square().sum()).backward()
    without = [
        name for name, value in module.named_parameters() if value.grad is None or not value.grad.isfinite().all()
    ]
    assert without == []


def test_the_size_is_that_of_its_parts() -> None:
    def parameters(**sizes: int) -> int:
        return sum(parameter.numel() for parameter in look(trained=False, **sizes).parameters())

    assert parameters(num_levels=4) - parameters(num_levels=3) == 12 * (128 + 1)
    assert parameters(num_hints=5) - parameters(num_hints=4) == 2 * 6
