"""What a run leaves on disk, read for comparison."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ldrestore.training.loop.checkpoint import list_checkpoints


def metrics(folder: Path) -> list[dict[str, Any]]:
    """Lines of metrics without the speed, which no two runs share."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "samples_per_second"} for line in lines]


def final_state(folder: Path) -> dict[str, Any]:
    """Everything in the newest checkpoint."""
    newest = list_checkpoints(folder)[-1]
    return {
        "name": newest.name,
        "model": load_file(newest / "model.safetensors"),
        "ema": load_file(newest / "ema.safetensors"),
        "optimizer": torch.load(newest / "optimizer.bin"),
        "processes": [torch.load(path) for path in sorted(newest.glob("process_*.pt"))],
    }


def assert_equal_to_the_bit(left: Any, right: Any) -> None:
    """Compare nested containers whose leaves are tensors or plain values."""
    assert type(left) is type(right)
    if isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype and torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_equal_to_the_bit(left[key], right[key])
    elif isinstance(left, (list, tuple)):
        for one, other in zip(left, right, strict=True):
            assert_equal_to_the_bit(one, other)
    else:
        assert left == right
