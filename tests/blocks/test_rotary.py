import pytest
import torch

from ldrestore.blocks.rotary import grid_positions, rotary_angles, rotated


def test_a_pair_is_turned_by_its_position_times_its_frequency():
    positions = torch.tensor([[3.0, 5.0]])
    angles = rotary_angles(positions, (4, 2))
    torch.testing.assert_close(angles, torch.tensor([[3.0, 3.0 / 100.0, 5.0]]))
    tokens = torch.tensor([1.0, 0.0, 0.0, 1.0, 2.0, 0.0]).view(1, 1, 1, 6)
    cos, sin = angles[0].cos(), angles[0].sin()
    expected = torch.stack([cos[0], sin[0], -sin[1], cos[1], 2 * cos[2], 2 * sin[2]])
    torch.testing.assert_close(rotated(tokens, angles).flatten(), expected, rtol=1e-4, atol=1e-5)


def test_products_depend_on_the_distance_of_two_tokens_alone():
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 1, 1, 16).unbind(0)
    near, far = (
        [rotary_angles(torch.tensor([[0.0, row + shift, 4.0 + shift]]), (4, 6, 6)) for row in (1.0, 3.0)]
        for shift in (0.0, 40.0)
    )
    products = [(rotated(query, a) * rotated(key, b)).sum() for a, b in (near, far)]
    torch.testing.assert_close(products[0], products[1], rtol=1e-4, atol=1e-4)


def test_positions_go_row_by_row_and_can_be_scaled():
    positions = grid_positions(2, 3, first=1.0, scale=0.5)
    assert positions.tolist() == [[1, 0, 0], [1, 0, 0.5], [1, 0, 1], [1, 0.5, 0], [1, 0.5, 0.5], [1, 0.5, 1]]


def test_half_precision_is_turned_in_full():
    torch.manual_seed(0)
    tokens, angles = torch.randn(1, 4, 2, 8).half(), torch.rand(4, 4) * 100
    assert torch.equal(rotated(tokens, angles), rotated(tokens.float(), angles).half())


@pytest.mark.parametrize("axes_dims", [(8,), (4, 2, 2), (2, 2, 2, 2)])
def test_each_axis_turns_its_own_pairs_by_falling_frequencies(axes_dims: tuple[int, ...]) -> None:
    positions = torch.rand(5, len(axes_dims)) * 50
    angles = rotary_angles(positions, axes_dims)
    assert angles.shape == (5, 4) and angles.dtype == torch.float32
    for token in range(5):
        expected = [
            float(positions[token, axis]) / 10_000 ** (2 * pair / dim)
            for axis, dim in enumerate(axes_dims)
            for pair in range(dim // 2)
        ]
        torch.testing.assert_close(angles[token], torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_turning_keeps_lengths_adds_up_and_can_be_undone() -> None:
    torch.manual_seed(0)
    tokens, first, second = torch.randn(2, 3, 2, 8), torch.rand(3, 4) * 7, torch.rand(3, 4) * 7
    turned = rotated(tokens, first)
    torch.testing.assert_close(turned.norm(dim=-1), tokens.norm(dim=-1))
    torch.testing.assert_close(rotated(turned, second), rotated(tokens, first + second), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(rotated(turned, -first), tokens, rtol=1e-4, atol=1e-5)
    assert torch.equal(rotated(tokens, torch.zeros(3, 4)), tokens)


def test_a_larger_grid_brought_into_the_range_of_a_smaller_one_ends_where_that_does() -> None:
    small, large = grid_positions(4, 6, first=0.0), grid_positions(7, 11, first=0.0, scale=0.5)
    assert large[-1].tolist() == small[-1].tolist() == [0, 3, 5]
    assert grid_positions(1, 1, first=2.0).tolist() == [[2, 0, 0]]
