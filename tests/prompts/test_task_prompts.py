import pytest

from ldrestore.degradations.recipes import list_degradations
from ldrestore.errors import UnknownNameError
from ldrestore.prompts.task_prompts import task_prompt
from ldrestore.structures import MPERCEIVER_SET


def test_several_tasks_make_one_sentence_in_their_order():
    assert task_prompt(["rain", "haze"]) == "remove the rain, and remove the haze"
    assert task_prompt([]) == ""


def test_every_degradation_of_photographs_has_one():
    for name in (*MPERCEIVER_SET, "jpeg", "downscale", "poisson_noise", "gaussian_blur"):
        assert name in list_degradations() or name in MPERCEIVER_SET
        assert task_prompt([name])


def test_an_unknown_one_is_refused_with_what_is_near():
    with pytest.raises(UnknownNameError, match="rain"):
        task_prompt(["rains"])
