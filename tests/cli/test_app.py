"""What the words of `ldrestore app` become; the page itself is another room's."""

import contextlib
import signal
import sys
from types import SimpleNamespace

import pytest

PASSWORD = "LDRESTORE_APP_PASSWORD"


@pytest.fixture
def opened(monkeypatch):
    """Settings of the pages that were opened; each is closed at once."""
    settings = []

    @contextlib.contextmanager
    def serving(one):
        settings.append(one)
        yield "http://127.0.0.1:7860/"

    def wait():
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "ldrestore.serving.page_server", SimpleNamespace(serving=serving))
    monkeypatch.setattr("ldrestore.cli.app.threading.Event", lambda: SimpleNamespace(wait=wait))
    monkeypatch.delenv(PASSWORD, raising=False)
    before = signal.getsignal(signal.SIGTERM)
    yield settings
    signal.signal(signal.SIGTERM, before)


def test_words_become_settings_in_plain_units(call, opened, tmp_path) -> None:
    words = ("--max-upload", "0.5", "--max-megapixels", "1.5", "--max-disk", "2", "--keep", "0.5", "--max-waiting", "3")
    result = call("app", *words, "--max-batch", "4", "--models", tmp_path, "--device", " cuda:0, cpu ,", "--port", "0")
    assert result.exit_code == 0, result.stderr
    (settings,) = opened
    assert (settings.max_upload_bytes, settings.max_pixels) == (500_000, 1_500_000)
    assert (settings.max_disk_bytes, settings.keep_seconds) == (2_000_000_000, 30.0)
    assert (settings.max_waiting, settings.max_batch, settings.port) == (3, 4, 0)
    assert (settings.devices, settings.models_folder) == (("cuda:0", "cpu"), tmp_path)
    assert (settings.host, settings.user, settings.password) == ("127.0.0.1", None, None)
    assert "ldrestore listens at http://127.0.0.1:7860/" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--max-upload", "inf"), "--max-upload takes a number, got inf"),
        (("--max-upload", "nan"), "--max-upload"),
        (("--max-megapixels", "inf"), "--max-megapixels takes a number"),
        (("--max-disk", "1e308"), "--max-disk takes a number, got inf"),
        (("--keep", "nan"), "keep"),
        (("--max-upload", "0"), "0.001"),
        (("--max-waiting", "0"), "--max-waiting"),
        (("--port", "70000"), "65535"),
        (("--device", " , "), "devices must name at least one"),
        (("--dtype", "float8"), "float32"),
        (("--user", "ann"), f"--user needs a password; set {PASSWORD}"),
        (("--user", ""), "neither empty"),
    ],
)
def test_a_page_that_cannot_be_is_a_wrong_call(call, opened, monkeypatch, words, message) -> None:
    if words == ("--user", ""):
        monkeypatch.setenv(PASSWORD, "secret")
    result = call("app", *words)
    assert result.exit_code == 2 and message in result.stderr
    assert opened == [] and "Traceback" not in result.stderr


def test_the_password_comes_from_the_environment_and_is_not_shown(call, opened, monkeypatch) -> None:
    monkeypatch.setenv(PASSWORD, "very secret")
    result = call("app", "--user", "ann", "--host", "0.0.0.0")
    assert result.exit_code == 0 and (opened[0].user, opened[0].password) == ("ann", "very secret")
    assert "very secret" not in result.output and "warning" not in result.stderr


@pytest.mark.parametrize(("host", "is_warned"), [("0.0.0.0", True), ("192.168.0.7", True), ("localhost", False)])
def test_a_page_for_everybody_is_warned_of(call, opened, monkeypatch, host, is_warned) -> None:
    monkeypatch.setenv(PASSWORD, "of nobody")
    result = call("app", "--host", host)
    assert result.exit_code == 0 and opened[0].password is None  # without a user there is none
    assert ("everybody who reaches this machine" in result.stderr) is is_warned


def test_without_gradio_the_extra_is_named(call, opened, monkeypatch) -> None:
    def find_spec(name):
        assert name == "gradio"

    monkeypatch.setattr("ldrestore.serving.settings.importlib.util.find_spec", find_spec)
    result = call("app")
    assert result.exit_code == 1 and "pip install 'ldrestore[app]'" in result.stderr
    assert opened == []


@pytest.mark.skipif(sys.platform == "win32", reason="it knows no such signal")
def test_the_end_of_a_service_is_as_by_hand(call, opened) -> None:
    assert call("app").exit_code == 0
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
