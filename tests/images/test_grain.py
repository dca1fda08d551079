import itertools

import cv2
import numpy as np
import pytest

from ldrestore.images.grain import give_grain_back, measure_grain


def scene(size=320, *, num_channels=3):
    """A clean picture with flat parts, slopes, hard edges and fine texture, float32 in [0.1, 0.9]."""
    y, x = np.mgrid[:size, :size] / size
    values = 0.2 + 0.5 * x
    values[(y > 0.5) & (x < 0.5)] = 0.75
    values[(y - 0.25) ** 2 + (x - 0.7) ** 2 < 0.02] = 0.3
    values[int(0.8 * size) :, int(0.6 * size) :] += 0.12 * np.sin(x * size)[int(0.8 * size) :, int(0.6 * size) :]
    return np.repeat(values[..., None], num_channels, axis=2).astype(np.float32).clip(0.1, 0.9)


def grainy(clean, *, seed=0, slope=0.05):
    """Grain upon a picture, stronger where it is bright: standard deviation 0.02 + slope * brightness."""
    noise = np.random.default_rng(seed).standard_normal(clean.shape, dtype=np.float32)
    return noise * (np.float32(0.02) + np.float32(slope) * clean)


def spectrum(values, bands=8):
    """Mean power by frequency, (bands,), the lowest eighth first."""
    power = np.abs(np.fft.fft2(values.mean(axis=2))) ** 2
    y, x = (np.fft.fftfreq(size) for size in values.shape[:2])
    radius = np.hypot(*np.meshgrid(y, x, indexing="ij"))
    edges = np.linspace(0, 0.5, bands + 1)
    inside = itertools.pairwise(edges)
    return np.array([power[(radius >= low) & (radius < high)].mean() for low, high in inside])


def given_back(restored, original, share=1.0):
    return give_grain_back(restored.copy(), original, share) - restored


def test_all_grain_comes_back_with_its_variance_by_brightness_and_its_spectrum():
    clean = scene()
    noise = grainy(clean)
    grain = given_back(clean, clean + noise)
    for low, high in ((0.2, 0.35), (0.35, 0.5), (0.5, 0.65), (0.7, 0.8)):
        where = (clean >= low) & (clean < high)
        assert grain[where].std() == pytest.approx(noise[where].std(), rel=0.06)
    assert spectrum(grain)[2:] == pytest.approx(spectrum(noise)[2:], rel=0.1)
    assert np.corrcoef(grain.ravel(), noise.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("blur", [0.6, 1.0])
def test_coarser_grain_comes_back_too(blur):
    clean = scene(num_channels=1)
    noise = cv2.GaussianBlur(grainy(clean)[..., 0], (0, 0), blur)[..., None]
    grain = given_back(clean, clean + noise)
    assert grain.std() == pytest.approx(noise.std(), rel=0.15)
    assert spectrum(grain)[2:6] == pytest.approx(spectrum(noise)[2:6], rel=0.25)


def test_blur_that_was_taken_away_does_not_come_back():
    clean = scene()
    noise = grainy(clean)
    blurred = cv2.GaussianBlur(clean, (0, 0), 1.5)
    grain = given_back(clean, blurred + noise)
    lost = blurred - clean
    edges = np.abs(lost) > 0.05
    assert edges.mean() > 0.005
    assert abs((grain * lost)[edges].mean()) < 0.15 * np.square(lost[edges]).mean()
    assert grain[edges].std() < 1.35 * noise[edges].std()


def test_streaks_and_drops_do_not_come_back():
    clean = scene()
    noise, streaks = grainy(clean, slope=0), np.zeros_like(clean)
    for column in range(10, 300, 35):
        cv2.line(streaks, (column, 20), (column + 9, 90), (0.4, 0.4, 0.4), 2)
    grain = given_back(clean, clean + streaks + noise)
    where = streaks > 0
    assert grain[where].mean() < 0.1 * 0.4
    assert grain[where].std() < 1.5 * noise.std()
    assert grain[~where].std() == pytest.approx(noise.std(), rel=0.1)


def test_what_the_result_has_kept_of_the_grain_is_not_doubled():
    clean = scene()
    noise = grainy(clean)
    restored = clean + 0.4 * noise
    result = give_grain_back(restored.copy(), clean + noise, 1.0)
    assert (result - clean).std() == pytest.approx(noise.std(), rel=0.12)


def test_half_of_it_is_half():
    clean = scene(160)
    whole, half = (given_back(clean, clean + grainy(clean), share) for share in (1.0, 0.5))
    assert half == pytest.approx(whole / 2, abs=1e-6)


def test_a_change_of_light_or_colour_is_no_grain():
    clean = scene()
    dark = clean * np.float32([0.4, 0.5, 0.6])
    assert np.abs(given_back(clean, dark)).mean() < 0.004


def test_equal_pictures_have_none():
    clean = (scene(100) * 255).astype(np.uint8)
    assert not measure_grain(clean, clean).deviations.any()
    assert np.array_equal(give_grain_back(clean.copy(), clean, 1.0), clean)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_integers_are_rounded_and_stay_within_their_range(kind):
    white = np.iinfo(kind).max
    clean = scene(120)
    clean[:40] = 1
    original = np.rint((clean + grainy(clean)).clip(0, 1) * white).astype(kind)
    restored = np.rint(clean * white).astype(kind)
    result = give_grain_back(restored.copy(), original, 1.0)
    assert result.dtype == kind
    middle = slice(70, None)
    returned = (result.astype(float) - restored)[middle] / white
    assert returned.std() == pytest.approx((original.astype(float) - restored)[middle].std() / white, rel=0.1)


def test_bands_leave_no_trace(monkeypatch):
    clean = scene(300, num_channels=1)
    original = clean + grainy(clean)
    whole = []
    for rows in (64, 1000):
        monkeypatch.setattr("ldrestore.images.grain.BAND_ROWS", rows)
        whole.append(given_back(clean, original))
    inside = slice(60, -60)  # near the border grain may be borrowed from another band's
    assert whole[0][inside] == pytest.approx(whole[1][inside], abs=2e-3)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 50, 3), (50, 2, 1)])
def test_small_pictures_pass(shape):
    pixels = np.random.default_rng(0).random(shape, dtype=np.float32)
    result = give_grain_back(pixels.copy(), pixels[::-1].copy(), 1.0)
    assert result.shape == shape and np.isfinite(result).all() and result.min() >= 0 and result.max() <= 1
