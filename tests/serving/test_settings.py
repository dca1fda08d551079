import pytest

from ldrestore.errors import ConfigError
from ldrestore.serving.settings import PageSettings


def test_it_listens_to_this_machine_alone_unless_told():
    settings = PageSettings()
    assert (settings.host, settings.user) == ("127.0.0.1", None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"port": 70_000}, "port must lie in"),
        ({"max_pixels": 0}, "max_pixels must be positive"),
        ({"keep_seconds": float("nan")}, "keep_seconds must be positive"),
        ({"user": "ann"}, "a user needs a password"),
        ({"user": "ann", "password": ""}, "neither empty"),
        ({"devices": ()}, "devices must name at least one"),
    ],
)
def test_wrong_settings_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        PageSettings(**changes)
