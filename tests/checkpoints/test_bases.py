"""Base models are found by name, repository or mirror."""

import pytest

from ldrestore.checkpoints.bases import BASES, find_base


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.name)
def test_a_base_is_found_by_all_of_its_names(base):
    assert all(find_base(name) is base for name in (base.name, base.repository, *base.mirrors))


def test_no_name_is_that_of_two_bases():
    names = [name for base in BASES for name in (base.name, base.repository, *base.mirrors)]
    assert len(set(names)) == len(names)


def test_another_base_is_not_known():
    assert find_base("runwayml/stable-diffusion-v1-5") is None and find_base("") is None


def test_what_a_file_does_not_tell_is_known_of_every_base():
    assert {base.prediction_type for base in BASES} <= {"epsilon", "v_prediction"}
    assert all(base.resolution % 64 == 0 and base.licence for base in BASES)
