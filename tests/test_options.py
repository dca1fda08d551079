"""Options are declared once: what words mean, what a call takes, what a record keeps."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pytest

from ldrestore.errors import InputError, UnknownNameError
from ldrestore.options import (
    FastRestoreOptions,
    Flag,
    Recorded,
    RestoreOptions,
    StableRestoreOptions,
    XLRestoreOptions,
    declared_options,
    given_options,
    make_options,
    read_mask,
    read_memory,
    read_tile,
    recorded_options,
)


@pytest.mark.parametrize(("text", "value"), [("auto", "auto"), ("off", "off"), ("64", 64), ("512", 512)])
def test_words_of_tile(text, value):
    assert read_tile(text) == value


@pytest.mark.parametrize("text", ["0", "-64", "100", "64.0", "Auto", "", "٦٤"])
def test_other_words_are_no_tile(text):
    with pytest.raises(InputError, match="--tile takes auto, off, or a multiple of 64"):
        read_tile(text)


@pytest.mark.parametrize("memory", [0.0, -1.0, float("inf"), float("nan")])
def test_a_memory_budget_is_a_positive_number(memory):
    assert read_memory(0.5) == 0.5
    with pytest.raises(InputError, match="--memory takes a positive number"):
        read_memory(memory)


def test_a_mask_is_a_file(tmp_path):
    with pytest.raises(InputError, match="no mask at"):
        read_mask(str(tmp_path))
    (tmp_path / "mask.png").write_bytes(b"")
    assert read_mask(str(tmp_path / "mask.png")) == tmp_path / "mask.png"


@dataclass(frozen=True, kw_only=True)
class OwnOptions(RestoreOptions):
    """Those of a track of one's own."""

    strength: Annotated[float, Flag(name="--strength", help="How much.", kind=float, shows_default=True)] = 0.5
    source: Annotated[Any, Recorded.HASH] = None
    hook: Annotated[Any, Recorded.NOTHING] = None


def test_a_field_declares_flag_default_and_record():
    options = {option.name: option for option in declared_options(OwnOptions)}
    assert list(options)[:3] == ["scale", "fidelity", "protect"] and list(options)[-1] == "hook"
    assert options["strength"].flag.name == "--strength" and options["strength"].shown_default == "0.5"
    assert (options["source"].flag, options["source"].recorded) == (None, Recorded.HASH)
    assert options["strength"].recorded is None


def test_a_record_keeps_values_hashes_or_nothing():
    record = recorded_options(OwnOptions(strength=0.25, hook=print), {"source": "abc", "protect": None, "scale": 2})
    assert record["strength"] == 0.25 and record["source_sha256"] == "abc" and record["scale"] == 2
    assert "hook" not in record and "source" not in record


def test_options_that_were_given_are_those_that_differ():
    array = np.zeros((2, 2))
    options = OwnOptions(strength=0.5, scale=2, source=array)
    assert set(given_options(options)) == {"scale", "source"}
    assert given_options(OwnOptions()) == {}
    assert given_options(OwnOptions(scale=1)) == {}


def test_an_unknown_option_is_named_with_the_closest_one():
    assert make_options(StableRestoreOptions, {"seed": 3}, owner="StableRestorePipeline").seed == 3
    with pytest.raises(UnknownNameError, match=r"unknown option of FastRestorePipeline 'fidelty'; did you mean"):
        make_options(FastRestoreOptions, {"fidelty": 1}, owner="FastRestorePipeline")


@pytest.mark.parametrize("given", [{"scale": 0}, {"scale": 9}, {"fidelity": 1.5}, {"fidelity": -0.1}])
def test_values_out_of_range_are_refused_in_every_track(given):
    for options_class in (FastRestoreOptions, StableRestoreOptions, OwnOptions):
        with pytest.raises(InputError):
            options_class(**given)


@pytest.mark.parametrize("value", ["0.5", None, True, float("nan"), float("inf"), [0.5], 1 + 0j, np.array([0.5, 0.5])])
@pytest.mark.parametrize("name", ["fidelity", "keep_grain"])
def test_a_share_is_a_number_and_nothing_else(name, value) -> None:
    with pytest.raises(InputError, match=rf"{name} must lie in \[0, 1\], got"):
        FastRestoreOptions(**{name: value})


@pytest.mark.parametrize("value", [0, 1, 0.25, np.float32(0.5), np.float64(1.0), np.int64(1)])
def test_numbers_of_other_packages_are_numbers(value) -> None:
    assert FastRestoreOptions(fidelity=value).fidelity == value


@pytest.mark.parametrize("value", [True, 2.0, "2", None, 0, 9, -1])
def test_a_scale_is_a_whole_number(value) -> None:
    with pytest.raises(InputError, match=r"scale must be a whole number in \[1, 8\]"):
        StableRestoreOptions(scale=value)


@pytest.mark.parametrize("text", ["9" * 5000, "1" * 10, "+64", "6_4", "64 ", "1e2"])
def test_words_that_are_no_plain_number_are_no_tile(text) -> None:
    with pytest.raises(InputError, match="--tile takes auto, off, or a multiple of 64"):
        read_tile(text)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"output_type": "pill"}, "did you mean 'pil'"),
        ({"colour_fix": "wavelets"}, "did you mean 'wavelet'"),
        ({"guidance_scale": 0.9}, "guidance_scale must be a number from 1 on, got 0.9"),
        ({"guidance_scale": float("inf")}, "guidance_scale must be a number from 1 on"),
    ],
)
def test_words_and_numbers_of_one_track_are_checked_there(given, words) -> None:
    with pytest.raises(InputError, match=words):
        XLRestoreOptions(**given)


def test_a_mask_at_no_possible_place_is_none(tmp_path) -> None:
    for path in ("a\0b", "n" * 5000, "", str(tmp_path / "gone.png")):
        with pytest.raises(InputError, match="no mask at"):
            read_mask(path)


@pytest.mark.parametrize("options_class", [FastRestoreOptions, StableRestoreOptions, XLRestoreOptions])
def test_flags_of_a_track_are_distinct_and_their_defaults_are_allowed(options_class) -> None:
    options = [option for option in declared_options(options_class) if option.flag is not None]
    names = [option.flag.name for option in options]
    assert len(names) == len(set(names)) and all(name.startswith("--") for name in names)
    for option in options:
        flag, default = option.flag, option.default
        if flag.minimum is not None and default is not None:
            assert flag.minimum <= default <= (flag.maximum if flag.maximum is not None else default)
        if flag.choices:
            assert default in flag.choices
        assert flag.help.endswith(".")


def test_one_flag_means_one_option_on_all_tracks() -> None:
    meanings: dict[str, set[str]] = {}
    for options_class in (FastRestoreOptions, StableRestoreOptions, XLRestoreOptions):
        for option in declared_options(options_class):
            if option.flag is not None:
                meanings.setdefault(option.flag.name, set()).add(option.name)
    assert {flag: options for flag, options in meanings.items() if len(options) > 1} == {}
