import pytest

from ldrestore.checkpoints.published_catalog import PUBLISHED_MODELS


@pytest.fixture
def offered(call, monkeypatch):
    """What a bash is offered for the last word of a line."""

    def ask(*words):
        monkeypatch.setenv("_LDRESTORE_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", " ".join(("ldrestore", *words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        result = call()
        monkeypatch.delenv("_LDRESTORE_COMPLETE")
        return result.stdout.split()

    return ask


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("resto",), ["restore"]),
        (("restore", "a", "b", "--engine", "ac"), ["accelerate"]),
        (("restore", "a.png", "b.png", "--model", "ldrestore-t"), ["ldrestore-tiny-stable", "ldrestore-tiny-xl"]),
        (("restore", "a.png", "b.png", "--degradation", "snow,ha"), ["snow,haze"]),
        (
            (
                "restore",
                "--keep-gr",
            ),
            ["--keep-grain"],
        ),
        (("degrade", "a.png", "b.png", "--recipe", "rain+jp"), ["rain+jpeg"]),
        (("info", "default-"), ["default-fast"]),
        (
            ("degrade", "a.png", "b.png", "--recipe", "cdd11/low_haze"),
            [f"cdd11/low_haze{s}" for s in ("", "_rain", "_snow")],
        ),
        (("convert", "moce_ir_"), ["moce_ir_s"]),
        (("convert", "fai"), ["faithdiff"]),
        (("fetch", "instructir_"), ["instructir_head"]),
        (("fetch", "met"), ["metrics"]),
    ],
)
def test_names_are_completed(offered, words, expected):
    assert offered(*words) == expected


def test_everything_that_can_be_fetched_is_offered(offered):
    assert set(PUBLISHED_MODELS.names()) < set(offered("fetch", ""))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_shown(call, monkeypatch, shell):
    monkeypatch.setattr("shellingham.detect_shell", lambda *_: (shell, f"/bin/{shell}"))
    result = call("--show-completion")
    assert result.exit_code == 0, result.output
    assert "_LDRESTORE_COMPLETE" in result.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("restore", "a", "b", "--model", "zzz"), []),
        (("restore", "a", "b", "--engine", ""), ["local", "onnx", "accelerate", "ray"]),
        (("restore", "a", "b", "--format", "w"), ["webp"]),
        (("restore", "a", "b", "--colour-fix", "wa"), ["wavelet"]),
        (("restore", "a", "b", "--dtype", "b"), ["bfloat16"]),
        (("degrade", "a", "b", "--recipe", "rain(density=0.5)+jp"), ["rain(density=0.5)+jpeg"]),
        (("restore", "a", "b", "--degradation", "rain=0.5,haze=0.2,low"), ["rain=0.5,haze=0.2,low_light"]),
        (("explain", "a", "--model", "default-"), ["default-fast"]),
        (("export", "default-"), ["default-fast"]),
        (("bench", "builtin", "--model", "default", "--model", "default-"), ["default-fast"]),
        (("app", "--model", "default-"), ["default-fast"]),
        (("replay", "--in"), ["--input"]),
        (("doc",), ["doctor"]),
    ],
)
def test_what_begins_a_word_is_offered_and_nothing_else(offered, words, expected) -> None:
    assert offered(*words) == expected


@pytest.mark.parametrize("words", [("restore", "--"), ("app", "--"), ("fetch", "--"), ("score", "--"), ("bench", "--")])
def test_every_command_offers_its_options(offered, words) -> None:
    options = offered(*words)
    assert "--help" in options and len(options) == len(set(options)) > 1
    assert all(option.startswith("--") for option in options)


def test_strange_beginnings_offer_nothing_and_break_nothing(offered) -> None:
    for word in ("$(touch", "*", ";", "\x1b[31m"):
        assert offered("restore", "a", "b", "--engine", word) == []
