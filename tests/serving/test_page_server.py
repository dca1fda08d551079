"""A page that cannot begin says why."""

from types import SimpleNamespace

import pytest

from ldrestore.errors import ConfigError
from ldrestore.serving.page_server import _launch


def blocks_that_raise(error):
    """Stands for gradio's, whose launch fails."""

    def launch(**options):
        raise error

    return SimpleNamespace(launch=launch)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError("Cannot find empty port"), "cannot listen at 127.0.0.1"),
        (
            ValueError("When localhost is not accessible, a shareable link must be created."),
            "too busy just now, or a proxy",
        ),
    ],
)
def test_a_page_that_cannot_begin_says_so_in_plain_words(make_studio, error, words):
    studio = make_studio()
    with pytest.raises(ConfigError, match=words):
        _launch(blocks_that_raise(error), studio.settings, studio)


def test_other_errors_stay_what_they_are(make_studio):
    studio = make_studio()
    with pytest.raises(ValueError, match="another"):
        _launch(blocks_that_raise(ValueError("another")), studio.settings, studio)
