import numpy as np

from ldrestore.degradations.raindrop import raindrop


def test_a_dry_lens_changes_nothing(picture):
    assert np.array_equal(raindrop(picture, density=0, max_radius=10, generator=np.random.default_rng(0)), picture)


def test_drops_cover_parts_and_leave_the_rest(picture):
    wet = raindrop(picture, density=20, max_radius=8, generator=np.random.default_rng(1))
    is_touched = np.abs(wet - picture).max(axis=-1) > 0
    assert 0.01 < is_touched.mean() < 0.6


def test_a_drop_shows_its_surroundings_upside_down():
    """Over a picture that is bright above and dark below, drops are dark above and bright below."""
    rows = np.linspace(1.0, 0.0, 120, dtype=np.float32)
    image = np.repeat(np.repeat(rows[:, None, None], 120, axis=1), 3, axis=2)
    slopes = []
    for seed in range(12):
        wet = raindrop(image, density=1, max_radius=24, generator=np.random.default_rng(seed))
        is_touched = np.abs(wet - image).max(axis=-1) > 0.02
        if is_touched.sum() < 200:
            continue
        change = (wet - image)[..., 0][is_touched]
        slopes.append(np.corrcoef(np.nonzero(is_touched)[0], change)[0, 1])
    assert len(slopes) >= 4
    assert np.median(slopes) > 0.3


def test_denser_drops_cover_more(picture):
    covered = []
    for density in (5, 40):
        wet = [raindrop(picture, density=density, max_radius=8, generator=np.random.default_rng(s)) for s in range(8)]
        covered.append(np.mean([np.abs(one - picture).max(axis=-1) > 0 for one in wet]))
    assert covered[1] > 2 * covered[0]
