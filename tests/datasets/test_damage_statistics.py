import numpy as np
import pytest

from ldrestore.datasets.damage_statistics import pair_statistics, picture_statistics, share_inside


@pytest.fixture(scope="module")
def scene():
    """(96, 96, 3) float32 in [0.2, 0.8], smooth."""
    rows, columns = np.mgrid[0:96, 0:96].astype(np.float32) / 96
    waves = 0.5 + 0.3 * np.sin(5 * rows + 3 * columns)
    return np.stack([waves, 0.9 * waves, 0.8 * waves], axis=-1).astype(np.float32)


def test_haze_is_the_line_that_it_was_made_by(scene):
    figures = pair_statistics(0.7 * scene + 0.3 * 0.9, scene)
    assert figures["slope"] == pytest.approx(0.7, abs=1e-3)
    assert figures["offset"] == pytest.approx(0.27, abs=1e-3)
    assert figures["air_light"] == pytest.approx(0.9, abs=1e-2)
    assert figures["r2"] == pytest.approx(1, abs=1e-4)


def test_noise_is_measured_with_and_without_the_clear_picture(scene):
    noise = np.random.default_rng(0).normal(0, 8 / 255, scene.shape).astype(np.float32)
    noisy = scene + noise
    assert picture_statistics(noisy)["noise_255"] == pytest.approx(8, rel=0.15)
    assert picture_statistics(scene)["noise_255"] < 0.5
    figures = pair_statistics(noisy, scene)
    assert figures["error_255"] == pytest.approx(8, rel=0.05)
    assert abs(figures["neighbours"]) < 0.05 and abs(figures["colours"]) < 0.05
    grey = pair_statistics(scene + noise[..., :1], scene)
    assert grey["colours"] == pytest.approx(1, abs=1e-3)


def test_noise_that_grows_with_the_light_has_a_slope(scene):
    noise = np.random.default_rng(0).standard_normal(scene.shape).astype(np.float32)
    assert picture_statistics(scene + 0.05 * scene**2 * noise)["noise_slope"] > 0.1
    assert picture_statistics(scene + 0.05 * (1 - scene) ** 2 * noise)["noise_slope"] < -0.1


def test_what_rain_adds_is_counted(scene):
    rain = np.zeros_like(scene)
    rain[:, ::4] = 0.2
    figures = pair_statistics(scene + rain, scene)
    assert figures["added"] == pytest.approx(0.05, abs=1e-3)
    assert figures["covered"] == pytest.approx(0.25, abs=1e-3)
    assert picture_statistics(scene + rain)["steepness"] > 1
    assert picture_statistics((scene + rain).transpose(1, 0, 2))["steepness"] < -1


def test_blocks_and_smoothness_show(scene):
    texture = np.random.default_rng(0).normal(0, 0.03, scene.shape).astype(np.float32)
    blocks = np.kron(np.random.default_rng(1).normal(0, 0.05, (12, 12)), np.ones((8, 8)))[..., None]
    assert picture_statistics((scene + 0.1 * texture + blocks).astype(np.float32))["grid"] > 1
    assert picture_statistics(scene + texture)["grid"] < 0.5
    assert picture_statistics(scene)["spectrum"] < picture_statistics(scene + texture)["spectrum"]


def test_colour_and_light_show(scene):
    figures = picture_statistics(scene)
    assert figures["brightness"] == pytest.approx(float((scene @ [0.299, 0.587, 0.114]).mean()), abs=1e-4)
    assert figures["saturation"] == pytest.approx(0.2, abs=1e-3)
    assert figures["dark_channel"] < scene.min(axis=2).mean()
    assert figures["brightest"] > figures["brightness"] and figures["contrast"] > 0.1


def test_a_constant_pair_gives_numbers():
    flat = np.full((40, 48, 3), 0.5, np.float32)
    assert np.isfinite([*picture_statistics(flat).values(), *pair_statistics(flat, flat).values()]).all()


def test_the_share_inside_counts_between_the_outermost():
    shown = np.linspace(0, 1, 1001)
    assert share_inside(np.array([0.5, 0.995, -1.0, 0.2]), shown) == 0.5


def test_pictures_of_one_value_have_figures_without_a_division_by_nothing() -> None:
    for value in (0.0, 0.5, 1.0):
        flat = np.full((32, 40, 3), value, np.float32)
        figures = {**picture_statistics(flat), **pair_statistics(flat, flat)}
        assert all(np.isfinite(list(figures.values())))
        assert figures["brightness"] == pytest.approx(value, abs=1e-6) and figures["contrast"] < 1e-6
        assert figures["added"] == figures["error_255"] == figures["covered"] == 0


def test_colour_and_its_lack_are_measured() -> None:
    red = np.zeros((32, 32, 3), np.float32)
    red[..., 0] = 0.8
    assert picture_statistics(red)["saturation"] == pytest.approx(1)
    assert picture_statistics(red)["dark_channel"] == 0
    assert picture_statistics(red)["brightness"] == pytest.approx(0.8 * 0.299, abs=1e-5)
    assert picture_statistics(np.full_like(red, 0.8))["saturation"] == 0


def test_a_turned_picture_has_the_opposite_steepness_and_the_same_grid(scene) -> None:
    striped = scene.copy()
    striped[:, ::8] += 0.1
    upright, lying = (picture_statistics(each) for each in (striped, np.ascontiguousarray(striped.transpose(1, 0, 2))))
    assert upright["steepness"] > 0.3 and lying["steepness"] == pytest.approx(-upright["steepness"], abs=1e-4)
    assert upright["grid"] == pytest.approx(lying["grid"], rel=1e-3) and upright["grid"] > 1


def test_rain_that_covers_a_quarter_covers_a_quarter(scene) -> None:
    rainy = scene.copy()
    rainy[:, ::4] += 0.2
    figures = pair_statistics(rainy, scene)
    assert figures["covered"] == pytest.approx(0.25) and figures["added"] == pytest.approx(0.05, abs=1e-4)
    assert figures["colours"] == pytest.approx(1, abs=1e-4) and figures["neighbours"] == pytest.approx(-1 / 3, abs=0.02)


def test_what_lies_outside_the_tails_of_what_is_shown_is_not_inside() -> None:
    shown = np.linspace(0, 1, 101)
    assert share_inside(np.array([-0.1, 0.5, 0.5, 1.1]), shown, tail=0.0) == 0.5
    assert share_inside(np.array([0.05, 0.5]), shown, tail=0.1) == 0.5
    assert share_inside(np.array([0.0, 1.0]), shown, tail=0.0) == 1
