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


def test_a_name_far_from_all_others_gets_the_whole_list() -> None:
    registry = Registry("thing")
    for name in ("Alpha", "beta"):
        registry.register(record(name))
    with pytest.raises(UnknownNameError, match="unknown thing 'zzzzzz'; known: Alpha, beta"):
        registry.get("zzzzzz")
    with pytest.raises(UnknownNameError, match="did you mean 'Alpha'"):
        registry.get("ALPHA")  # names are told apart by case, and found without it
    assert "ALPHA" not in registry and "Alpha" in registry and None not in registry


def test_a_hostile_name_does_nothing_to_a_terminal() -> None:
    registry = Registry("thing")
    registry.register(record("alpha"))
    for name in ("\x1b[31malpha", "al\npha", "\udcff", ""):
        with pytest.raises(UnknownNameError) as refusal:
            registry.get(name)
        assert str(refusal.value).isprintable()


def test_a_target_that_is_not_there_is_a_fault_of_ours_and_not_hidden() -> None:
    with pytest.raises(ModuleNotFoundError):
        resolve("ldrestore.nothing:thing")
    with pytest.raises(AttributeError):
        resolve("ldrestore.registry:nothing")
