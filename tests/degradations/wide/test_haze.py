"""Haze as it measures on real sets: hazy regressed on clear."""

import numpy as np
import pytest

from ldrestore.degradations.wide.depth import depth_along_edges, hills, mixed
from ldrestore.degradations.wide.haze import haze_wide


def line_of(lq, gt):
    """Slope, air light and share of the variance of lq regressed on gt."""
    slope, offset = np.polyfit(gt.ravel(), lq.ravel(), 1)
    return slope, offset / (1 - slope), np.corrcoef(gt.ravel(), lq.ravel())[0, 1] ** 2


def test_indoor_haze_lies_inside_what_is_drawn(photographs):
    """SOTS indoor: slope 0.58 to 0.85, air light 0.93 to 1.6 with median 1.06, r2 0.88."""
    lines = []
    for seed, gt in photographs * 3:
        generator = np.random.default_rng([seed, len(lines)])
        dark = gt ** np.float32(generator.uniform(1.0, 2.4))
        lines.append(line_of(haze_wide(dark, strength=generator.uniform(0.25, 0.55), generator=generator), dark))
    slopes, airs, shares = np.percentile(lines, [5, 50, 95], axis=0).T
    assert slopes[0] < 0.58 and slopes[2] > 0.82
    assert airs[0] < 0.7 and 0.8 < airs[1] < 1.1 and airs[2] > 1.06
    assert shares[0] < 0.8 and shares[1] > 0.88


def test_air_light_may_lie_beyond_white_and_be_coloured():
    black = np.zeros((32, 32, 3), np.float32)
    results = np.stack(
        [haze_wide(black, strength=0.95, generator=np.random.default_rng(seed)).mean((0, 1)) for seed in range(80)]
    )
    assert (results.min(axis=1) > 0.95).mean() > 0.05
    assert (results.mean(axis=1) < 0.7).mean() > 0.05
    assert (np.ptp(results, axis=1) > 0.08).mean() > 0.05


def test_depth_changes_where_the_picture_does():
    """A step between two flat halves: what changes across the step is more than what changes beside it."""
    image = np.full((96, 96, 3), 0.2, np.float32)
    image[:, 48:] = 0.8
    across, beside = [], []
    for seed in range(60):
        depth = depth_along_edges(image, generator=np.random.default_rng(seed))
        assert depth.shape == (96, 96) and depth.dtype == np.float32
        assert depth.min() >= 0 and depth.max() <= 1
        steps = np.abs(np.diff(depth, axis=1)).mean(axis=0)
        across.append(steps[47])
        beside.append(np.delete(steps, 47).mean())
    assert np.mean(across) > 5 * np.mean(beside)


def test_mixing_is_the_scattering_formula():
    generator = np.random.default_rng(0)
    image, through = generator.random((5, 7, 3), np.float32), generator.random((5, 7), np.float32)
    for air in (generator.random(3, np.float32), generator.random((5, 7, 3), np.float32)):
        expected = image * through[..., None] + air * (1 - through[..., None])
        assert np.allclose(mixed(image, air, through), expected, atol=1e-6)


def test_hills_fill_their_range():
    field = hills(20, 31, cells=3, generator=np.random.default_rng(0))
    assert field.shape == (20, 31) and field.min() == 0 and field.max() == 1


def test_what_is_near_is_often_nearly_clear_where_what_is_far_is_not(photographs):
    """SOTS indoor: the darkest hundredth of a hazy room lies 0.1 below its darkest tenth, in what is near."""
    shares = []
    for seed, gt in photographs * 2:
        generator = np.random.default_rng([seed, len(shares)])
        depth = depth_along_edges(gt, generator=generator)
        shares.append([(depth < 0.05).mean(), (depth > 0.95).mean()])
    near, far = np.mean(shares, axis=0)
    assert near > 0.02 and far > 0.02
    gaps = []
    for seed, gt in photographs * 2:
        black = np.zeros_like(gt)
        hazy = haze_wide(black, strength=0.5, generator=np.random.default_rng([seed, len(gaps)])).min(axis=2)
        gaps.append(np.quantile(hazy, 0.9) - np.quantile(hazy, 0.1))
    assert np.median(gaps) > 0.15


def transmissions(strength: float, *, gamma: float, seeds: int = 40) -> np.ndarray:
    """Mean transmission of each draw, if haze is composed in code values to the power gamma: (seeds,)."""
    means = []
    for seed in range(seeds):
        low, high = (
            haze_wide(np.full((40, 52, 3), value, np.float32), strength=strength, generator=np.random.default_rng(seed))
            for value in (0.1, 0.4)
        )
        means.append(np.mean(high**gamma - low**gamma) / (0.4**gamma - 0.1**gamma))
    return np.array(means)


@pytest.mark.parametrize("strength", [0.2, 0.5])
def test_the_mean_share_of_air_light_is_that_of_the_strength_in_code_values_and_in_light(strength: float) -> None:
    """0.02 + 0.95 s^1.4, and where light is added that to the power 1.5: three and one of four draws."""
    share = 0.02 + 0.95 * strength**1.4
    in_code = np.abs(transmissions(strength, gamma=1.0) - (1 - share)) < 0.01
    in_light = np.abs(transmissions(strength, gamma=2.2) - (1 - share**1.5)) < 0.01
    assert 0.4 < in_code.mean() < 0.8 and 0.1 < in_light.mean() < 0.45
    assert not (in_code & in_light).any()


def test_no_depth_is_farther_than_all_and_none_nearer_than_nothing(photographs) -> None:
    """Haze between two grounds keeps their order and never turns a picture over."""
    for seed, gt in photographs[:8]:
        dark, bright = (
            haze_wide(np.full_like(gt, value), strength=0.7, generator=np.random.default_rng(seed))
            for value in (0.2, 0.7)
        )
        assert (bright >= dark - 1e-5).all()


def test_haze_takes_what_is_bright_or_what_is_dark_for_far(photographs) -> None:
    """Depth made from brightness alone would correlate with it in one sense; over the draws both occur."""
    correlations = []
    for seed, gt in photographs:
        depth = depth_along_edges(gt, generator=np.random.default_rng(seed))
        correlations.append(np.corrcoef(depth.ravel(), gt.mean(axis=2).ravel())[0, 1])
    assert min(correlations) < -0.3 and max(correlations) > 0.3


def test_flat_and_tiny_pictures_have_a_depth_too() -> None:
    for shape in ((1, 1, 3), (1, 70, 3), (3, 2, 3), (64, 64, 3)):
        for seed in range(12):
            depth = depth_along_edges(np.full(shape, 0.5, np.float32), generator=np.random.default_rng(seed))
            assert depth.shape == shape[:2] and np.isfinite(depth).all() and 0 <= depth.min() <= depth.max() <= 1
