"""Adapters alone: written whole or not at all, and whatever is damaged of them is a word, never a traceback."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ldrestore.checkpoints import adapters_folder
from ldrestore.checkpoints.adapters_folder import (
    check_base,
    is_adapters,
    names_of_base,
    read_adapters,
    read_pointer,
    write_adapters,
)
from ldrestore.errors import ExportError, InputError, WeightsError, WeightsUnavailableError
from ldrestore.weights.hashes import hash_of_weights
from tests.checkpoints.test_part_table import TABLE
from tests.tiny_clip import tiny_text_encoder
from tests.tiny_stable import tiny_adapters, tiny_base


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    """A base, and what was trained upon it."""
    base = tiny_base()
    trained = tiny_adapters(base["unet"])
    encoders = {"text_encoder_2": tiny_text_encoder(), "tokenizer_2": base["tokenizer"]}
    return {**base, **encoders, "layers": trained["injection"], "refiner": trained["drm"]}


@pytest.fixture
def folder(parts: dict[str, Any], tmp_path: Path) -> Path:
    return write_adapters(tmp_path / "adapters", parts, table=TABLE, base="somebody/novel")


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The folder with another pointer."""
    path = folder / "adapters.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return folder


def test_the_pointer_tells_hash_and_format_of_all_that_is_frozen(folder: Path, parts: dict[str, Any]) -> None:
    assert is_adapters(folder)
    _, pointer = read_pointer(folder)
    for name in TABLE.frozen:
        assert pointer["frozen"][name]["sha256"] == hash_of_weights(parts[name])
        assert pointer["frozen"][name]["dtype"] == "float32"
    assert names_of_base(pointer) == ["somebody/novel"]
    assert not list(folder.rglob("*.bin")) and not (folder / "unet").exists()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_same_base_in_half_precision_is_the_same_base(
    dtype: torch.dtype, folder: Path, parts: dict[str, Any]
) -> None:
    halves = {**parts, "text_encoder_2": tiny_text_encoder().to(dtype)}
    check_base(halves, read_pointer(folder)[1], table=TABLE)


def test_another_base_is_refused_by_the_part_that_differs_and_with_the_right_ones_name(
    folder: Path, parts: dict[str, Any]
) -> None:
    torch.manual_seed(9)
    other = tiny_text_encoder()
    for parameter in other.parameters():
        nn.init.normal_(parameter)
    with pytest.raises(WeightsError, match=r"their text_encoder_2 has other weights .*\(somebody/novel\)"):
        check_base({**parts, "text_encoder_2": other}, read_pointer(folder)[1], table=TABLE)


DAMAGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a later format": (lambda c: c.update(format=2), "adapters of format 2, expected 1; upgrade ldrestore"),
    "no format": (lambda c: c.pop("format"), "adapters of format None"),
    "no parts": (lambda c: c.pop("components"), "lacks components; fetch"),
    "no base": (lambda c: c.update(base=None), "lacks base; fetch"),
    "nothing frozen": (lambda c: c.update(frozen={}), "lacks frozen; fetch"),
    "parts in a list": (lambda c: c.update(components=["layers"]), "components is damaged"),
    "a base in words": (lambda c: c.update(base="somebody/novel"), "base is damaged"),
    "frozen in a list": (lambda c: c.update(frozen=["unet"]), "frozen is damaged"),
    "no mirrors": (lambda c: c["base"].pop("mirrors"), "base is damaged"),
    "a mirror in words": (lambda c: c["base"].update(mirrors="a/b"), "base is damaged"),
    "mirrors of numbers": (lambda c: c["base"].update(mirrors=[3]), "base is damaged"),
    "no prediction": (lambda c: c["base"].pop("prediction_type"), "base is damaged"),
    "a name of numbers": (lambda c: c["base"].update(name=7), "base is damaged"),
    "an identity in words": (lambda c: c["frozen"].update(vae="0123"), "frozen vae is damaged"),
    "no weights": (lambda c: c["frozen"]["unet"].pop("weights"), "frozen unet is damaged"),
    "weights in words": (lambda c: c["frozen"]["unet"].update(weights=["a"]), "frozen unet is damaged"),
    "weights of nothing": (lambda c: c["frozen"]["unet"].update(weights=None), "frozen unet is damaged"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_pointer_that_is_not_as_it_was_written_is_refused_by_what_is_wrong(damage: str, folder: Path) -> None:
    change, message = DAMAGES[damage]
    with pytest.raises(WeightsError, match=message) as caught:
        read_pointer(changed(folder, change))
    assert "\n" not in str(caught.value)


def test_a_pointer_cut_off_anywhere_is_refused(folder: Path) -> None:
    path = folder / "adapters.json"
    content = path.read_text()
    for length in range(0, len(content) - 2, len(content) // 30):
        path.write_text(content[:length])
        with pytest.raises(WeightsError, match=r"adapters\.json (cannot be read as JSON|holds no JSON object)"):
            read_pointer(folder)


def test_a_frozen_part_that_nothing_is_said_of_is_no_match(folder: Path, parts: dict[str, Any]) -> None:
    _, pointer = read_pointer(changed(folder, lambda c: c["frozen"].pop("vae")))
    with pytest.raises(WeightsError, match="do not say upon which vae they were trained; fetch them again"):
        check_base(parts, pointer, table=TABLE)


def test_weights_of_another_number_are_another_base(folder: Path, parts: dict[str, Any]) -> None:
    _, pointer = read_pointer(changed(folder, lambda c: c["frozen"]["vae"]["weights"].pop()))
    with pytest.raises(WeightsError, match="their vae has other weights than the one given"):
        check_base(parts, pointer, table=TABLE)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_a_base_that_predicts_something_else_is_refused(kind: str, folder: Path, parts: dict[str, Any]) -> None:
    _, pointer = read_pointer(folder)
    own = pointer["base"]["prediction_type"]
    pointer["base"]["prediction_type"] = kind
    if kind == own:
        check_base(parts, pointer, table=TABLE)
    else:
        with pytest.raises(WeightsError, match=rf"of a base that predicts {kind}, the one given predicts {own}; name"):
            check_base(parts, pointer, table=TABLE)


def test_adapters_that_name_no_base_say_so(parts: dict[str, Any]) -> None:
    with pytest.raises(WeightsError, match="do not say where their base is; give base, a folder, a file or a repo"):
        names_of_base({"base": {"name": None, "mirrors": []}})


@pytest.mark.parametrize("part", ["layers", "refiner", "scheduler"])
def test_a_part_whose_folder_is_gone_is_named(part: str, folder: Path) -> None:
    (folder / part).rename(folder.parent / "away")
    _, pointer = read_pointer(folder)
    with pytest.raises(WeightsError, match=f"lacks its {part}; fetch the adapters again"):
        read_adapters(folder, pointer, table=TABLE, dtype=torch.float32)


def test_a_part_whose_weights_are_cut_off_or_gone_is_named(folder: Path) -> None:
    path = folder / "layers/diffusion_pytorch_model.safetensors"
    _, pointer = read_pointer(folder)
    content = path.read_bytes()
    for length in (0, 7, 50, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match="is no intact safetensors file"):
            read_adapters(folder, pointer, table=TABLE, dtype=torch.float32)
    path.unlink()
    with pytest.raises(WeightsUnavailableError, match="layers has no safetensors weights"):
        read_adapters(folder, pointer, table=TABLE, dtype=torch.float32)


def test_what_is_no_folder_of_adapters_says_what_it_lacks(tmp_path: Path) -> None:
    assert not is_adapters(tmp_path)
    with pytest.raises(
        WeightsUnavailableError, match=r"holds no adapters: it has no adapters\.json; name their folder"
    ):
        read_pointer(tmp_path)


@pytest.mark.parametrize("stage", ["weights", "scheduler", "pointer"])
def test_a_disk_that_fills_at_any_part_leaves_no_adapters(
    stage: str, parts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    if stage == "pointer":
        monkeypatch.setattr(adapters_folder, "write_json", fail)
    else:
        monkeypatch.setattr(type(parts["refiner" if stage == "weights" else "scheduler"]), "save_pretrained", fail)
    with pytest.raises(ExportError, match=r"adapters cannot be written \(No space left on device\); make room"):
        write_adapters(tmp_path / "made/adapters", parts, table=TABLE, base="somebody/novel")
    assert list((tmp_path / "made").iterdir()) == []


def test_adapters_that_are_there_are_not_written_over(folder: Path, parts: dict[str, Any]) -> None:
    before = (folder / "adapters.json").read_bytes()
    with pytest.raises(InputError, match="adapters is not empty; name another folder"):
        write_adapters(folder, parts, table=TABLE, base="another/base")
    assert (folder / "adapters.json").read_bytes() == before
