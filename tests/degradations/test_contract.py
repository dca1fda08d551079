"""What holds for every degradation of the catalogue."""

import inspect

import numpy as np
import pytest

from ldrestore.degradations.catalog import DEGRADATIONS, MIXTURES
from ldrestore.degradations.recipes import list_degradations, parameters_of
from ldrestore.registry import resolve

NAMES = list_degradations()
WITHOUT_CHANCE = {"jpeg"}
"""Degradations that draw nothing."""


@pytest.mark.parametrize("name", [*NAMES, *MIXTURES])
def test_the_same_seed_gives_the_same_picture(picture, degraded, name):
    assert np.array_equal(degraded(picture, name, seed=3), degraded(picture, name, seed=3))


@pytest.mark.parametrize("name", NAMES)
def test_seeds_differ_where_chance_plays(picture, degraded, name):
    results = [degraded(picture, name, severity=0.7, seed=seed) for seed in range(5)]
    are_all_equal = all(np.array_equal(results[0], other) for other in results[1:])
    assert are_all_equal == (name in WITHOUT_CHANCE)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (16, 16), (5, 131), (33, 17)])
@pytest.mark.parametrize("name", NAMES)
def test_shape_type_and_range_are_kept_and_the_input_is_not_changed(degraded, name, shape):
    image = np.random.default_rng(1).random((*shape, 3), dtype=np.float32)
    image.flags.writeable = False
    for severity in (0.0, 0.5, 1.0):
        result = degraded(image, name, severity=severity)
        assert result.shape == image.shape and result.dtype == np.float32
        assert np.isfinite(result).all() and result.min() >= 0 and result.max() <= 1


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_black_and_white_pictures_stay_in_range(degraded, grey, name, value):
    result = degraded(grey(value, 24, 24), name, severity=1.0)
    assert np.isfinite(result).all() and result.min() >= 0 and result.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_severity_sets_exactly_the_physical_parameters(name):
    parameters = inspect.signature(resolve(DEGRADATIONS.get(name).target)).parameters
    assert next(iter(parameters)) == "image"
    assert all(parameters[key].kind is inspect.Parameter.KEYWORD_ONLY for key in list(parameters)[1:])
    assert set(parameters_of(name, 0.5)) == set(parameters) - {"image", "generator"}


@pytest.mark.parametrize("name", NAMES)
def test_physical_parameters_move_one_way_with_severity(name):
    curve = [parameters_of(name, severity) for severity in np.linspace(0, 1, 21)]
    moving = 0
    for key in curve[0]:
        values = [point[key] for point in curve]
        if len(set(values)) > 1:
            steps = np.diff(values)
            assert (steps > 0).all() or (steps < 0).all()
            moving += 1
    assert moving > 0
