"""Metrics of a run: means over the steps between two lines, one JSON object a line, and the tracker."""

import json
import math
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from ldrestore.errors import LDRestoreError

METRICS_FILE = "metrics.jsonl"


def divergence(sign: object, *, step: int) -> LDRestoreError:
    """The error of a run whose numbers are not finite any more, with what to do.

    Args:
        sign: What tells.
        step: Optimizer steps done.
    """
    return LDRestoreError(
        f"training diverged: {sign} at step {step}; lower the learning rate, or clip gradients harder, "
        "and start again from an earlier checkpoint"
    )


class LossWindow:
    """Sums of a process's losses since the last line of metrics, each with the passes that had it."""

    def __init__(self) -> None:
        """Start empty."""
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        """Add the losses of one forward pass, scalars; nothing waits for the device."""
        for name, value in values.items():
            scalar = value.detach().float()
            self._sums[name] = self._sums[name] + scalar if name in self._sums else scalar
            self._counts[name] = self._counts.get(name, 0) + 1

    def mean(self, accelerator: Accelerator, *, step: int) -> dict[str, float]:
        """Means over the window and all processes, which must all call this; empty for an empty window.

        A loss that began within the window, such as a discriminator's, is the mean over the passes since.

        Raises:
            LDRestoreError: a mean is not finite: training has diverged.
        """
        if not self._sums:
            return {}
        names = sorted(self._sums)
        means = torch.stack([self._sums[name] / self._counts[name] for name in names])
        means = accelerator.reduce(means, reduction="mean")
        values = dict(zip(names, means.tolist(), strict=True))
        if not all(map(math.isfinite, values.values())):
            raise divergence(values, step=step)
        return values

    def clear(self) -> None:
        """Start the next window."""
        self._sums, self._counts = {}, {}

    def state_dict(self) -> dict[str, Any]:
        """Sums and counts as plain numbers; exact, for every float32 is a float64."""
        return {"counts": dict(self._counts), "sums": {name: value.item() for name, value in self._sums.items()}}

    def load_state_dict(self, state: dict[str, Any], *, device: torch.device) -> None:
        """Take over what `state_dict` gave; older checkpoints have one count for all."""
        self._sums = {name: torch.tensor(value, device=device) for name, value in state["sums"].items()}
        self._counts = dict(state["counts"]) if "counts" in state else dict.fromkeys(self._sums, state["count"])


class Stopwatch:
    """Times what runs inside its `with` blocks, one block a step; validation and checkpoints stay outside."""

    def __init__(self) -> None:
        """Start at zero."""
        self._started, self._seconds, self._steps = 0.0, 0.0, 0

    def __enter__(self) -> None:
        """Begin a step."""
        self._started = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End a step."""
        self._seconds += time.perf_counter() - self._started
        self._steps += 1

    def steps_per_second(self) -> float:
        """Mean rate since the last call."""
        rate = self._steps / max(self._seconds, 1e-9)
        self._seconds, self._steps = 0.0, 0
        return rate


class Journal:
    """Appends metrics to `metrics.jsonl` and the tracker; only the main process writes."""

    def __init__(self, folder: Path, accelerator: Accelerator) -> None:
        """Point at the file.

        Args:
            folder: The run's folder.
            accelerator: Tells the main process, and holds the tracker.
        """
        self.path, self._accelerator = folder / METRICS_FILE, accelerator

    def rewind(self, step: int) -> None:
        """Drop the lines after a step: a run that died went further than the checkpoint that it resumes from."""
        if not self._accelerator.is_main_process or not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        # A line without an end was cut by the death of the run, and one that cannot be read by that of the machine.
        kept = [line for line in lines if (written := _step_of(line)) is not None and written <= step]
        partial = self.path.with_suffix(".partial")
        partial.write_text("".join(kept), encoding="utf-8")
        os.replace(partial, self.path)

    def write(self, step: int, values: dict[str, float | None]) -> None:
        """Append one line; a value that is not finite becomes null.

        Args:
            step: Optimizer steps done.
            values: Metrics by name.
        """
        if not self._accelerator.is_main_process:
            return
        finite = {name: value if value is not None and math.isfinite(value) else None for name, value in values.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **finite}) + "\n")
        self._accelerator.log({name: value for name, value in finite.items() if value is not None}, step=step)


def _step_of(line: str) -> int | None:
    """The step of a whole line of metrics; None for any other."""
    try:
        step = json.loads(line)["step"] if line.endswith("\n") else None
    except (ValueError, TypeError, KeyError):
        return None
    return step if isinstance(step, int) else None
