import numpy as np
import pytest

from ldrestore.degradations.remote_sensing import aerial_downscale, cloud, fractal_field
from ldrestore.degradations.transfer import to_linear


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("parameters", [{"cover": 0.0, "thickness": 5.0}, {"cover": 0.5, "thickness": 0.0}])
def test_no_cloud_changes_nothing(picture, parameters):
    assert np.abs(cloud(picture, **parameters, generator=generator()) - picture).max() < 1e-5


def test_clouds_brighten_a_dark_ground_in_about_their_share_of_it(grey):
    shares = []
    for seed in range(12):
        result = to_linear(cloud(grey(0.2, 96, 96), cover=0.4, thickness=8.0, generator=generator(seed)))
        shares.append(np.mean(result[..., 1] > to_linear(np.float32(0.2)) + 0.02))
    assert 0.25 < np.mean(shares) < 0.5


def test_clouds_throw_shadows_on_a_bright_ground(grey):
    result = cloud(grey(0.5, 96, 96), cover=0.3, thickness=8.0, generator=generator(1))
    shaded = result[result[..., 1] < 0.48]
    assert len(shaded) > 100
    assert (shaded[:, 2] > shaded[:, 0]).all()  # what is left there is the blue of the sky


def test_thick_clouds_are_near_white_and_hide_the_ground(picture):
    result = cloud(picture, cover=0.5, thickness=60.0, generator=generator(2))
    assert np.mean(result.min(axis=2) > 0.85) > 0.3


def test_a_cloud_has_hills_of_all_sizes():
    field = fractal_field(128, 90, generator=generator())
    assert field.shape == (128, 90) and field.mean() == pytest.approx(0, abs=1e-4)
    assert field.std() == pytest.approx(1, abs=1e-4)
    lags = [np.mean((field[lag:] - field[:-lag]) ** 2) for lag in (1, 4, 16)]
    assert 0 < lags[0] < 0.5 * lags[1] < 0.5 * lags[2]


def test_the_own_sampling_changes_nothing(picture):
    result = aerial_downscale(picture, factor=1.0, mtf=0.3, generator=generator())
    assert np.abs(result - picture).max() < 1e-5


def test_optics_and_detectors_pass_what_theory_says():
    """A wave of 16 pixels at factor 4: the missing optics' Gaussian times the detector's sinc."""
    wave = 0.5 + 0.2 * np.cos(2 * np.pi * np.arange(256) / 16)
    light = np.repeat(np.tile(wave, (64, 1))[..., None], 3, axis=2)
    image = (1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)
    contrasts = []
    for seed in range(30):
        linear = to_linear(aerial_downscale(image, factor=4.0, mtf=0.3, generator=generator(seed)))[32, 2::4, 0]
        contrasts.append(2 * np.abs(np.fft.rfft(linear)[16]) / len(linear) / 0.2)
    nyquists = 2 * 4 / 16
    expected = 0.3 ** (nyquists**2 * 15 / 16) * np.sinc(1 / 16 * 4)
    assert np.mean(contrasts) == pytest.approx(expected, rel=0.06)
