"""What models cost: seconds a megapixel, peak memory, parameters and multiplications."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ldrestore.datasets.compared_pairs import degraded
from ldrestore.errors import LDRestoreError
from ldrestore.evaluation.benchmark_files import BUILTIN_FOLDER
from ldrestore.evaluation.contestants import Contestant, ModelRestorer
from ldrestore.evaluation.results import CostRow
from ldrestore.images.files import read_photo
from ldrestore.images.inputs import to_photo
from ldrestore.images.photo import Photo

SIDE = 512
"""Of the square that is timed, in pixels."""
MACS_SIDE = 256
"""Of the square whose multiplications are counted."""
_NAMED_BY_TORCH = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: torch.ops.aten._scaled_dot_product_flash_attention
}
"""Operations that torch's formulas leave out, to those that multiply as often: its attention on the CPU."""
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def measure_costs(
    contestants: Sequence[Contestant], *, device: str, repeats: int = 3, say: Callable[[str], None]
) -> list[CostRow]:
    """Measure models, all loaded, in turn: one run of each after the other, so that a slow minute meets all alike.

    Args:
        contestants: Of which the models are measured.
        device: Where they compute.
        repeats: Timed runs of each, after one that is not.
        say: Is told of a model that fails.
    """
    picture = _timed_picture(SIDE)
    ready: dict[str, tuple[Contestant, ModelRestorer]] = {}
    for contestant in contestants:
        if contestant.kind != "model":
            continue
        try:
            restorer = ModelRestorer(contestant, device=device)
            _run(restorer, contestant, picture, device)
            ready[contestant.name] = (contestant, restorer)
        except LDRestoreError as error:
            say(f"cost of {contestant.name} is not measured: {error}")
    seconds: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(repeats):
        for name, (contestant, restorer) in ready.items():
            seconds[name].append(_run(restorer, contestant, picture, device))
    rows = []
    for name, (contestant, restorer) in ready.items():
        try:
            rows.append(_cost_row(contestant, restorer, picture, device, seconds[name]))
        except (LDRestoreError, RuntimeError, AssertionError) as error:  # counting looks into torch; figures stay
            say(f"cost of {name} is not whole: {error}")
    return rows


def count_macs(call: Callable[[], Any]) -> float:
    """Multiplications with addition of a call, in convolutions and matrix products, by torch's formulas.

    Operations are seen one by one, without hooks on modules, which do not bear pipelines without gradients.
    """
    counter = _Counter()
    with counter:
        call()
    return counter.num_flops / 2


class _Counter(TorchDispatchMode):
    """Adds up the operations that torch knows a formula for."""

    def __init__(self) -> None:
        TorchDispatchMode.__init__(self)
        self.num_flops: int = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute one operation, and count it."""
        formula = flop_registry.get(_NAMED_BY_TORCH.get(func.overloadpacket, func.overloadpacket))
        if formula is None:
            with self:  # without gradients, composite operations arrive whole
                parts = func.decompose(*args, **(kwargs or {}))
            if parts is not NotImplemented:
                return parts
        result = func(*args, **(kwargs or {}))
        if formula is not None:
            self.num_flops += formula(*args, **(kwargs or {}), out_val=result)
        return result


def parameters_of_pipeline(pipeline: Any) -> int:
    """Parameters of all networks of a pipeline."""
    networks = {id(part): part for part in pipeline.components.values() if isinstance(part, nn.Module)}
    return sum(weight.numel() for network in networks.values() for weight in network.parameters())


@contextlib.contextmanager
def peak_memory(device: str) -> Iterator[list[float | None]]:
    """Inside, memory is watched; afterwards the list holds its growth in 10^9 bytes.

    On the CPU it is the resident memory of this process, which Linux alone tells; on a GPU what torch has allocated.
    """
    growth: list[float | None] = []
    is_gpu = device != "cpu" and torch.cuda.is_available()
    if is_gpu:
        torch.cuda.reset_peak_memory_stats()
        before: float | None = torch.cuda.memory_allocated()
    else:
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5", encoding="ascii")  # the peak starts anew from what is resident
        before = status_bytes("VmRSS")
    yield growth
    after = torch.cuda.max_memory_allocated() if is_gpu else status_bytes("VmHWM")
    growth.append(None if before is None or after is None else max(0.0, (after - before) / 1e9))


def _cost_row(
    contestant: Contestant, restorer: ModelRestorer, picture: Photo, device: str, seconds: list[float]
) -> CostRow:
    """The measured and the counted."""
    with peak_memory(device) as growth:
        _run(restorer, contestant, picture, device)
    small = _timed_picture(MACS_SIDE)
    macs = count_macs(lambda: _run(restorer, contestant, small, device)) / 1e9  # 0 where torch does not compute
    is_gpu = device != "cpu" and torch.cuda.is_available()
    megapixels = picture.width * picture.height / 1e6
    return CostRow(
        contestant=contestant.name,
        seconds_per_megapixel=statistics.median(seconds) / megapixels,
        megapixels=megapixels,
        repeats=len(seconds),
        peak_gigabytes=growth[0],
        parameters=parameters_of_pipeline(restorer.pipeline),
        gigamacs=macs or None,
        device=torch.cuda.get_device_name() if is_gpu else "cpu",
        threads=torch.get_num_threads(),
    )


def _run(restorer: ModelRestorer, contestant: Contestant, picture: Photo, device: str) -> float:
    """Seconds of one call."""
    options = restorer.options(contestant.options)
    start = _clock(device)
    restorer.pipeline.restore(picture, options)
    return _clock(device) - start


def _clock(device: str) -> float:
    """Seconds, after what a GPU still computes."""
    if device != "cpu" and torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _timed_picture(side: int) -> Photo:
    """A noisy square of the library's own pictures, tiled where they are smaller."""
    pixels = read_photo(sorted(BUILTIN_FOLDER.glob("*.png"))[0]).pixels
    times = (-(-side // pixels.shape[0]), -(-side // pixels.shape[1]), 1)
    square = np.ascontiguousarray(np.tile(pixels, times)[:side, :side])
    return to_photo(degraded(square, "gaussian_noise(sigma_255=25)", "cost"))


def status_bytes(name: str) -> float | None:
    """A line of this process's status in bytes, "VmRSS" or "VmHWM", proc(5); None where the system has none."""
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return float(found[0]) * 1024 if found else None
