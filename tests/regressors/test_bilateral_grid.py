import itertools
import math

import pytest
import torch
from torch import Tensor

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


def literal_slice(grid: Tensor, guide: float, *, row: float, column: float) -> Tensor:
    """The transform at a place of the whole picture, shares of its height and width, and a brightness: trilinear.

    Args:
        grid: (K, 12, h, w).
        guide: In [0, 1].
        row: In [0, 1] from the upper border.
        column: In [0, 1] from the left one.
    """
    num_levels, _, height, width = grid.shape
    at = (guide * (num_levels - 1), row * height - 0.5, column * width - 0.5)  # centres of cells lie at halves
    limits = (num_levels - 1, height - 1, width - 1)
    low = [math.floor(coordinate) for coordinate in at]
    found = torch.zeros(12)
    for corner in itertools.product((0, 1), repeat=3):
        share = math.prod(1 - abs(a - (b + c)) for a, b, c in zip(at, low, corner, strict=True))
        level, y, x = (min(max(b + c, 0), limit) for b, c, limit in zip(low, corner, limits, strict=True))
        found += share * grid[level, :, y, x]
    return found


@pytest.mark.parametrize(("num_levels", "cells"), [(1, (1, 1)), (2, (1, 3)), (5, (4, 2))])
@pytest.mark.parametrize("window", [(0.0, 0.0, 1.0, 1.0), (0.25, 0.5, 0.75, 0.6)])
def test_slicing_is_trilinear_between_the_centres_of_the_cells(
    num_levels: int, cells: tuple[int, int], window: tuple[float, float, float, float]
) -> None:
    torch.manual_seed(0)
    grid, guide = torch.randn(2, num_levels, 12, *cells), torch.rand(2, 1, 4, 5)
    guide[:, :, 0, 0], guide[:, :, 0, 1] = 0, 1
    found = sliced(grid, guide, torch.tensor([window, (0.0, 0.0, 1.0, 1.0)]))
    for picture, (top, left, bottom, right) in enumerate((window, (0.0, 0.0, 1.0, 1.0))):
        for row in range(4):
            for column in range(5):
                expected = literal_slice(
                    grid[picture],
                    float(guide[picture, 0, row, column]),
                    row=top + (bottom - top) * (row + 0.5) / 4,
                    column=left + (right - left) * (column + 0.5) / 5,
                )
                torch.testing.assert_close(found[picture, :, row, column], expected, rtol=1e-4, atol=1e-5)


def test_an_even_grid_gives_its_one_transform_everywhere() -> None:
    transform = torch.randn(12)
    grid = transform.view(1, 1, 12, 1, 1).expand(1, 4, 12, 3, 5)
    found = sliced(grid, torch.rand(1, 1, 6, 7), WHOLE)
    torch.testing.assert_close(found, transform.view(1, 12, 1, 1).expand(1, 12, 6, 7), rtol=1e-4, atol=1e-5)


def test_tiles_of_a_picture_meet_without_a_seam() -> None:
    torch.manual_seed(0)
    grid, guide = torch.randn(1, 3, 12, 4, 4), torch.rand(1, 1, 12, 12)
    whole, joined = sliced(grid, guide, WHOLE), torch.empty(1, 12, 12, 12)
    for top, bottom in ((0, 5), (5, 12)):
        for left, right in ((0, 4), (4, 12)):
            part = (..., slice(top, bottom), slice(left, right))
            window = torch.tensor([[top / 12, left / 12, bottom / 12, right / 12]])
            joined[part] = sliced(grid, guide[part], window)
    torch.testing.assert_close(joined, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_levels", [1, 3])
def test_slicing_has_exact_gradients(num_levels: int) -> None:
    torch.manual_seed(0)
    grid = torch.randn(1, num_levels, 12, 2, 3, dtype=torch.float64, requires_grad=True)
    guide = (0.1 + 0.3 * torch.rand(1, 1, 2, 2, dtype=torch.float64)).requires_grad_()  # between levels, not upon one
    window = torch.tensor([[0.1, 0.2, 0.9, 0.7]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda g, at: sliced(g, at, window), (grid, guide))


def test_each_pixel_is_transformed_by_its_own_matrix() -> None:
    lq, coefficients = torch.rand(2, 3, 2, 3), torch.randn(2, 12, 2, 3)
    found = transformed(lq, coefficients)
    for picture in range(2):
        for row in range(2):
            for column in range(3):
                colour = lq[picture, :, row, column]
                numbers = coefficients[picture, :, row, column].reshape(3, 4)
                expected = [
                    colour[i] + sum(numbers[i, j] * colour[j] for j in range(3)) + numbers[i, 3] for i in range(3)
                ]
                torch.testing.assert_close(found[picture, :, row, column], torch.stack(expected))
