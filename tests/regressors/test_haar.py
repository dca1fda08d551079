"""The Haar transform is orthonormal and is the sums that its docstring names."""

import pytest
import torch

from ldrestore.errors import ShapeError
from ldrestore.regressors.haar import haar_transform


def inverse(bands):
    """Each pixel of a block is the signed half sum of the four sub-bands."""
    low, low_high, high_low, high = bands.unbind(1)
    batch, channels, height, width = low.shape
    image = torch.empty(batch, channels, 2 * height, 2 * width)
    image[..., 0::2, 0::2] = (low + low_high + high_low + high) / 2
    image[..., 0::2, 1::2] = (low + low_high - high_low - high) / 2
    image[..., 1::2, 0::2] = (low - low_high + high_low - high) / 2
    image[..., 1::2, 1::2] = (low - low_high - high_low + high) / 2
    return image


def test_the_picture_comes_back_and_its_energy_stays():
    image = torch.rand(2, 3, 10, 6)
    bands = haar_transform(image)
    assert bands.shape == (2, 4, 3, 5, 3)
    torch.testing.assert_close(inverse(bands), image)
    torch.testing.assert_close(bands.square().sum(), image.square().sum())


def test_sub_bands_are_the_convolutions_with_the_four_haar_filters():
    image, low, high = torch.rand(2, 3, 8, 4), torch.tensor([0.5, 0.5]), torch.tensor([0.5, -0.5])
    filters = torch.stack([low.outer(low), high.outer(low), low.outer(high), high.outer(high)])[:, None] * 2
    for channel in range(3):
        expected = torch.nn.functional.conv2d(image[:, channel : channel + 1], filters, stride=2)
        torch.testing.assert_close(haar_transform(image)[:, :, channel], expected)


def test_stripes_lie_in_the_band_of_their_direction():
    across = torch.tensor([1.0, 0.0] * 4).expand(1, 1, 8, 8)  # changes along a row
    low, low_high, high_low, high = haar_transform(across).unbind(1)
    assert low.abs().min() > 0 and high_low.abs().min() > 0
    assert not low_high.any() and not high.any()


def test_odd_sides_are_refused():
    with pytest.raises(ShapeError, match=r"even H and W, got \(1, 3, 5, 4\)"):
        haar_transform(torch.rand(1, 3, 5, 4))
