import numpy as np
import pytest

from ldrestore.evaluation.classical_peers import (
    atmospheric_light,
    dark_channel,
    dehaze_by_dark_channel,
    equalise_globally,
    equalise_locally,
    guided_filter,
    non_local_means,
)
from ldrestore.metrics.psnr import psnr


def hazy(scene, *, transmission, light):
    """Koschmieder's haze of one depth, with a strip of sky whose light is the haze's own."""
    lq = scene.astype(np.float32) * transmission + 255 * np.asarray(light, np.float32) * (1 - transmission)
    lq[:6] = 255 * np.asarray(light)
    return np.rint(lq).astype(np.uint8)


def test_dark_channel_is_the_minimum_over_channels_and_patch():
    image = np.full((9, 9, 3), 0.8, np.float32)
    image[4, 4, 1] = 0.1
    dark = dark_channel(image, patch=3)
    assert dark.min() == np.float32(0.1)
    assert (dark < 0.5).sum() == 9
    assert (dark[3:6, 3:6] == np.float32(0.1)).all()


def test_atmospheric_light_is_the_colour_of_the_haziest_pixels(scene):
    light = (0.9, 0.85, 0.8)
    lq = hazy(scene, transmission=0.5, light=light).astype(np.float32) / 255
    assert atmospheric_light(lq, dark_channel(lq, patch=5)) == pytest.approx(light, abs=0.01)


def test_a_black_picture_has_some_atmospheric_light():
    black = np.zeros((20, 20, 3), np.uint8)
    assert (dehaze_by_dark_channel(black) == 0).all()


def test_dehazing_brings_a_hazy_picture_nearer_to_the_clean_one(scene):
    lq = hazy(scene, transmission=0.5, light=(0.9, 0.9, 0.9))
    restored = dehaze_by_dark_channel(lq)
    assert restored.shape == lq.shape and restored.dtype == np.uint8
    assert psnr(restored[10:], scene[10:]) > psnr(lq[10:], scene[10:]) + 5


def test_dehazing_leaves_a_picture_without_haze_nearly_alone(scene):
    scene[:6] = 250  # a sky, so that there is an atmospheric light
    assert psnr(dehaze_by_dark_channel(scene)[10:], scene[10:]) > 25


def test_guided_filter_keeps_constants_and_the_edges_of_its_guide():
    guide = np.zeros((32, 32), np.float32)
    guide[:, 16:] = 1
    constant = np.full_like(guide, 0.3)
    assert guided_filter(guide, constant, radius=4, eps=1e-3) == pytest.approx(constant, abs=1e-5)
    assert guided_filter(guide, guide, radius=4, eps=1e-6) == pytest.approx(guide, abs=1e-3)
    noisy = guide + np.random.default_rng(0).normal(0, 0.1, guide.shape).astype(np.float32)
    smooth = guided_filter(guide, noisy, radius=4, eps=1e-3)
    assert np.abs(smooth - guide).mean() < 0.3 * np.abs(noisy - guide).mean()


@pytest.mark.parametrize("equalise", [equalise_locally, equalise_globally])
def test_equalising_gives_a_dark_picture_light_and_contrast(scene, equalise):
    dark = scene // 8
    restored = equalise(dark)
    assert restored.shape == dark.shape and restored.dtype == np.uint8
    assert restored.mean() > 1.5 * dark.mean()
    assert restored.std() > 1.2 * dark.std()


def test_global_equalising_keeps_the_order_of_greys_and_spreads_them_over_the_range():
    ramp = np.repeat(np.arange(40, dtype=np.uint8)[None, :, None], 8, axis=0).repeat(3, axis=2)
    restored = equalise_globally(ramp)[0, :, 0].astype(int)
    assert (np.diff(restored) > 0).all()
    assert restored[0] <= 1 and restored[-1] >= 254


def test_local_equalising_is_bolder_with_a_higher_limit(scene):
    dark = scene // 8
    assert equalise_locally(dark, clip_limit=8).std() > equalise_locally(dark, clip_limit=1).std()


def test_non_local_means_takes_noise_away_and_keeps_the_order_of_the_channels(scene):
    noise = np.random.default_rng(0).normal(0, 25, scene.shape)
    lq = np.clip(scene + noise, 0, 255).astype(np.uint8)
    restored = non_local_means(lq, sigma_255=25)
    assert psnr(restored, scene) > psnr(lq, scene) + 2
    assert restored.mean(axis=(0, 1)) == pytest.approx(lq.mean(axis=(0, 1)), abs=6)
