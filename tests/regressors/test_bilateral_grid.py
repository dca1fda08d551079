import pytest
import torch

from ldrestore.regressors.bilateral_grid import places, sliced, transformed

WHOLE = torch.tensor([[0.0, 0.0, 1.0, 1.0]])


def test_places_are_the_centres_of_the_pixels_in_the_whole_picture():
    at = places(torch.tensor([[0.5, 0.0, 1.0, 0.5]]), 2, 2)  # the lower left quarter
    torch.testing.assert_close(at[0, :, 0, 1], torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(at[0, 0, :, 0], torch.tensor([-0.75, -0.25]))


def test_a_part_is_sliced_as_it_is_in_the_whole():
    grid, guide = torch.randn(1, 4, 12, 5, 6), torch.rand(1, 1, 12, 16)
    whole = sliced(grid, guide, WHOLE)
    window = torch.tensor([[4 / 12, 8 / 16, 1.0, 14 / 16]])
    part = sliced(grid, guide[..., 4:, 8:14], window)
    torch.testing.assert_close(part, whole[..., 4:, 8:14], rtol=1e-4, atol=1e-5)


def test_slicing_is_linear_in_brightness_between_the_levels():
    grid = torch.zeros(1, 3, 12, 1, 1)
    grid[0, 1] = 2.0
    guide = torch.tensor([0.0, 0.25, 0.5, 1.0]).view(1, 1, 1, 4)
    torch.testing.assert_close(sliced(grid, guide, WHOLE)[0, 0, 0], torch.tensor([0.0, 1.0, 2.0, 0.0]))


def test_a_transform_of_zeros_changes_nothing():
    lq = torch.rand(2, 3, 4, 6)
    assert torch.equal(transformed(lq, torch.zeros(2, 12, 4, 6)), lq)


def test_a_transform_is_a_matrix_and_an_offset():
    matrix, offset, lq = torch.randn(3, 3), torch.randn(3), torch.rand(1, 3, 2, 2)
    coefficients = torch.cat([matrix, offset[:, None]], dim=1).reshape(1, 12, 1, 1).expand(-1, -1, 2, 2)
    expected = lq + torch.einsum("ij,bjhw->bihw", matrix, lq) + offset[:, None, None]
    torch.testing.assert_close(transformed(lq, coefficients), expected)


@pytest.mark.parametrize("size", [(1, 1), (3, 8)])
def test_gradients_reach_grid_and_guide(size):
    grid, guide = torch.randn(1, 3, 12, 2, 2, requires_grad=True), torch.full((1, 1, *size), 0.3, requires_grad=True)
    sliced(grid, guide, WHOLE).square().sum().backward()
    assert grid.grad.abs().sum() > 0 and guide.grad.abs().min() > 0
