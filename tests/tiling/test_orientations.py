"""The mean over the eight orientations of a square."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ldrestore.tiling.orientations import NUM_ORIENTATIONS, ORIENTATIONS, UPRIGHT, Orientation, mean_over_orientations
from ldrestore.tiling.picture_views import Window


def picture(height: int = 5, width: int = 8, channels: int = 3) -> Tensor:
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(0))


def turned(x: Tensor, orientation: Orientation) -> Tensor:
    x = x.rot90(orientation.turns, (2, 3))
    return x.flip(3) if orientation.is_flipped else x


def leaning(lq: Tensor, _orientation: Orientation) -> Tensor:
    """A filter that treats left and right, top and bottom differently, as a network does."""
    kernel = torch.tensor([[0.0, 0.1, 0.3], [0.0, 0.2, 0.4], [0.0, 0.0, 0.0]]).expand(lq.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(lq, (1, 1, 1, 1), mode="replicate"), kernel, groups=lq.shape[1])


def test_the_eight_orientations_are_eight_and_begin_upright() -> None:
    places = torch.arange(9.0).view(1, 1, 3, 3)
    found = {tuple(turned(places, orientation).flatten().tolist()) for orientation in ORIENTATIONS}
    assert len(found) == len(ORIENTATIONS) == NUM_ORIENTATIONS == 8
    assert ORIENTATIONS[0] == UPRIGHT and torch.equal(turned(places, UPRIGHT), places)


@pytest.mark.parametrize("size", [(5, 8), (1, 1), (1, 7), (6, 6)])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_changes_nothing_gives_the_picture_back(size: tuple[int, int], channels: int) -> None:
    lq = picture(*size, channels)
    torch.testing.assert_close(mean_over_orientations(lambda x, _: x, lq), lq, rtol=0, atol=1e-6)


def test_each_orientation_is_shown_once_turned_as_it_is_called() -> None:
    lq, shown = picture(), []

    def keep(x: Tensor, orientation: Orientation) -> Tensor:
        assert torch.equal(x, turned(lq, orientation)) and x.is_contiguous()
        shown.append(orientation)
        return x

    mean_over_orientations(keep, lq)
    assert shown == list(ORIENTATIONS)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_mean_turns_with_the_picture(orientation: Orientation) -> None:
    lq = picture()
    upright = mean_over_orientations(leaning, lq)
    assert (leaning(lq, UPRIGHT) - upright).abs().max() > 0.05
    of_turned = mean_over_orientations(leaning, turned(lq, orientation).contiguous())
    torch.testing.assert_close(of_turned, turned(upright, orientation), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3])
def test_a_network_that_enlarges_is_turned_back_at_its_own_size(scale: int) -> None:
    lq = picture()

    def enlarge(x: Tensor, _orientation: Orientation) -> Tensor:
        return x.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)

    torch.testing.assert_close(mean_over_orientations(enlarge, lq), enlarge(lq, UPRIGHT), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_results_of_half_precision_are_added_in_full(dtype: torch.dtype) -> None:
    lq = picture()
    mean = mean_over_orientations(lambda x, _: x.to(dtype), lq)
    assert mean.dtype == torch.float32
    torch.testing.assert_close(mean, lq.to(dtype).float(), rtol=0, atol=1e-6)


def test_a_network_that_writes_into_what_it_gets_spoils_no_input() -> None:
    lq = picture()
    before = lq.clone()
    mean_over_orientations(lambda x, _: x.mul_(0.5), lq)
    assert torch.equal(lq, before)


def test_no_two_orientations_show_a_corner_in_the_same_place_and_shape() -> None:
    corner = Window(top=0, left=0, height=2, width=3, picture_height=20, picture_width=30)
    found = [corner.turned(one.turns, is_flipped=one.is_flipped) for one in ORIENTATIONS]
    assert len(set(found)) == 8
    assert {(one.height, one.width) for one in found} == {(2, 3), (3, 2)}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_four_turns_and_two_flips_are_none(orientation: Orientation) -> None:
    window = Window(top=3, left=4, height=5, width=7, picture_height=20, picture_width=30)
    twice = window.turned(orientation.turns, is_flipped=orientation.is_flipped)
    for _ in range(3):
        twice = twice.turned(orientation.turns, is_flipped=orientation.is_flipped)
    assert twice == window
    assert window.turned(orientation.turns + 4, is_flipped=orientation.is_flipped) == window.turned(
        orientation.turns, is_flipped=orientation.is_flipped
    )
