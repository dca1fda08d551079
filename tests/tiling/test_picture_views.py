import numpy as np
import pytest
import torch

from ldrestore.tiling.orientations import ORIENTATIONS
from ldrestore.tiling.picture_views import (
    CROP_SIDE,
    MAX_CROPS,
    REDUCED_SIDE,
    VIEW_LADDER,
    Window,
    reduced_copy,
    views_of,
    whole_window,
)


def picture(height, width, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def turned(x, orientation):
    x = x.rot90(orientation.turns, (-2, -1))
    return x.flip(-1) if orientation.is_flipped else x


@pytest.mark.parametrize("size", [(1, 1), (40, 70), (512, 512), (200, 1300)])
def test_a_small_picture_is_shown_whole(size):
    pixels = picture(*size)
    views = views_of(pixels)
    assert views.is_whole and views.layout == (1, 1)
    assert torch.equal(views.crops[0], torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(255)))
    assert max(views.reduced.shape) == min(REDUCED_SIDE, max(3, *size))


@pytest.mark.parametrize("size", [(800, 900), (769, 768), (100, 6000), (1200, 3000), (4000, 300)])
@pytest.mark.parametrize("side", VIEW_LADDER)
def test_a_large_one_is_shown_in_crops_from_border_to_border(size, side):
    pixels = picture(*size)
    views, crop = views_of(pixels, side=side, multiple=16), CROP_SIDE
    assert not views.is_whole
    rows, columns = views.layout
    assert len(views.crops) == rows * columns
    assert views.crops.shape[-2:] == (min(crop, size[0]), min(crop, size[1]))
    assert views.crops[:, 0].numel() <= side**2 and len(views.crops) <= MAX_CROPS
    if rows > 1 and columns > 1:
        first, last = pixels[:crop, :crop], views.crops[-1].permute(1, 2, 0).mul(255).round().byte().numpy()
        assert np.array_equal(views.crops[0].permute(1, 2, 0).mul(255).round().byte().numpy(), first)
        top, left = (side // 16 * 16 for side in (size[0] - crop, size[1] - crop))
        assert np.array_equal(last, pixels[top : top + crop, left : left + crop])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_reduced_copy_is_a_mean_over_areas(dtype):
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    pixels = (np.random.default_rng(0).random((300, 512, 1)) * white).astype(dtype)
    reduced = views_of(pixels).reduced
    assert reduced.shape == (1, 3, 75, 128)
    blocks = pixels.astype(np.float64).reshape(75, 4, 128, 4).mean(axis=(1, 3)) / white
    np.testing.assert_allclose(reduced[0, 1].numpy(), blocks, atol=1e-6)


@pytest.mark.parametrize("size", [(601, 1023), (300, 129), (128, 100), (3, 2000)])
def test_the_copy_of_a_tensor_is_that_of_the_picture(size):
    pixels = picture(*size)
    lq = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(255))[None]
    torch.testing.assert_close(views_of(pixels).reduced, reduced_copy(lq))


def test_the_reduced_copy_keeps_the_shape_and_the_mean():
    whole = torch.rand(1, 3, 256, 512)
    reduced = reduced_copy(whole)
    assert reduced.shape == (1, 3, 64, 128)
    torch.testing.assert_close(reduced.mean(), whole.mean())
    assert reduced_copy(reduced) is reduced


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_windows_and_views_turn_with_the_picture(orientation):
    pixels = picture(90, 130)
    whole = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
    window = Window(top=20, left=30, height=40, width=64, picture_height=90, picture_width=130)
    place = window.turned(orientation.turns, is_flipped=orientation.is_flipped)
    there = turned(whole, orientation)
    assert (place.picture_height, place.picture_width) == there.shape[1:]
    found = there[:, place.top : place.top + place.height, place.left : place.left + place.width]
    assert torch.equal(found, turned(whole[:, 20:60, 30:94], orientation))
    views = views_of(picture(300, 1300), side=256).turned(orientation.turns, is_flipped=orientation.is_flipped)
    upright = views_of(picture(300, 1300), side=256)
    assert torch.equal(views.reduced, turned(upright.reduced, orientation))
    grid = torch.arange(len(upright.crops)).unflatten(0, upright.layout)
    order = turned(grid, orientation)
    assert views.layout == tuple(order.shape)
    assert torch.equal(views.crops, turned(upright.crops, orientation)[order.flatten()])
    large = turned(torch.from_numpy(picture(300, 1300).transpose(2, 0, 1).astype(np.float32) / 255), orientation)
    for crop, window in zip(views.crops, views.windows, strict=True):
        torch.testing.assert_close(crop, large[:, window.rows, window.columns])


def test_windows_tell_their_shares():
    assert whole_window(4, 2).shares == (0, 0, 1, 1)
    window = Window(top=2, left=0, height=2, width=2, picture_height=4, picture_width=2)
    assert window.shares == (0.5, 0, 1, 1) and window.padded(3, 2).shares == (0.5, 0, 1.25, 1)
