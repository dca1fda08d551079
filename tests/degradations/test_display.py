import numpy as np
import pytest

from ldrestore.degradations.display import diffraction_kernel, moire, screen_coordinates, under_display
from ldrestore.degradations.transfer import to_linear

OPEN = {"openness": 1.0, "transmission": 1.0, "cast": 0.0, "shot": 0.0, "read": 0.0}


def behind(image, *, seed=0, **changes):
    return under_display(image, **{**OPEN, **changes}, generator=np.random.default_rng(seed))


def test_an_open_display_changes_nothing(picture):
    assert np.abs(behind(picture) - picture).max() < 1e-5


def test_the_kernel_of_an_open_display_is_a_point():
    kernel = diffraction_kernel(1.0, pitch=25.0, shape=0.5, angle=0.3)
    assert kernel.shape == (129, 129)
    assert kernel[64, 64] == pytest.approx(1.0) and np.sum(kernel) == pytest.approx(1.0)


def test_orders_stand_where_the_grating_equation_puts_them():
    """Slits across the columns alone: orders every 256 / 16 pixels, of the strength sinc^2(m openness)."""
    kernel = diffraction_kernel(0.5, pitch=16.0, shape=1.0, angle=0.0)
    line = kernel[64]
    assert kernel.sum() == pytest.approx(line.sum(), rel=1e-4)
    assert line[64 + 16] / line[64] == pytest.approx(np.sinc(0.5) ** 2, rel=0.05)
    assert line[64 + 32] < 1e-3 * line[64]  # of half-open slits the second order is dark
    assert line[64 + 48] / line[64] == pytest.approx(np.sinc(1.5) ** 2, rel=0.3)  # soft edges take from it
    assert line[64 + 5] < 1e-6


def test_the_straight_light_is_the_open_share():
    kernel = diffraction_kernel(0.3, pitch=32.0, shape=0.5, angle=0.0)
    assert kernel[64, 64] == pytest.approx(0.3, abs=0.06)


def test_red_is_diffracted_further_than_blue(grey):
    image = grey(0.0, 129, 129)
    image[64, 64] = 1.0
    light = to_linear(behind(image, openness=0.4, seed=3))
    rows, columns = np.mgrid[-64:65, -64:65]
    reach = (light * np.hypot(rows, columns)[..., None]).sum(axis=(0, 1)) / light.sum(axis=(0, 1))
    assert reach[0] > reach[1] > reach[2] > 1


def test_a_display_takes_light_most_from_blue(grey):
    linear = to_linear(behind(grey(0.5), transmission=0.5, cast=0.4))[30, 30] / to_linear(grey(0.5))[30, 30]
    assert linear == pytest.approx([0.5 * np.exp(0.1), 0.5, 0.5 * np.exp(-0.4)], rel=1e-3)


def test_no_contrast_and_no_reflection_change_nothing(picture):
    result = moire(picture, contrast=0.0, veil=0.0, generator=np.random.default_rng(0))
    assert np.abs(result - picture).max() < 1e-5


def test_beats_are_coloured_slow_and_without_a_mean(grey):
    ratios = []
    for seed in range(12):
        result = moire(grey(0.5, 128, 128), contrast=0.6, veil=0.0, generator=np.random.default_rng(seed))
        light = to_linear(result) / to_linear(np.float32(0.5))
        assert light.mean() == pytest.approx(1.0, abs=0.25)
        assert (light[..., 0] - light[..., 1]).std() > 0.02
        spectrum = np.abs(np.fft.rfft(light[..., 1] - light[..., 1].mean(), axis=1)).sum(axis=0)
        ratios.append(spectrum[:24].sum() / spectrum.sum())
    assert np.mean(ratios) > 0.6  # a third of the frequencies


def test_moire_scales_with_the_light(grey):
    bright, dark = (
        to_linear(moire(grey(value, 40, 40), contrast=0.4, veil=0.0, generator=np.random.default_rng(5)))
        for value in (0.6, 0.3)
    )
    factor = to_linear(np.float32(0.6)) / to_linear(np.float32(0.3))
    assert np.allclose(bright, dark * factor, rtol=2e-3)


def test_reflections_lift_black(grey):
    result = moire(grey(0.0), contrast=0.5, veil=0.1, generator=np.random.default_rng(0))
    assert 0.05 < to_linear(result).mean() / 0.4 < 0.2


def test_about_a_display_pixel_or_half_of_one_comes_on_a_camera_pixel():
    steps = []
    for seed in range(30):
        across, down = screen_coordinates(40, 60, generator=np.random.default_rng(seed))
        assert across.shape == down.shape == (40, 60)
        steps.append(np.hypot(np.diff(across, axis=1).mean(), np.diff(down, axis=1).mean()))
    assert all(min(abs(step - 0.5), abs(step - 1.0)) < 0.12 for step in steps)
    assert min(steps) < 0.6 and max(steps) > 0.9
