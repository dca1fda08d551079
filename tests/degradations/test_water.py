import numpy as np
import pytest

from ldrestore.degradations.transfer import to_linear
from ldrestore.degradations.water import WATERS, underwater
from ldrestore.degradations.weather import depth_proxy


def dived(image, *, distance=3.0, depth=4.0, seed=0):
    return underwater(image, distance=distance, depth=depth, generator=np.random.default_rng(seed))


def test_no_water_changes_nothing(picture):
    assert np.abs(dived(picture, distance=0.0, depth=0.0) - picture).max() < 1e-5


@pytest.mark.parametrize("seed", range(4))
def test_the_revised_model_holds_pixel_by_pixel(grey, seed):
    result = to_linear(dived(grey(0.6, 5, 7), distance=2.0, depth=3.0, seed=seed))
    same_draws = np.random.default_rng(seed)
    diffuse, b = WATERS[list(WATERS)[same_draws.integers(len(WATERS))]]
    z = 2.0 * depth_proxy(5, 7, generator=same_draws)
    light = [np.exp(-k * 3.0) for k in diffuse]
    light = [value / max(light) for value in light]
    veil = [b / (k + 0.6 * b) * value for k, value in zip(diffuse, light, strict=True)]
    level = same_draws.uniform(0.3, 0.55) / max(veil)
    scene = float(to_linear(np.float32(0.6)))
    for channel, k in enumerate(diffuse):
        direct = scene * light[channel] * np.exp(-(k + b) * z)
        scattered = level * veil[channel] * (1 - np.exp(-(k + 0.6 * b) * z))
        assert result[..., channel] == pytest.approx(direct + scattered, abs=1e-4)


def test_red_goes_before_green(grey):
    for seed in range(8):
        red, green, _ = dived(grey(0.7), seed=seed).mean(axis=(0, 1))
        assert red < green


def test_distance_takes_contrast_and_sharpness(picture):
    near, far = (dived(picture, distance=distance, seed=1) for distance in (1.0, 8.0))
    assert far.std(axis=(0, 1)).mean() < 0.6 * near.std(axis=(0, 1)).mean()


def test_waters_grow_murkier_towards_the_coast():
    greens = [diffuse[1] + scattering for diffuse, scattering in WATERS.values()]
    assert greens == sorted(greens)
    for diffuse, _ in WATERS.values():
        assert diffuse[0] >= diffuse[1]


@pytest.mark.parametrize("depth", [300.0, 1000.0])
def test_no_depth_makes_light_undefined(grey, depth: float) -> None:
    """So deep, float32 holds no light of any channel; the camera exposes for the brightest one all the same."""
    for seed in range(12):
        result = dived(grey(0.5, 6, 8), distance=0.0, depth=depth, seed=seed)
        assert np.isfinite(result).all()
        assert result.max() == pytest.approx(0.5, abs=1e-4) and result[..., 0].max() < 0.01
