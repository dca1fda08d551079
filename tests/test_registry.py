import pytest

from ldrestore.errors import InputError, UnknownNameError
from ldrestore.registry import DegradationRecord, Registry, resolve


def record(name):
    return DegradationRecord(name=name, target="math:sqrt", order=0, source="none")


def test_records_come_back_by_name_and_in_order():
    registry = Registry("degradation")
    for name in ("rain", "haze"):
        registry.register(record(name))
    assert registry.names() == ["rain", "haze"]
    assert [entry.name for entry in registry] == ["rain", "haze"]
    assert registry.get("haze").name == "haze"
    assert "rain" in registry
    assert "fog" not in registry


def test_a_duplicate_is_refused_and_leaves_the_registry_unchanged():
    registry = Registry("degradation")
    first = registry.register(record("rain"))
    with pytest.raises(InputError, match="registered twice"):
        registry.register(record("rain"))
    assert registry.get("rain") is first


def test_an_unknown_name_gets_the_closest_ones():
    registry = Registry("degradation")
    registry.register(record("motion_blur"))
    with pytest.raises(UnknownNameError, match="unknown degradation 'motion_blurr'; did you mean 'motion_blur'"):
        registry.get("motion_blurr")


def test_targets_resolve_and_wrong_forms_are_refused():
    assert resolve("math:sqrt")(4.0) == 2.0
    with pytest.raises(InputError, match="module:attribute"):
        resolve("math.sqrt")
