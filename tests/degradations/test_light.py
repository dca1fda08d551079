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
