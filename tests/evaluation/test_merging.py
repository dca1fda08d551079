from dataclasses import replace

import pytest

from ldrestore.errors import InputError
from ldrestore.evaluation.merging import merged
from tests.model_results import model_results

FIGURES = {"rain": {"a": (20.0, 25.0), "b": (20.0, 26.0)}}
OTHERS = {"rain": {"a": (20.0, 24.0), "b": (20.0, 24.0)}}


def test_contestants_that_were_measured_apart_are_compared():
    both = merged([model_results(FIGURES, model="one"), model_results(OTHERS, model="two")])
    assert [row.name for row in both.contestants] == ["input", "one", "two"]
    assert len(both.outputs) == 6 and len(both.pictures) == 2
    found = {(row.first, row.second): row.difference for row in both.comparisons}
    assert found["one", "two"] == -1.5
    assert merged([both]) == both


def test_what_does_not_go_together_is_refused():
    one = model_results(FIGURES, model="one")
    with pytest.raises(InputError, match="one is another contestant in each of the files"):
        merged([one, model_results(FIGURES, model="one", identity="y")])
    with pytest.raises(InputError, match="of the suites"):
        merged([one, replace(one, suite="other")])
    with pytest.raises(InputError, match="nothing to merge"):
        merged([])
