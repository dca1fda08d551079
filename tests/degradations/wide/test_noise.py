"""Camera noise as it measures on real sets."""

import numpy as np
import pytest

from ldrestore.degradations.wide.camera import Denoiser, Sensor, denoised, sensor_noise, stored
from ldrestore.degradations.wide.noise import real_noise_wide

SENSOR = Sensor(shot=1e-3, read=5e-3, gains=(2.0, 1.0, 1.5))


def correlation(first, second):
    return np.corrcoef(first.ravel(), second.ravel())[0, 1]


def test_polyu_lies_inside_what_is_drawn(photographs):
    """PolyU: standard deviation 2 to 5 of 255; neighbours correlated 0.59, the next ones 0.24; red with green 0.72."""
    rows = []
    for seed, gt in photographs * 2:
        generator = np.random.default_rng([seed, len(rows)])
        noise = real_noise_wide(gt, strength=generator.uniform(0.05, 0.3), generator=generator) - gt
        rows.append(
            (
                255 * noise.std(),
                correlation(noise[:, 1:], noise[:, :-1]),
                correlation(noise[:, 2:], noise[:, :-2]),
                correlation(noise[..., 0], noise[..., 1]),
            )
        )
    low, high = np.percentile(rows, [10, 90], axis=0)
    for real, least, most in zip((3.5, 0.59, 0.24, 0.72), low, high, strict=True):
        assert least < real < most


def test_noise_of_a_mosaic_has_the_variance_of_its_sensor():
    light = np.full((200, 200, 3), 0.2, np.float32)
    noise = sensor_noise(light, SENSOR, is_whole=False, generator=np.random.default_rng(0))
    for channel, gain, share in ((0, 2.0, 0.5625), (1, 1.0, 0.625), (2, 1.5, 0.5625)):  # what bilinear weights leave
        site = np.sqrt(SENSOR.shot * gain * 0.2 + (SENSOR.read * gain) ** 2)
        assert noise[..., channel].std() == pytest.approx(site * share**0.5, rel=0.05)
    assert abs(noise.mean()) < 1e-3


def test_the_whole_mosaic_brings_its_own_errors():
    fine = np.zeros((32, 32, 3), np.float32)
    fine[:, ::2] = 0.6
    silent = Sensor(shot=0.0, read=0.0, gains=(1.0, 1.0, 1.0))
    assert np.abs(sensor_noise(fine, silent, is_whole=False, generator=np.random.default_rng(0))).max() < 1e-4
    assert np.abs(sensor_noise(fine, silent, is_whole=True, generator=np.random.default_rng(0))).max() > 0.1


def test_denoising_correlates_neighbours_and_colours(grey):
    noise = np.random.default_rng(0).normal(0, 0.05, (96, 96, 3)).astype(np.float32)
    camera = Denoiser(luma_sigma=0.8, chroma_sigma=3.0, chroma_share=0.3, texture_share=0.5, sharpening=0.3)
    result = denoised(noise, grey(0.5, 96, 96), camera)
    assert 0.6 * noise.std() < result.std() < 1.05 * noise.std()
    assert correlation(result[:, 1:], result[:, :-1]) > 0.4
    assert correlation(result[..., 0], result[..., 1]) > 0.5


def test_a_camera_that_leaves_the_noise_alone_changes_nothing(grey):
    noise = np.random.default_rng(0).normal(0, 0.05, (16, 16, 3)).astype(np.float32)
    camera = Denoiser(luma_sigma=0.0, chroma_sigma=0.0, chroma_share=1.0, texture_share=1.0, sharpening=0.0)
    assert np.allclose(denoised(noise, grey(0.5, 16, 16), camera), noise, atol=1e-6)


def test_a_stored_picture_keeps_its_colours(grey):
    image = grey(0.5, 16, 16) * np.array([1.0, 0.6, 0.2], np.float32)
    assert np.abs(stored(image, quality=95) - image).max() < 0.02
