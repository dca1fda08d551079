"""Checkpoints as they go wrong: wrapped, renamed, with bytes flipped, cut off; each a pure function of its number."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ldrestore.conversion import convert
from ldrestore.errors import WeightsError
from ldrestore.weights.hashes import hash_of_file
from ldrestore.weights.published_files import PREFIXES, WRAPPERS

SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors", ".SAFETENSORS", ".bin", "")
OPTIONS = {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1], "dec_blk_nums": [1]}


@dataclass(frozen=True)
class Mutant:
    """One file and what must become of it."""

    path: Path
    kind: str
    must_load: bool
    must_fail: bool


def write_mutant(number: int, weights: dict[str, Tensor], folder: Path) -> Mutant:
    """Write the mutant of a number into a folder."""
    draw = random.Random(number)
    kind = ("wrapped", "flipped", "cut", "recorded")[number % 4]
    path = folder / f"mutant{draw.choice(SUFFIXES)}"
    _save(draw, weights, path)
    if kind != "wrapped":
        content = bytearray(path.read_bytes())
        if kind == "recorded":
            path.with_name(f"{path.name}.sha256").write_text(hash_of_file(path))
        if kind == "cut":
            content = content[: draw.randrange(len(content))]
        else:
            head = draw.random() < 0.5  # half of the flips fall into what describes the weights
            for _ in range(draw.choice((1, 1, 2, 8))):
                place = draw.randrange(min(len(content), 3000) if head else len(content))
                content[place] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
    return Mutant(path, kind, must_load=kind == "wrapped", must_fail=kind in ("cut", "recorded"))


def _save(draw: random.Random, weights: dict[str, Tensor], path: Path) -> None:
    """Save weights under a wrapper and prefixes, in one of three formats."""
    prefix = "".join(draw.choice(PREFIXES) for _ in range(draw.randrange(4)))
    weights = {prefix + key: value for key, value in weights.items()}
    if draw.random() < 0.2:
        outer = draw.choice(("", "module.")) if prefix == "" else prefix[: prefix.index(".") + 1]
        is_whole = all(key.startswith(outer) for key in weights)
        weights |= {f"{outer if is_whole else ''}n_averaged": torch.tensor(7)}
    wrapper = draw.choice((None, *WRAPPERS))
    layout = draw.randrange(3)
    if layout == 0:
        save_file({f"{wrapper}.{key}" if wrapper else key: value for key, value in weights.items()}, path)
        return
    content = {wrapper: weights, "epoch": 3, "optimizer_states": [{"lr": 0.1}]} if wrapper else weights
    torch.save(content, path, _use_new_zipfile_serialization=layout == 1)


def judge(mutant: Mutant, weights: dict[str, Tensor], out_dir: Path) -> str:
    """What became of a mutant; an assertion fails where that is wrong."""
    refusal = ""
    try:
        convert("nafnet", mutant.path, out_dir)
    except WeightsError as error:
        refusal = str(error)
    if refusal:
        assert not mutant.must_load, f"{mutant}: {refusal}"
        assert mutant.path.name in refusal and "\n" not in refusal, refusal
        assert not out_dir.exists()
        return f"{mutant.kind}, refused"
    assert not mutant.must_fail, str(mutant)
    found = load_file(out_dir / "regressor" / "diffusion_pytorch_model.safetensors")
    assert {key: value.shape for key, value in found.items()} == {key: value.shape for key, value in weights.items()}
    assert all(torch.isfinite(value).all() for value in found.values())
    if mutant.must_load:
        assert all(torch.equal(found[key], value) for key, value in weights.items()), str(mutant)
    return f"{mutant.kind}, loaded"


def judge_all(numbers: range, weights: dict[str, Tensor], folder: Callable[[int], Path]) -> dict[str, int]:
    """How many mutants met each fate."""
    fates: dict[str, int] = {}
    for number in numbers:
        place = folder(number)
        place.mkdir(parents=True)
        fate = judge(write_mutant(number, weights, place), weights, place / "out")
        fates[fate] = fates.get(fate, 0) + 1
    return fates
