"""Which guides are the same, in what others differ, and what a header may say."""

import logging
from contextlib import suppress
from dataclasses import replace

import pytest
from transformers.utils import logging as transformers_logging

from ldrestore.guides.guide_identity import GuideIdentity
from ldrestore.guides.loading_quietly import without_load_report, without_progress_bar

GUIDE = GuideIdentity(name="owner/guide", sha256="a" * 64, question="What is wrong?", shape=(3, 8))


@pytest.mark.parametrize(
    "other",
    [
        replace(GUIDE, name="another/name"),
        replace(GUIDE, name="guide", sha256=None),
        replace(GUIDE, name="mirror/guide", sha256=None),
    ],
    ids=["the same weights", "a folder of that name", "another owner"],
)
def test_the_same_weights_or_where_they_are_unknown_the_same_name_are_the_same_guide(other) -> None:
    assert GUIDE.differences(other) == other.differences(GUIDE) == []


def test_each_difference_is_told_from_the_side_of_the_one_that_was_expected() -> None:
    expected = GuideIdentity(name="owner/guide", sha256="b" * 64, question=None, shape=(8,))
    assert GUIDE.differences(expected) == [
        "made by owner/guide (sha256 aaaaaaaaaaaa), expected owner/guide (sha256 bbbbbbbbbbbb)",
        "made with the question 'What is wrong?', expected None",
        "of shape (3, 8), expected (8,)",
    ]
    (difference,) = GUIDE.differences(replace(GUIDE, name="owner/other", sha256=None))
    assert difference == "made by owner/guide (sha256 aaaaaaaaaaaa), expected owner/other"


@pytest.mark.parametrize("identity", [GUIDE, GuideIdentity(name="clip", sha256=None, question=None, shape=(16,))])
def test_plain_values_give_the_identity_back(identity) -> None:
    values = identity.as_dict()
    assert values["width"] == identity.width == identity.shape[-1] and values["shape"] == list(identity.shape)
    assert GuideIdentity.from_dict(values) == identity


@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"sha256": 5},
        {"question": ["a"]},
        {"shape": None},
        {"shape": []},
        {"shape": [3, 0]},
        {"shape": [3, 8.0]},
        {"shape": [True, 8]},
        {"shape": "38"},
    ],
)
def test_values_of_another_type_are_refused(change) -> None:
    with pytest.raises(ValueError, match="expected name, sha256, question and shape of a guide"):
        GuideIdentity.from_dict({**GUIDE.as_dict(), **change})


@pytest.mark.parametrize("is_enabled", [True, False])
def test_progress_bars_are_as_before_even_after_a_failure(is_enabled) -> None:
    was_enabled = transformers_logging.is_progress_bar_enabled()
    try:
        (transformers_logging.enable_progress_bar if is_enabled else transformers_logging.disable_progress_bar)()
        with suppress(RuntimeError), without_progress_bar():
            assert not transformers_logging.is_progress_bar_enabled()
            raise RuntimeError
        assert transformers_logging.is_progress_bar_enabled() == is_enabled
    finally:
        (transformers_logging.enable_progress_bar if was_enabled else transformers_logging.disable_progress_bar)()


def test_the_report_of_loading_is_silent_and_warnings_come_back_even_after_a_failure() -> None:
    verbosity = transformers_logging.get_verbosity()
    try:
        transformers_logging.set_verbosity(logging.INFO)
        with suppress(RuntimeError), without_load_report():
            assert transformers_logging.get_verbosity() == logging.ERROR
            raise RuntimeError
        assert transformers_logging.get_verbosity() == logging.INFO
    finally:
        transformers_logging.set_verbosity(verbosity)
