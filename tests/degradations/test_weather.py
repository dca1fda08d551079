import numpy as np
import pytest

from ldrestore.degradations.transfer import to_encoded, to_linear
from ldrestore.degradations.weather import (
    depth_proxy,
    flake_kernel,
    haze,
    rain,
    scattered,
    smooth_field,
    snow,
    streak_kernel,
)


def linear_of(value):
    """The sRGB curve of IEC 61966-2-1, one number at a time."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def encoded_of(value):
    value = min(max(value, 0.0), 1.0)
    return value * 12.92 if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def test_haze_follows_the_scattering_equation_pixel_by_pixel():
    image = np.random.default_rng(0).random((7, 9, 3), dtype=np.float32)
    hazy = haze(image, beta=0.6, generator=np.random.default_rng(8))
    same_draws = np.random.default_rng(8)
    depth = depth_proxy(7, 9, generator=same_draws)
    air = same_draws.uniform(0.7, 0.95) + same_draws.normal(0, 0.02, 3)
    for row in range(7):
        for column in range(9):
            t = np.exp(-0.6 * float(depth[row, column]))
            for channel in range(3):
                value = linear_of(float(image[row, column, channel])) * t + air[channel] * (1 - t)
                assert hazy[row, column, channel] == pytest.approx(encoded_of(value), abs=1e-5)


def test_no_haze_changes_nothing(picture):
    assert np.abs(haze(picture, beta=0.0, generator=np.random.default_rng(0)) - picture).max() < 1e-5


def test_thick_haze_is_the_air_light_alone(picture):
    hazy = haze(picture, beta=90.0, generator=np.random.default_rng(0))
    assert hazy.std(axis=(0, 1)).max() < 1e-3
    assert np.ptp(hazy.mean(axis=(0, 1))) < 0.1


def test_depth_is_positive_smooth_and_has_mean_one():
    depths = [depth_proxy(60, 90, generator=np.random.default_rng(seed)) for seed in range(20)]
    for depth in depths:
        assert depth.shape == (60, 90) and depth.min() > 0
        assert depth.mean() == pytest.approx(1.0, abs=1e-4)
        assert max(np.abs(np.diff(depth, axis=0)).max(), np.abs(np.diff(depth, axis=1)).max()) < 0.1
    average = np.mean(depths, axis=0)
    assert average[:10].mean() > average[-10:].mean()


def test_a_smooth_field_fills_the_unit_interval():
    field = smooth_field(20, 33, cells=3, generator=np.random.default_rng(0))
    assert field.shape == (20, 33) and field.min() == 0 and field.max() == pytest.approx(1.0)


def test_rain_without_streaks_and_veil_changes_nothing(picture):
    dry = rain(picture, density=0.0, opacity=1.0, veil=0.0, generator=np.random.default_rng(0))
    assert np.abs(dry - picture).max() < 1e-5


def test_streaks_brighten_a_dark_scene_and_only_in_places(grey):
    wet = rain(grey(0.1, 128, 128), density=1.0, opacity=1.0, veil=0.0, generator=np.random.default_rng(0))
    change = wet[..., 0] - 0.1
    assert change.min() > -1e-4 and change.max() > 0.1
    assert np.mean(change < 0.01) > 0.4


def test_rain_falls_rather_than_drifts(grey):
    """Over many winds, a streak goes on further along columns than along rows."""
    along, across = [], []
    for seed in range(8):
        wet = rain(grey(0.1, 96, 96), density=1.0, opacity=1.0, veil=0.0, generator=np.random.default_rng(seed))
        layer = wet[..., 0] - wet[..., 0].mean()
        along.append((layer[4:] * layer[:-4]).mean())
        across.append((layer[:, 4:] * layer[:, :-4]).mean())
    assert np.mean(along) > 2 * np.mean(across)


def test_the_veil_takes_contrast(picture):
    clear, veiled = (
        rain(picture, density=0.0, opacity=1.0, veil=veil, generator=np.random.default_rng(0)) for veil in (0.0, 0.4)
    )
    assert to_linear(veiled).std() == pytest.approx(0.6 * to_linear(clear).std(), rel=0.01)


def test_snow_without_flakes_and_veil_changes_nothing(picture):
    clear = snow(picture, density=0.0, veil=0.0, generator=np.random.default_rng(0))
    assert np.abs(clear - picture).max() < 1e-5


def test_flakes_are_bright_and_of_many_sizes(grey):
    white = snow(grey(0.1, 128, 128), density=1.0, veil=0.0, generator=np.random.default_rng(0))[..., 0]
    assert white.min() > 0.1 - 1e-4 and white.max() > 0.6
    assert 0.02 < np.mean(white > 0.2) < 0.5


def test_a_streak_has_its_length_and_direction():
    upright, lying = (streak_kernel(20.0, 1.0, angle=angle) for angle in (0.0, np.pi / 2))
    assert upright.max() == pytest.approx(1.0)
    assert upright.max(axis=1).sum() == pytest.approx(20.0, abs=1.5)
    assert upright.max(axis=0).sum() == pytest.approx(np.sqrt(2 * np.pi), rel=0.1)
    assert np.allclose(upright, lying.T, atol=1e-5)


def test_a_flake_has_the_area_of_its_ellipse():
    flake = flake_kernel(5.0, stretch=1.5, angle=0.4)
    assert flake.max() == pytest.approx(1.0)
    assert flake.sum() == pytest.approx(np.pi * 5.0 * 7.5, rel=0.1)


def test_copies_are_scattered_as_often_as_asked_up_to_the_border():
    layer = scattered(np.ones((1, 1), np.float32), 100, 100, share=0.01, generator=np.random.default_rng(0))
    assert layer.shape == (100, 100)
    assert 60 < np.count_nonzero(layer) < 140
    assert layer[layer > 0].min() >= 0.4 and layer.max() <= 1.0


def test_copies_from_outside_reach_in():
    layers = [
        scattered(np.ones((9, 9), np.float32), 40, 40, share=0.01, generator=np.random.default_rng(seed))
        for seed in range(60)
    ]
    covered = np.mean([layer > 0 for layer in layers], axis=0)
    edge = np.concatenate([covered[0], covered[-1], covered[:, 0], covered[:, -1]]).mean()
    assert edge == pytest.approx(covered[10:-10, 10:-10].mean(), rel=0.1)


def test_the_transfer_curve_inverts_itself_and_meets_its_standard():
    values = np.linspace(0, 1, 1001, dtype=np.float32)
    assert np.abs(to_encoded(to_linear(values)) - values).max() < 1e-5
    for value in (0.0, 0.02, 0.2, 0.5, 1.0):
        assert float(to_linear(np.float32(value))) == pytest.approx(linear_of(value), abs=1e-6)
    assert to_encoded(np.array([-1.0, 2.0], np.float32)).tolist() == pytest.approx([0.0, 1.0])


def light_through(weather, *, seed: int, **parameters: float) -> tuple[np.ndarray, np.ndarray]:
    """Transmission and added light (H, W, 3), both in linear light, from two grounds with the same draws."""
    grounds = [np.full((48, 64, 3), value, np.float32) for value in (0.2, 0.5)]
    low, high = (to_linear(weather(ground, **parameters, generator=np.random.default_rng(seed))) for ground in grounds)
    through = (high - low) / (linear_of(0.5) - linear_of(0.2))
    return through, low - linear_of(0.2) * through


@pytest.mark.parametrize("seed", range(3))
def test_haze_lets_all_colours_through_alike_and_adds_one_air_light(seed: int) -> None:
    through, added = light_through(haze, seed=seed, beta=0.7)
    assert np.ptp(through, axis=2).max() < 1e-3
    air = (added / (1 - through)).reshape(-1, 3)
    assert air.std(axis=0).max() < 2e-3 and np.ptp(air.mean(axis=0)) < 0.15
    assert 0.6 < air.mean() < 1.0


def test_twice_as_thick_haze_passes_the_square(grey) -> None:
    thin, thick = (light_through(haze, seed=5, beta=beta)[0] for beta in (0.4, 0.8))
    assert np.allclose(thick, thin**2, atol=2e-3)


def test_what_stands_higher_in_the_picture_lies_deeper_in_the_haze() -> None:
    rows = np.mean([light_through(haze, seed=seed, beta=0.8)[0].mean(axis=(1, 2)) for seed in range(12)], axis=0)
    assert rows[:12].mean() < rows[18:30].mean() < rows[-12:].mean()


@pytest.mark.parametrize(("weather", "air"), [(rain, 0.75), (snow, 0.93)])
def test_what_falls_hides_and_does_not_add(weather, air: float) -> None:
    """A scene as bright as the streaks or flakes stays, a brighter one gets darker, a darker one brighter."""
    parameters = {"density": 1.5, "veil": 0.0} | ({"opacity": 1.0} if weather is rain else {})
    for light, sign in ((air, 0), (air + 0.06, -1), (0.3, 1)):
        scene = np.full((64, 64, 3), encoded_of(light), np.float32)
        change = to_linear(weather(scene, **parameters, generator=np.random.default_rng(1))) - light
        assert change.min() > (-1e-4 if sign >= 0 else -0.07) and change.max() < (1e-4 if sign <= 0 else 0.7)
        assert np.abs(change).max() < 1e-4 if sign == 0 else (np.sign(change.mean()) == sign)


@pytest.mark.parametrize(("weather", "light"), [(rain, 0.5 * 0.75), (snow, 0.8)])
def test_the_veil_alone_is_a_share_of_its_own_light(picture, weather, light: float) -> None:
    parameters = {"density": 0.0, "veil": 0.3} | ({"opacity": 1.0} if weather is rain else {})
    veiled = weather(picture, **parameters, generator=np.random.default_rng(0))
    assert np.abs(to_linear(veiled) - (0.7 * to_linear(picture) + 0.3 * light)).max() < 1e-5


def test_opacity_scales_what_a_streak_hides_up_to_nine_tenths() -> None:
    faint, strong, opaque = (
        1 - light_through(rain, seed=3, density=1.0, opacity=opacity, veil=0.0)[0] for opacity in (0.25, 0.5, 50.0)
    )
    assert np.allclose(strong, 2 * faint, atol=2e-3) and strong.max() > 0.1
    assert opaque.max() == pytest.approx(0.9, abs=2e-3)


def test_streaks_lie_along_the_wind_that_was_drawn(grey) -> None:
    """Their direction from the structure tensor against the first number of the same generator."""
    winds, directions = [], []
    for seed in range(16):
        winds.append(np.random.default_rng(seed).normal(0, 0.3))
        layer = rain(grey(0.2, 96, 96), density=1.0, opacity=1.0, veil=0.0, generator=np.random.default_rng(seed))
        down, across = np.gradient(layer[..., 0])
        directions.append(0.5 * np.arctan2(-2 * (down * across).mean(), (across**2).mean() - (down**2).mean()))
    assert np.corrcoef(winds, directions)[0, 1] > 0.97
    assert np.abs(np.subtract(winds, directions)).max() < 0.2


@pytest.mark.parametrize("weather", [rain, snow])
def test_twice_the_density_is_twice_as_much_while_it_is_thin(weather) -> None:
    options = {"veil": 0.0} | ({"opacity": 1.0} if weather is rain else {})
    hidden = [
        np.mean([1 - light_through(weather, seed=seed, density=density, **options)[0] for seed in range(20)])
        for density in (0.2, 0.4)
    ]
    assert hidden[1] / hidden[0] == pytest.approx(2, rel=0.25)
