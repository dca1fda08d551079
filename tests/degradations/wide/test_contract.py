"""What must hold for every training form."""

import inspect

import numpy as np
import pytest

from ldrestore.degradations.catalog import DEGRADATIONS, TRAINING_FORMS, counted_name, step_record
from ldrestore.degradations.recipes import in_physical_order, list_degradations, parameters_of, parse_recipe
from ldrestore.errors import InputError, UnknownNameError
from ldrestore.registry import resolve

NAMES = TRAINING_FORMS.names()


@pytest.mark.parametrize("name", NAMES)
def test_a_form_counts_as_a_degradation_and_stands_in_its_place(name):
    record = TRAINING_FORMS.get(name)
    assert name == f"{record.counts_as}_wide"
    assert record.order == DEGRADATIONS.get(record.counts_as).order and record.source
    assert counted_name(name) == record.counts_as and step_record(name) is record
    assert name not in list_degradations()


def test_a_degradation_counts_as_itself():
    assert [counted_name(name) for name in list_degradations()] == list_degradations()
    assert in_physical_order(["haze_wide", "rain_wide"]) == ["rain_wide", "haze_wide"]
    with pytest.raises(UnknownNameError, match="unknown degradation 'fog'"):
        counted_name("fog")


@pytest.mark.parametrize("name", NAMES)
def test_its_one_parameter_is_the_strength(name):
    function, parameters = (
        resolve(TRAINING_FORMS.get(name).target),
        resolve(f"{TRAINING_FORMS.get(name).target}_parameters"),
    )
    assert function.__name__ == name and inspect.getdoc(function) and inspect.getdoc(parameters)
    assert set(inspect.signature(function).parameters) == {"image", "strength", "generator"}
    assert parameters_of(name, 0.3) == {"strength": 0.3}
    assert str(parse_recipe(f"{name}(strength=0.2)")) == f"{name}(strength=0.2)"
    with pytest.raises(InputError, match=r"strength of .* must lie in \[0, 1\]"):
        parse_recipe(f"{name}(strength=2)")


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_and_nothing_else_decides(picture, degraded, name):
    first = degraded(picture, name, severity=0.6, seed=3)
    np.random.seed(1)
    assert np.array_equal(first, degraded(picture, name, severity=0.6, seed=3))
    assert not np.array_equal(first, degraded(picture, name, severity=0.6, seed=4))


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (16, 16), (5, 131), (33, 17)])
@pytest.mark.parametrize("name", NAMES)
def test_shape_type_and_range_are_kept_and_the_input_is_not_changed(degraded, name, shape):
    image = np.random.default_rng(1).random((*shape, 3), dtype=np.float32)
    image.flags.writeable = False
    for seed in range(12):
        result = degraded(image, name, severity=(0.0, 0.5, 1.0)[seed % 3], seed=seed)
        assert result.shape == image.shape and result.dtype == np.float32
        assert np.isfinite(result).all() and result.min() >= 0 and result.max() <= 1


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_black_and_white_pictures_stay_in_range(degraded, grey, name, value):
    for seed in range(6):
        result = degraded(grey(value, 24, 24), name, severity=1.0, seed=seed)
        assert np.isfinite(result).all() and result.min() >= 0 and result.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_strength_runs_from_a_breath_to_much(degraded, photographs, name):
    errors = [
        np.mean([np.abs(degraded(gt, name, severity=severity, seed=seed) - gt).mean() for seed, gt in photographs])
        for severity in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert errors == sorted(errors), errors
    assert errors[0] < 0.03 and errors[-1] > 3 * errors[0]
