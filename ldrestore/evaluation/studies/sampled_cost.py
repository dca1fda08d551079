"""What a sampled model costs beside its bare base: time in turn in one process, memory each in a process of its own.

Time: the whole call at the track's steps without the refinement, texts and encoders included, against VAE encode + so
many bare U-Nets + VAE decode with the same networks, their hooks taken off. Of fewer `timed_steps` the median step is
scaled to all. What the refinement takes is told apart. Memory: see `sampled_memory`.
"""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from ldrestore.errors import ConfigError, InputError
from ldrestore.evaluation.studies.cost_subjects import SUBJECTS, CostSubject
from ldrestore.evaluation.studies.full_widths import part_sizes
from ldrestore.evaluation.studies.sampled_memory import (
    MEMORY_KINDS,
    MEMORY_STEPS,
    measure_in_process,
    picture_of,
)
from ldrestore.evaluation.studies.study import Rows, Study, StudyCall, StudyRow, measured_rows
from ldrestore.evaluation.studies.study_tables import joined
from ldrestore.evaluation.tables import markdown
from ldrestore.refiners.refined_decoder import downsampling_of
from ldrestore.systems.sampled_pictures import lq_of
from ldrestore.tiling.freed_memory import keeping_freed_memory


@dataclass(frozen=True, kw_only=True)
class SampledCostOptions:
    """What is measured; what is left open follows from the device."""

    side: int | None = None
    """Of the square picture in pixels; 256, on a GPU 512."""
    dtype: str | None = None
    """Number format; float32, on a GPU bfloat16."""
    timed_steps: int | None = None
    """Steps that are timed and scaled to all; 4, on a GPU all."""
    repeats: int = 5
    """Rounds of both."""
    has_memory: bool = True
    """Whether memory is measured too, which needs Linux on the CPU."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a number is too small, or no such number format.
        """
        for name, least in (("side", 64), ("timed_steps", 2), ("repeats", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} must be at least {least}, got {value}")
        if self.dtype not in (None, "float32", "bfloat16", "float16"):
            raise ConfigError(f"dtype must be float32, bfloat16 or float16, got {self.dtype}")


def measure_sampled_cost(subject: CostSubject, options: SampledCostOptions, call: StudyCall) -> Rows:
    """Rows of memory and time; memory first, while this process is small.

    Raises:
        InputError: more than one model.
    """
    if len(call.models) > 1:
        raise InputError(f"the study {subject.name} takes at most one --model, got {len(call.models)}")
    model = call.models[0] if call.models else None
    is_gpu = torch.device(call.device).type == "cuda"
    side = options.side or (512 if is_gpu else 256)
    dtype = options.dtype or ("bfloat16" if is_gpu else "float32")
    timed_steps = options.timed_steps or (subject.num_steps if is_gpu else 4)
    where = torch.cuda.get_device_name() if is_gpu else "CPU"
    shared = f"{model or 'full widths'}, {where}, {side} pixels, {dtype}, {torch.get_num_threads()} threads"
    settings = {"model": model or subject.full, "device": where, "side": side, "dtype": dtype}

    def memory() -> dict[str, Any]:
        return {
            kind: measure_in_process(subject.name, kind, model=model, side=side, device=call.device, dtype=dtype)
            for kind in MEMORY_KINDS
        }

    def seconds() -> dict[str, Any]:
        pipeline = subject.open(model, dtype=getattr(torch, dtype)).to(call.device)
        return measure_time(subject, pipeline, side=side, repeats=options.repeats, timed_steps=timed_steps)

    of_memory = StudyRow(name=f"memory: {shared}, {MEMORY_STEPS} steps", settings=settings, measure=memory)
    of_time = StudyRow(
        name=f"time: {shared}, {options.repeats} x {timed_steps} steps", settings=settings, measure=seconds
    )
    return measured_rows(subject.name, [*([of_memory] if options.has_memory else []), of_time], call)


def measure_time(subject: CostSubject, pipeline: Any, *, side: int, repeats: int, timed_steps: int) -> dict[str, Any]:
    """Seconds of the pipeline and of the bare base in turn, at all steps.

    Args:
        subject: Of the pipeline's track.
        pipeline: On its device.
        side: Of the square picture, in pixels.
        repeats: Of both, after one call that is not timed.
        timed_steps: At least 2; scaled to all.
    """
    picture = picture_of(side)
    _restore(pipeline, picture, num_steps=timed_steps)
    ours, bare = [], []
    for _ in range(repeats):
        bare.append(seconds_of_base(subject, pipeline, picture, num_steps=timed_steps))
        ours.append(seconds_of_restorer(subject, pipeline, picture, num_steps=timed_steps))
    ratios = sorted(a["total"] / b["total"] for a, b in zip(ours, bare, strict=True))
    return {
        "parameters": part_sizes(pipeline.components),
        "restorer": _medians(ours),
        "base": _medians(bare),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_range": [round(ratios[0], 3), round(ratios[-1], 3)],
        "refinement": round(statistics.median(seconds_of_refiner(pipeline, picture) for _ in range(repeats)), 3),
    }


def seconds_of_restorer(
    subject: CostSubject, pipeline: Any, picture: np.ndarray, *, num_steps: int
) -> dict[str, float]:
    """One call without the refinement: seconds of what is done once, of a step, and of all steps."""
    device = pipeline._execution_device
    ticks: list[float] = []

    def tick(pipeline: Any, index: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        ticks.append(_now(device))
        return values

    start = _now(device)
    _restore(pipeline, picture, num_steps=num_steps, callback_on_step_end=tick)
    total = _now(device) - start
    step = _median_step(ticks)
    once = total - num_steps * step
    return {"once": once, "step": step, "total": once + subject.num_steps * step}


@torch.no_grad()
def seconds_of_base(subject: CostSubject, pipeline: Any, picture: np.ndarray, *, num_steps: int) -> dict[str, float]:
    """VAE encode, bare U-Net steps without a scheduler, VAE decode: the same keys as ours.

    Freed memory is kept as in our pipeline, which is faster on the CPU.
    """
    pipeline.detach()
    vae, unet, device = pipeline.vae, pipeline.unet, pipeline._execution_device
    lq = lq_of(picture, multiple=downsampling_of(vae), device=device).to(vae.dtype)
    conditioning = subject.conditioning(pipeline, device)
    with keeping_freed_memory():
        start = _now(device)
        latents = vae.encode(lq * 2 - 1).latent_dist.mode()
        ticks = [_now(device)]
        for timestep in torch.linspace(999, 0, num_steps, device=device).long():
            unet(latents, timestep, **conditioning, return_dict=False)
            ticks.append(_now(device))
        vae.decode(latents, return_dict=False)
        end = _now(device)
    step = _median_step(ticks)
    once = ticks[0] - start + end - ticks[-1]
    return {"once": once, "step": step, "total": once + subject.num_steps * step}


def seconds_of_refiner(pipeline: Any, picture: np.ndarray) -> float:
    """What the refinement adds to the decoding of the picture's own latents."""
    seconds = []
    for refine in (False, True):
        start = _now(pipeline._execution_device)
        _restore(pipeline, picture, num_steps=2, strength=0.0, refine=refine)
        seconds.append(_now(pipeline._execution_device) - start)
    return seconds[1] - seconds[0]


def report_sampled_cost(subject: CostSubject, rows: Rows) -> str:
    """The whole page."""
    measured_by = dict.fromkeys(
        f"- {', '.join(f'{key}: {value}' for key, value in row['settings'].items())}" for row in rows.values()
    )
    places = dict.fromkeys(_place(row["environment"]) for row in rows.values())
    return joined(
        subject.title,
        {
            "Time": times(rows, num_steps=subject.num_steps),
            "Memory": memories(rows),
            "What was measured": "\n".join(
                [f"- {subject.full}: {_millions(subject.full_sizes())}.", *measured_by, *places]
            ),
        },
    )


def times(rows: Rows, *, num_steps: int) -> str:
    """Seconds of a picture."""
    lines = []
    for name, row in _of("time", rows):
        cells = [f"{row[part][key]:.3f}" for part in ("restorer", "base") for key in ("once", "step", "total")]
        low, high = row["ratio_range"]
        lines.append((name, *cells, f"{row['refinement']:.3f}", f"{row['ratio']:.2f}, from {low:.2f} to {high:.2f}"))
    columns = (
        "",
        *(f"{whose}, {part}" for whose in ("ours", "base") for part in ("once", "a step", f"{num_steps} steps")),
        "the refinement",
        "ratio",
    )
    note = (
        "Seconds of one picture, without tiles. Ours: the whole call without the refinement, with all that looks at\n"
        "the picture and reads texts. Base: VAE encode, bare U-Net, VAE decode, the same networks in turn in one\n"
        "process. Medians; the ratio is the median of the rounds' own. Where fewer steps are timed, all are computed\n"
        "from the median step."
    )
    return f"{note}\n\n{markdown(columns, lines)}" if lines else ""


def memories(rows: Rows) -> str:
    """Peaks of the three pipelines."""
    lines = []
    for name, row in _of("memory", rows):
        base = row["img2img"]["beyond_weights"]
        cells = [f"{row[kind]['beyond_weights']:.3f}" for kind in MEMORY_KINDS]
        ratios = [f"{row[kind]['beyond_weights'] / base:.2f}" for kind in MEMORY_KINDS[:2]]
        weights = " / ".join(f"{row[kind].get('peak', row[kind].get('idle')):.2f}" for kind in MEMORY_KINDS)
        lines.append((name, *cells, *ratios, weights))
    columns = (
        "",
        "ours without refinement",
        "ours",
        "img2img",
        "ratio without",
        "ratio",
        "with the weights (CPU: before the call)",
    )
    note = (
        "Peak in 10^9 bytes beyond the weights, each in a process of its own, without tiles; img2img is that of\n"
        "diffusers on the same base without classifier-free guidance, its text given as embeddings. On a GPU with\n"
        "model off-loading: torch's allocations less the weights there at that time. On the CPU, where there is\n"
        "nothing to off-load to: resident memory above that before the call."
    )
    return f"{note}\n\n{markdown(columns, lines)}" if lines else ""


def _of(kind: str, rows: Rows) -> list[tuple[str, Mapping[str, Any]]]:
    """Rows of one kind, without it in their names."""
    return [(name.removeprefix(f"{kind}: "), row) for name, row in rows.items() if name.startswith(f"{kind}: ")]


def _place(environment: Mapping[str, Any]) -> str:
    """A machine in words, as a line of a list."""
    packages = ", ".join(f"{name} {number}" for name, number in environment["packages"].items() if number)
    place = f"{environment['device']}, {environment['machine']}, {environment['threads']} threads"
    return f"- Computed on {place}; {packages}."


def _millions(parameters: Mapping[str, int]) -> str:
    """Parts with their parameters."""
    return ", ".join(f"{name} {number / 1e6:.1f} M" for name, number in parameters.items())


def _restore(pipeline: Any, picture: np.ndarray, *, num_steps: int, **options: Any) -> None:
    """Call the pipeline without tiles, and without its refinement unless an option says so."""
    shared = {"refine": False, "tile": "off", "output_type": "photo"}
    pipeline(picture, num_inference_steps=num_steps, **(shared | options))


def _medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of each value."""
    return {key: round(statistics.median(one[key] for one in rounds), 4) for key in rounds[0]}


def _median_step(ticks: Sequence[float]) -> float:
    """Seconds between two ticks."""
    return statistics.median(after - before for before, after in pairwise(ticks))


def _now(device: torch.device) -> float:
    """Wall-clock seconds, after what is under way."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _study(subject: CostSubject) -> Study[SampledCostOptions, Rows]:
    """The study of one track."""
    return Study(
        options=SampledCostOptions,
        measure=partial(measure_sampled_cost, subject),
        report=partial(report_sampled_cost, subject),
    )


STABLE_COST, XL_COST = _study(SUBJECTS["stable-cost"]), _study(SUBJECTS["xl-cost"])
