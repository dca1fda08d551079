from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from ldrestore.config import as_plain, build, load_config, set_override
from ldrestore.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float
    name: Literal["adamw", "sgd"] = "adamw"


@dataclass(frozen=True, kw_only=True)
class Other:
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner
    source: Inner | Other
    steps: int = 1
    sizes: tuple[int, ...] = ()
    span: tuple[float, float] = (0.0, 1.0)
    note: str | None = None


def test_yaml_and_overrides_fill_nested_dataclasses(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("inner: {rate: 1}\nsource: {folder: pictures}\nsizes: [1, 2]\n")
    config = load_config(Outer, path, ["inner.rate=2e-1", "steps=7", "note=hello"])
    assert config.inner == Inner(rate=0.2)
    assert config.source == Other(folder=Path("pictures"))
    assert (config.steps, config.sizes, config.note) == (7, (1, 2), "hello")


def test_plain_values_build_the_same_config_again():
    config = Outer(inner=Inner(rate=0.5), source=Other(folder=Path("a")), sizes=(3,))
    assert build(Outer, as_plain(config)) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inner": {"rate": 1}, "source": {"folder": "a"}, "stesp": 2}, "unknown key 'stesp'; did you mean 'steps'"),
        ({"source": {"folder": "a"}}, "missing inner"),
        ({"inner": {"rate": "fast"}, "source": {"folder": "a"}}, "inner: rate: expected float, got 'fast'"),
        ({"inner": {"rate": 1, "name": "adam"}, "source": {"folder": "a"}}, "expected one of .*'sgd'"),
        ({"inner": {"rate": True}, "source": {"folder": "a"}}, "expected float, got True"),
        ({"inner": {"rate": 1}, "source": {"folder": "a"}, "span": [1]}, "expected 2 values, got 1"),
        ({"inner": {"rate": 1}, "source": {"nothing": "a"}}, "source: unknown key"),
        ({"inner": 3, "source": {"folder": "a"}}, "expected a mapping, got 3"),
    ],
)
def test_wrong_values_are_refused_with_their_place(values, message):
    with pytest.raises(ConfigError, match=message):
        build(Outer, values)


def test_missing_or_broken_files_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no configuration file"):
        load_config(Outer, tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(Outer, broken)


def test_overrides_need_an_equals_sign_and_a_section():
    with pytest.raises(ConfigError, match="expected key=value"):
        set_override({}, "steps")
    with pytest.raises(ConfigError, match="not a section"):
        set_override({"steps": 1}, "steps.more=2")


@dataclass(frozen=True, kw_only=True)
class Precision:
    kind: Literal["no", "bf16"] = "bf16"
    switch: Literal["on", "auto"] = "auto"


@pytest.mark.parametrize(("text", "kind"), [("no", "no"), ("'no'", "no"), ("off", "no"), ("bf16", "bf16")])
def test_words_that_yaml_reads_as_truth_values_are_taken_as_words(text: str, kind: str) -> None:
    values: dict[str, object] = {}
    set_override(values, f"kind={text}")
    if text == "off":
        with pytest.raises(ConfigError, match=r"expected one of \('on', 'auto'\), got False"):
            build(Precision, {"switch": values["kind"]})
    assert build(Precision, values).kind == kind


def test_a_truth_value_is_no_word_where_none_is_meant(tmp_path: Path) -> None:
    assert build(Precision, {"switch": True}).switch == "on"
    with pytest.raises(ConfigError, match=r"expected one of \('no', 'bf16'\), got True"):
        build(Precision, {"kind": True})
    with pytest.raises(ConfigError, match=r"name: expected one of .*'sgd'.*got False"):
        build(Inner, {"rate": 1, "name": False})
