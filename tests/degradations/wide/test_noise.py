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


@pytest.mark.parametrize("strength", [0.1, 0.3, 0.6])
def test_noise_in_the_mid_tones_is_that_of_the_strength(grey, strength: float) -> None:
    deviations = []
    for seed in range(24):
        noisy = real_noise_wide(grey(0.45, 96, 96), strength=strength, generator=np.random.default_rng(seed))
        deviations.append(255 * noisy.std(axis=(0, 1)).mean())
    assert np.median(deviations) == pytest.approx(0.7 + 45 * strength**1.7, rel=0.35)


def test_code_values_are_noisier_in_the_shadows_than_in_the_lights(grey) -> None:
    """The tone curve is steep where it is dark; of the noise in white, half is cut."""
    levels = []
    for value in (0.1, 0.45, 0.9, 1.0):
        noisy = [
            real_noise_wide(grey(value, 48, 48), strength=0.3, generator=np.random.default_rng(seed)).std()
            for seed in range(12)
        ]
        levels.append(np.mean(noisy))
    assert levels[0] > 1.2 * levels[1] and levels[1] > 1.2 * levels[2] and levels[3] < 0.6 * levels[2]


@pytest.mark.parametrize("seed", range(4))
def test_variance_of_a_sensor_grows_in_a_line_with_the_light(seed: int) -> None:
    """shot gain light + (gain read)^2, at any phase of the mosaic; of green, whose gain is 1."""
    variances = []
    for light in (0.1, 0.4, 0.7):
        field = np.full((160, 160, 3), light, np.float32)
        noise = sensor_noise(field, SENSOR, is_whole=False, generator=np.random.default_rng(seed))
        variances.append(noise[4:-4, 4:-4, 1].var() / 0.625)
    assert variances == pytest.approx([1e-3 * light + 5e-3**2 for light in (0.1, 0.4, 0.7)], rel=0.08)


def test_colour_noise_goes_by_its_share_and_brightness_noise_stays(grey) -> None:
    noise = np.random.default_rng(0).normal(0, 0.03, (64, 64, 3)).astype(np.float32)
    options = {"luma_sigma": 0.0, "chroma_sigma": 0.0, "texture_share": 1.0, "sharpening": 0.0}
    grey_noise = denoised(noise, grey(0.5), Denoiser(chroma_share=0.0, **options))
    assert np.ptp(grey_noise, axis=2).max() < 1e-6
    luma = noise @ np.array([0.25, 0.5, 0.25], np.float32)
    assert correlation(grey_noise[..., 0], luma) > 0.999


def test_textures_keep_more_of_the_noise_than_flat_parts(grey) -> None:
    image = grey(0.5)
    image[:, 32:] += np.random.default_rng(1).choice((-0.3, 0.3), (64, 32, 1)).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.03, (64, 64, 3)).astype(np.float32)
    camera = Denoiser(luma_sigma=1.5, chroma_sigma=0.0, chroma_share=0.0, texture_share=1.0, sharpening=0.0)
    left = denoised(noise, image, camera)
    fine = np.abs(np.diff(left[..., 1], axis=0))
    assert fine[:, 40:].mean() > 2.5 * fine[:, :24].mean()
