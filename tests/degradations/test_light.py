import numpy as np
import pytest

from ldrestore.degradations.light import low_light
from ldrestore.degradations.transfer import to_linear

QUIET = {"shot": 0.0, "read": 0.0}


@pytest.mark.parametrize("stops", [0.0, 1.0, 3.5])
def test_each_stop_halves_the_linear_light(picture, stops):
    dark = low_light(picture, stops=stops, cast=0.0, **QUIET, generator=np.random.default_rng(0))
    assert np.abs(to_linear(dark) - to_linear(picture) * 2**-stops).max() < 1e-5


def test_the_cast_is_one_gain_a_channel(picture):
    dark = low_light(picture, stops=2.0, cast=0.2, **QUIET, generator=np.random.default_rng(0))
    gains = to_linear(dark) / (to_linear(picture) / 4)
    assert gains.std(axis=(0, 1)).max() < 1e-3
    assert np.ptp(gains.mean(axis=(0, 1))) > 0.01


def test_the_noise_is_photon_and_read_noise(grey):
    for value in (0.4, 0.8):
        dark = low_light(
            grey(value, 128, 128), stops=1.0, shot=1e-4, read=1e-3, cast=0.0, generator=np.random.default_rng(0)
        )
        signal = float(to_linear(np.float32(value))) / 2
        assert to_linear(dark).var() == pytest.approx(1e-4 * signal + 1e-6, rel=0.05)


def test_exposures_add_up(picture) -> None:
    generator = np.random.default_rng(0)
    twice = low_light(
        low_light(picture, stops=1.5, cast=0.0, **QUIET, generator=generator),
        stops=2.0,
        cast=0.0,
        **QUIET,
        generator=generator,
    )
    once = low_light(picture, stops=3.5, cast=0.0, **QUIET, generator=generator)
    assert np.abs(twice - once).max() < 1e-5


def test_black_keeps_the_brighter_half_of_the_read_noise(grey) -> None:
    """The mean of a Gaussian that is cut at zero is its deviation over the root of 2 pi."""
    dark = low_light(grey(0.0, 200, 200), stops=3.0, shot=1e-3, read=4e-3, cast=0.1, generator=np.random.default_rng(0))
    assert np.mean(dark == 0) == pytest.approx(0.5, abs=0.01)
    assert to_linear(dark).mean() == pytest.approx(4e-3 / np.sqrt(2 * np.pi), rel=0.02)


def test_noise_is_of_each_pixel_and_colour_for_itself(grey) -> None:
    dark = low_light(grey(0.6, 128, 128), stops=2.0, shot=1e-4, read=2e-3, cast=0.0, generator=np.random.default_rng(2))
    noise = to_linear(dark) - to_linear(dark).mean(axis=(0, 1))
    pairs = [(noise[1:], noise[:-1]), (noise[:, 1:], noise[:, :-1]), (noise[..., 0], noise[..., 1])]
    assert all(abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.03 for one, other in pairs)


def test_less_light_leaves_less_signal_for_the_same_read_noise(grey) -> None:
    ratios = []
    for stops in (1.0, 3.0, 5.0):
        dark = low_light(
            grey(0.7, 96, 96), stops=stops, shot=0.0, read=1e-3, cast=0.0, generator=np.random.default_rng(0)
        )
        ratios.append(to_linear(dark).mean() / to_linear(dark).std())
    assert ratios[0] / ratios[1] == pytest.approx(4, rel=0.02) and ratios[1] / ratios[2] == pytest.approx(4, rel=0.02)
