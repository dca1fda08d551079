from dataclasses import fields

import cv2
import numpy as np
import pytest
import skimage.data

from ldrestore.datasets.intact import (
    KINDS,
    DarkeningConfig,
    IntactConfig,
    IntactShares,
    draw_intact,
    with_black_point,
    with_gamma,
)
from ldrestore.errors import ConfigError


@pytest.fixture(scope="module")
def photograph():
    """(96, 120, 3) uint8."""
    return cv2.resize(skimage.data.astronaut(), (120, 96), interpolation=cv2.INTER_AREA)


def only(name):
    return IntactShares(**{field.name: float(field.name == name) for field in fields(IntactShares)})


def intact(photograph, name, *, seeds=12):
    return [draw_intact(photograph, only(name), np.random.default_rng(seed)) for seed in range(seeds)]


def test_every_share_has_its_kind():
    assert [field.name for field in fields(IntactShares)] == list(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_pictures_keep_their_shape_and_follow_from_the_seed(photograph, name):
    results = intact(photograph, name)
    assert all(result.shape == photograph.shape and result.dtype == np.uint8 for result in results)
    assert all(np.array_equal(*pair) for pair in zip(results, intact(photograph, name), strict=True))
    assert not np.array_equal(results[0], results[1])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("shape", [(8, 8, 3), (9, 33, 3)])
def test_small_and_flat_pictures_are_taken(name, shape):
    for value in (0, 255):
        for seed in range(4):
            assert draw_intact(np.full(shape, value, np.uint8), only(name), np.random.default_rng(seed)).shape == shape


@pytest.mark.parametrize("name", ["night", "dark"])
def test_dark_kinds_are_darker(photograph, name):
    means = [result.mean() for result in intact(photograph, name)]
    assert np.median(means) < 0.7 * photograph.mean()


def test_silhouettes_are_black_and_bright(photograph):
    results = intact(photograph, "silhouette")
    assert np.median([(result.max(axis=2) < 40).mean() for result in results]) > 0.2
    assert np.median([np.percentile(result, 98) for result in results]) > 200


def test_drawings_have_few_colours(photograph):
    counts = [len(np.unique(result.reshape(-1, 3) // 32, axis=0)) for result in intact(photograph, "drawing")]
    assert np.median(counts) < len(np.unique(photograph.reshape(-1, 3) // 32, axis=0))


def test_grain_has_no_colour_of_its_own(photograph):
    grey = np.full((64, 64, 3), 128, np.uint8)
    for result in intact(grey, "grain"):
        noise = result.astype(np.float32) - result.mean(axis=(0, 1))
        assert 1.5 < noise.std() < 16
        assert np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1] > 0.85


def test_screens_hold_flat_grounds(photograph):
    flat = [(np.diff(result.astype(int), axis=1) == 0).mean() for result in intact(photograph, "screen")]
    assert np.median(flat) > 0.4


def test_gamma_keeps_black_and_white():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    darker = with_gamma(ramp, 2.0)
    assert darker[0, 0, 0] == 0 and darker[-1, 0, 0] == 255 and darker[128, 0, 0] == 64
    assert np.array_equal(with_gamma(ramp, 1.0), ramp)


def test_the_darkest_hundredth_becomes_black_and_white_stays():
    flat = np.repeat(np.linspace(80, 255, 64).astype(np.uint8)[None, :, None], 64, axis=0).repeat(3, axis=2)
    stretched = with_black_point(flat, amount=1.0)
    assert stretched.min() == 0 and stretched.max() == 255
    halfway = with_black_point(flat, amount=0.5)
    assert 0 < halfway.min() < 80
    assert np.array_equal(with_black_point(stretched, amount=1.0), stretched)


def test_tones_are_for_the_named_pictures_and_clean_ones_have_a_name():
    darkening = DarkeningConfig(probability=1.0, names=("haze", "clean"))
    assert darkening.applies_to({"haze", "rain"}) and darkening.applies_to(set())
    assert not darkening.applies_to({"rain"})
    assert DarkeningConfig(probability=1.0).applies_to({"rain"})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IntactShares(night=-1), "must not be negative"),
        (lambda: IntactShares(**{name: 0.0 for name in KINDS}), "one above 0"),
        (lambda: IntactConfig(weight=-1), "weight >= 0"),
        (lambda: IntactConfig(under_damage=2), r"under_damage in \[0, 1\]"),
        (lambda: DarkeningConfig(probability=2), "darkening: expected probability"),
        (lambda: DarkeningConfig(probability=1, gamma=(2, 1)), "low first"),
    ],
)
def test_wrong_configurations_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
