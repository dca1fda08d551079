import pytest
import torch

from ldrestore.errors import ShapeError
from ldrestore.images.color import adain_color_fix, wavelet_color_fix


def test_wavelet_fix_takes_a_colour_cast_away_and_keeps_details():
    generator = torch.Generator().manual_seed(0)
    details = 0.1 * torch.randn(1, 3, 64, 64, generator=generator)
    lq = torch.full((1, 3, 64, 64), 0.5)
    fixed = wavelet_color_fix(lq + 0.2 + details, lq)
    torch.testing.assert_close(fixed.mean(), lq.mean(), atol=5e-3, rtol=0)
    assert torch.corrcoef(torch.stack([fixed.flatten(), details.flatten()]))[0, 1] > 0.99


def test_wavelet_fix_matches_a_decomposition_written_out():
    restored, lq = torch.rand(1, 3, 40, 40), torch.rand(1, 3, 40, 40)

    def low_pass(x, levels):
        for level in range(levels):
            step = 2**level
            for axis in (2, 3):
                left = x.index_select(axis, (torch.arange(40) - step).clamp(0, 39))
                right = x.index_select(axis, (torch.arange(40) + step).clamp(0, 39))
                x = left / 4 + x / 2 + right / 4
        return x

    expected = (restored - low_pass(restored, 3)) + low_pass(lq, 3)
    torch.testing.assert_close(wavelet_color_fix(restored, lq, levels=3), expected, atol=1e-5, rtol=1e-5)


def test_adain_gives_each_channel_the_inputs_mean_and_deviation():
    restored, lq = torch.rand(2, 3, 16, 16) * 0.3, torch.rand(2, 3, 16, 16)
    fixed = adain_color_fix(restored, lq)
    axes = (2, 3)
    torch.testing.assert_close(fixed.mean(axes), lq.mean(axes), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(fixed.std(axes, correction=0), lq.std(axes, correction=0), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("fix", [wavelet_color_fix, adain_color_fix])
def test_pictures_of_different_sizes_are_refused(fix):
    with pytest.raises(ShapeError, match="same shape"):
        fix(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 9))
