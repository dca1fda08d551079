import numpy as np
import pytest
import torch
from PIL import Image

from ldrestore.guides.clip_views import native_views, squashed_view


def test_the_squash_is_that_of_pil():
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (90, 130, 3), dtype=torch.uint8)
    resized = Image.fromarray(pixels.numpy()).resize((32, 32), Image.Resampling.BICUBIC)
    expected = torch.from_numpy(np.asarray(resized).copy()).permute(2, 0, 1) / 255
    found = squashed_view(pixels.permute(2, 0, 1)[None] / 255, 32)
    assert (found[0] - expected).abs().max() <= 1.5 / 255


def test_a_picture_of_the_towers_size_is_left_as_it_is():
    lq = torch.rand(2, 3, 8, 8)
    assert squashed_view(lq, 8) is lq
    assert torch.equal(native_views(lq, 8, crop_size=8), lq[:, None])


@pytest.mark.parametrize(
    ("height", "width", "corners"),
    [
        (16, 16, []),  # one crop, which is the whole
        (10, 12, [(0, 0), (0, 2)]),  # crops are no larger than the shorter side
        (16, 64, [(0, 8), (0, 40)]),
        (40, 64, [(2, 8), (2, 40), (22, 8), (22, 40)]),
        (17, 16, [(0, 0), (1, 0)]),
    ],
)
def test_crops_lie_in_the_middle_of_each_quarter_at_the_pictures_scale(height, width, corners):
    lq, side = torch.rand(2, 3, height, width), min(16, height, width)
    views = native_views(lq, side, crop_size=16)
    assert views.shape == (2, 1 + len(corners), 3, side, side)
    assert torch.equal(views[:, 0], squashed_view(lq, side))
    for index, (top, left) in enumerate(corners, start=1):
        assert torch.equal(views[:, index], lq[..., top : top + side, left : left + side])


def test_crops_keep_the_noise_that_the_squash_removes():
    noisy = (0.5 + 0.1 * torch.randn(1, 3, 512, 512, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    whole, *crops = native_views(noisy, 32, crop_size=64)[0]
    assert len(crops) == 4 and all(crop.std() > 3 * whole.std() for crop in crops)


def test_views_are_wide_and_within_range():
    lq = torch.rand(1, 3, 20, 30).round().half()
    views = native_views(lq, 12, crop_size=16)
    assert views.dtype == torch.float32 and views.min() >= 0 and views.max() <= 1
