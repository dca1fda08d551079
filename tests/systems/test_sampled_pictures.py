"""A picture to tensors and back, whatever its depth, channels and size, and the tiles of sampled pictures."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ldrestore.images.bit_depth import BAND_ROWS
from ldrestore.images.photo import Photo
from ldrestore.options import SamplingOptions
from ldrestore.systems.sampled_pictures import (
    bytes_per_pixel,
    lq_of,
    plan_of_picture,
    to_pixels,
    unet_bytes_per_pixel,
)
from tests.adapters.conftest import tiny_unet
from tests.tiny_autoencoder import make_drm, make_vae
from tests.tiny_xl_pipeline import tiny_daem

CPU = torch.device("cpu")
HIGHEST = {np.uint8: 255, np.uint16: 65535, np.float32: 1}


def pixels_of(dtype: type, shape: tuple[int, int, int] = (7, 10, 3)) -> np.ndarray:
    values = np.random.default_rng(0).random(shape, dtype=np.float32)
    return values if dtype is np.float32 else (values * HIGHEST[dtype]).astype(dtype)


def as_tensor(pixels: np.ndarray) -> Tensor:
    """(1, 3, H, W) in [0, 1], in double precision."""
    wide = np.repeat(pixels, 3 // pixels.shape[2], axis=2).astype(np.float64) / HIGHEST[pixels.dtype.type]
    return torch.from_numpy(wide).permute(2, 0, 1)[None]


@pytest.mark.parametrize("dtype", HIGHEST)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_goes_in_as_shares_of_white_in_three_channels(dtype, channels) -> None:
    pixels = pixels_of(dtype, (7, 10, channels))
    lq = lq_of(pixels, multiple=1, device=CPU)
    assert lq.shape == (1, 3, 7, 10) and lq.dtype == torch.float32
    torch.testing.assert_close(lq.double(), as_tensor(pixels), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("height", "width", "multiple"), [(7, 10, 4), (8, 12, 4), (1, 1, 8), (3, 17, 8)])
def test_sides_grow_to_a_multiple_by_reflection_at_the_end(height, width, multiple) -> None:
    pixels = pixels_of(np.uint8, (height, width, 3))
    lq = lq_of(pixels, multiple=multiple, device=CPU)
    expected = (-(-height // multiple) * multiple, -(-width // multiple) * multiple)
    assert lq.shape[-2:] == expected
    assert torch.equal(lq[..., :height, :width], lq_of(pixels, multiple=1, device=CPU))
    if expected[1] > width > 2:
        torch.testing.assert_close(lq[..., :height, width], lq[..., :height, width - 2])
    assert set(lq.unique().tolist()) <= set((pixels.astype(np.float32) / 255).ravel().tolist())


@pytest.mark.parametrize("dtype", HIGHEST)
@pytest.mark.parametrize("channels", [1, 3])
def test_full_fidelity_is_the_input_to_the_bit(dtype, channels) -> None:
    pixels = pixels_of(dtype, (7, 10, channels))
    lq = lq_of(pixels, multiple=4, device=CPU)
    found = to_pixels(torch.rand_like(lq) * 3 - 1, lq, pixels, fidelity=1.0, colour_fix="off")
    assert found.dtype == dtype and np.array_equal(found, pixels)


@pytest.mark.parametrize("dtype", HIGHEST)
def test_results_are_cut_clipped_and_rounded_to_nearest(dtype) -> None:
    pixels = pixels_of(dtype)
    lq = lq_of(pixels, multiple=4, device=CPU)
    restored = torch.rand(lq.shape, generator=torch.Generator().manual_seed(1)) * 1.4 - 0.2
    found = to_pixels(restored, lq, pixels, fidelity=0.0, colour_fix="off")
    expected = restored[0, :, :7, :10].clamp(0, 1).permute(1, 2, 0).numpy()
    if dtype is np.float32:
        assert np.array_equal(found, expected)
    else:
        assert np.abs(found - expected.astype(np.float64) * HIGHEST[dtype]).max() <= 0.51
        assert found.min() == 0 and found.max() == HIGHEST[dtype]


def test_fidelity_goes_evenly_from_the_result_to_the_input() -> None:
    pixels = np.full((4, 4, 3), 200, np.uint8)
    lq, restored = lq_of(pixels, multiple=1, device=CPU), torch.full((1, 3, 4, 4), 100 / 255)
    found = [
        int(to_pixels(restored, lq, pixels, fidelity=share, colour_fix="off")[0, 0, 0])
        for share in (0.0, 0.25, 0.5, 1.0)
    ]
    assert found == [100, 125, 150, 200]


def test_a_grey_picture_comes_back_as_the_mean_of_the_colours() -> None:
    pixels = np.full((4, 4, 1), 50, np.uint8)
    restored = torch.tensor([30.0, 60.0, 120.0])[None, :, None, None].expand(-1, -1, 4, 4) / 255
    found = to_pixels(restored, lq_of(pixels, multiple=1, device=CPU), pixels, fidelity=0.0, colour_fix="off")
    assert found.shape == (4, 4, 1) and (found == 70).all()


@pytest.mark.parametrize("height", [BAND_ROWS - 1, BAND_ROWS, BAND_ROWS + 1])
def test_every_row_of_a_tall_picture_is_there(height) -> None:
    pixels = pixels_of(np.uint8, (height, 2, 3))
    lq = lq_of(pixels, multiple=1, device=CPU)
    found = to_pixels(1 - lq, lq, pixels, fidelity=0.0, colour_fix="off")
    assert np.array_equal(found, 255 - pixels)


@pytest.mark.parametrize("colour_fix", ["wavelet", "adain"])
def test_colours_are_fixed_before_the_input_is_blended_in(colour_fix) -> None:
    pixels = np.random.default_rng(2).integers(60, 180, (40, 40, 3), dtype=np.uint8)
    lq = lq_of(pixels, multiple=1, device=CPU)
    fixed = to_pixels(lq + 0.25, lq, pixels, fidelity=0.0, colour_fix=colour_fix)
    assert abs(fixed.mean() - pixels.mean()) < 1.5  # a cast goes
    cast = to_pixels(lq + 0.25, lq, pixels, fidelity=0.0, colour_fix="off")
    assert cast.mean() - pixels.mean() > 50
    kept = to_pixels(lq + 0.25, lq, pixels, fidelity=1.0, colour_fix=colour_fix)
    assert np.array_equal(kept, pixels)


def test_a_wider_type_and_a_refiner_need_more_memory() -> None:
    vae = make_vae()
    plain = bytes_per_pixel(vae, None)
    assert plain == 4 * (3 * 8 + 2 * 8)
    with_drm, with_experts = bytes_per_pixel(vae, make_drm()), bytes_per_pixel(vae, tiny_daem())
    assert plain < with_drm < with_experts
    assert bytes_per_pixel(vae.half(), None) * 2 == plain
    unet = tiny_unet()
    assert unet_bytes_per_pixel(unet, make_vae(4)) * 4 == pytest.approx(unet_bytes_per_pixel(unet, make_vae(3)), abs=4)
    assert unet_bytes_per_pixel(unet.half(), make_vae()) * 2 == pytest.approx(
        unet_bytes_per_pixel(unet.float(), make_vae()), abs=1
    )


def test_the_unet_has_tiles_of_its_own_where_the_decoder_has_some() -> None:
    photo = Photo(pixels=np.zeros((600, 900, 3), np.uint8))
    options = SamplingOptions(tile=256)
    models = {"vae": make_vae(), "unet": tiny_unet(), "decoder_bytes": 1000}
    plan = plan_of_picture(photo, photo, options=options, **models)
    assert plan.tile == 256 and plan.unet_tile is not None
    whole = plan_of_picture(photo, photo, options=replace(options, tile="off"), **models)
    assert whole.tile == 0 and whole.unet_tile is None
    small = Photo(pixels=np.zeros((200, 256, 3), np.uint8))
    assert plan_of_picture(small, small, options=options, **models).unet_tile is None


def test_less_memory_makes_smaller_tiles() -> None:
    photo = Photo(pixels=np.zeros((1500, 1500, 3), np.uint8))
    models = {"vae": make_vae(), "unet": tiny_unet(), "decoder_bytes": 4000}
    plans = [
        plan_of_picture(photo, photo, options=SamplingOptions(memory_gb=memory), **models) for memory in (40, 4, 1)
    ]
    sides = [plan.tile or 1500 for plan in plans]
    assert sides == sorted(sides, reverse=True) and sides[0] > sides[-1]
