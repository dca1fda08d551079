"""The embedded model of the XL track, as it lies in the package, from the command line and offline."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

NAME = "ldrestore-tiny-xl"
Call = Callable[..., Result]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_it_restores_by_its_name_told_and_untold(call: Call, picture: Callable[..., Path], tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png")
    records = []
    for name, words in (
        ("plain", ()),
        ("told", ("--degradation", "low_light")),
        ("said", ("--instruction", "make the dark picture bright")),
    ):
        result = tmp_path / f"{name}.png"
        done = call("restore", source, result, "--model", NAME, "--steps", 1, "--seed", 3, "--device", "cpu", *words)
        assert done.exit_code == 0, done.stderr
        assert result.is_file()
        records.append(result.read_bytes())
    assert len(set(records)) == 3


def test_info_tells_its_track_and_what_it_was_trained_by(call: Call) -> None:
    facts = json.loads(call("info", NAME, "--json").stdout)
    assert facts["provenance"]["weights_licence"] == "Apache-2.0"
    assert facts["provenance"]["runs"][0]["trainer"] == "backbone"
    assert "rain" in call("info", NAME).stdout


def test_its_experts_and_its_alignment_are_drawn(call: Call, picture: Callable[..., Path], tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png", height=32, width=32)
    done = call(
        "explain", source, "--model", NAME, "--steps", 2, "--seed", 1, "--device", "cpu", "--out", tmp_path / "why"
    )
    assert done.exit_code == 0, done.stderr
    assert {"alignment.png", "expert_choice.png"} <= {path.name for path in (tmp_path / "why").rglob("*.png")}
