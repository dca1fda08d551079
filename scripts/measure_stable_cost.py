"""Measure what the adapters of the stable track cost at full widths: time and memory beside the bare base.

    python scripts/measure_stable_cost.py --out docs/stable/cost.json                      # the CPU, 256 pixels
    python scripts/measure_stable_cost.py --out docs/stable/cost.json --device cuda        # a GPU, 512 pixels
    python scripts/measure_stable_cost.py --out /tmp/cost.json --widths small --side 64    # to try the script

writes the JSON, a row after the other, and the tables beside it (.md). A row's name holds all settings: device, size,
number format, steps, repeats and CPU threads; rows that are there are kept, `--fresh` measures those of these settings
anew. Rows of other packages are refused without it, and a file of other `--widths` always. Weights are random, built
from configuration: nothing is fetched.

Time: the whole call of the pipeline at 50 steps without the DRM, CLIP's tower and the text included, against
VAE encode + 50 x bare U-Net + VAE decode with the same networks, their hooks taken off; in turn in one process. Of
fewer `--timed-steps` the median step is scaled to 50. The DRM's own time is told apart. Memory: see
`measure_stable_memory.py`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bounds import NOT_MEASURED, Verdict
from measure_stable_memory import DTYPES, KINDS, NUM_TOKENS, measure_in_process, picture_of
from measure_stable_memory import NUM_STEPS as NUM_MEMORY_STEPS
from measured_rows import WRONG_INPUT, command_of, commands_of, environment_of, known_row, told
from measurement_file import MeasurementFile, Row
from measurement_tables import joined, markdown_table, table_of_verdicts
from stable_widths import NAMES_OF_WIDTHS, build_restorer, count_parameters

from ldrestore.refiners.refined_decoder import downsampling_of
from ldrestore.systems.sampled_pictures import lq_of
from ldrestore.tiling.freed_memory import keeping_freed_memory

NUM_STEPS = 50
"""Of what is told."""
MOST_TIME, MOST_MEMORY = 1.35, 1.25
"""Aims: multiples of the bare base's time, and of img2img's memory beyond the weights."""
TITLES = {"full": "Stable Diffusion 2.1-base with the released sizes of the adapters", "small": "a small prior"}


def measure_time(pipeline: Any, *, side: int, repeats: int, timed_steps: int) -> Row:
    """Seconds of the pipeline and of the bare base in turn, at 50 steps.

    Args:
        pipeline: A `StableRestorePipeline` on its device; called once before.
        side: Of the square picture, in pixels.
        repeats: Of both.
        timed_steps: At least 2; scaled to 50.
    """
    picture, device = picture_of(side), pipeline._execution_device
    restore(pipeline, picture, num_steps=timed_steps)
    ours, bare, peaks = [], [], []
    for _ in range(repeats):
        bare.append(seconds_of_base(pipeline, picture, num_steps=timed_steps))
        _reset_peak(device)  # what the bare base took is not ours
        ours.append(seconds_of_restorer(pipeline, picture, num_steps=timed_steps))
        peaks += [torch.cuda.max_memory_allocated(device) / 1e9] if device.type == "cuda" else []
    peak = {"peak": round(max(peaks), 3)} if peaks else {}
    ratios = sorted(a["total"] / b["total"] for a, b in zip(ours, bare, strict=True))
    return {
        "threads": torch.get_num_threads(),
        "repeats": repeats,
        "timed_steps": timed_steps,
        "restorer": _medians(ours),
        "base": _medians(bare),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_range": [round(ratios[0], 3), round(ratios[-1], 3)],
        "drm": round(statistics.median(seconds_of_refiner(pipeline, picture) for _ in range(repeats)), 3),
        **peak,
    }


def seconds_of_restorer(pipeline: Any, picture: np.ndarray, *, num_steps: int) -> dict[str, float]:
    """One call without the DRM: seconds of what is done once, of a step, and of all at 50 steps."""
    device, ticks = pipeline._execution_device, []

    def tick(pipeline: Any, index: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        ticks.append(_now(device))
        return values

    start = _now(device)
    restore(pipeline, picture, num_steps=num_steps, callback_on_step_end=tick)
    total = _now(device) - start
    step = _median_step(ticks)
    once = total - num_steps * step
    return {"once": once, "step": step, "total": once + NUM_STEPS * step}


@torch.no_grad()
def seconds_of_base(pipeline: Any, picture: np.ndarray, *, num_steps: int) -> dict[str, float]:
    """VAE encode, bare U-Net steps without a scheduler, VAE decode: the same keys as ours.

    Freed memory is kept as in our pipeline, which is faster on the CPU.
    """
    pipeline.detach()
    vae, unet, device = pipeline.vae, pipeline.unet, pipeline._execution_device
    lq = lq_of(picture, multiple=downsampling_of(vae), device=device).to(vae.dtype)
    prompt_embeds = torch.zeros(1, NUM_TOKENS, pipeline.text_encoder.config.hidden_size, device=device).to(unet.dtype)
    with keeping_freed_memory():
        start = _now(device)
        latents = vae.encode(lq * 2 - 1).latent_dist.mode()
        ticks = [_now(device)]
        for timestep in torch.linspace(999, 0, num_steps, device=device).long():
            unet(latents, timestep, encoder_hidden_states=prompt_embeds, return_dict=False)
            ticks.append(_now(device))
        vae.decode(latents, return_dict=False)
        end = _now(device)
    step = _median_step(ticks)
    once = ticks[0] - start + end - ticks[-1]
    return {"once": once, "step": step, "total": once + NUM_STEPS * step}


def seconds_of_refiner(pipeline: Any, picture: np.ndarray) -> float:
    """What the DRM adds to the decoding of the picture's own latents."""
    seconds = []
    for refine in (False, True):
        start = _now(pipeline._execution_device)
        restore(pipeline, picture, num_steps=NUM_STEPS, strength=0.0, refine=refine)
        seconds.append(_now(pipeline._execution_device) - start)
    return seconds[1] - seconds[0]


def restore(pipeline: Any, picture: np.ndarray, *, num_steps: int, refine: bool = False, **options: Any) -> None:
    """Call the pipeline without tiles.

    Args:
        pipeline: Ours.
        picture: (H, W, 3) uint8.
        num_steps: Of the sampling.
        refine: Whether with the DRM.
        options: Further ones of the call.
    """
    pipeline(picture, num_inference_steps=num_steps, refine=refine, tile="off", output_type="photo", **options)


def judge_cost(rows: dict[str, dict[str, Row]]) -> list[Verdict]:
    """Each row's ratio beside its aim."""
    verdicts = []
    for where, row in rows.get("time", {}).items():
        low, high = row["ratio_range"]
        measured = f"{row['ratio']:.2f} ×, from {low:.2f} to {high:.2f}"
        verdicts.append(_verdict(f"time of 50 steps, {where}", measured, row["ratio"], most=MOST_TIME))
    for where, row in rows.get("memory", {}).items():
        ratio = row["restorer"]["beyond_weights"] / row["img2img"]["beyond_weights"]
        refined = row["refined"]["beyond_weights"] / row["img2img"]["beyond_weights"]
        measured = f"{ratio:.2f} ×; with the DRM {refined:.2f} ×"
        verdicts.append(_verdict(f"memory beyond the weights, {where}", measured, ratio, most=MOST_MEMORY))
    return verdicts or [_verdict("cost", NOT_MEASURED, None, most=MOST_TIME)]


def tables(document: dict[str, Any]) -> str:
    """Everything as Markdown."""
    rows = document["rows"]
    parameters = ", ".join(f"{name} {number / 1e6:.1f} M" for name, number in document["parameters"].items())
    measured = [row for section in rows.values() for row in section.values()]
    places = dict.fromkeys(told(row.get("environment")) for row in measured)
    parts = {"Aims": table_of_verdicts(judge_cost(rows)), "Time": _times(rows), "Memory": _memories(rows)}
    return joined(
        f"# What the stable track costs\n\nGenerated by, paths by names:\n\n{commands_of(measured)}",
        f"Random weights of {TITLES[document['widths']]}: {parameters}.",
        "\n".join(f"- Computed on {place}." for place in places),
        *(f"## {name}\n\n{part}" for name, part in parts.items() if part),
    )


def _times(rows: dict[str, dict[str, Row]]) -> str:
    """Seconds of a picture."""
    lines = []
    for where, row in rows.get("time", {}).items():
        cells = [f"{row[part][key]:.3f}" for part in ("restorer", "base") for key in ("once", "step", "total")]
        peak = f"{row['peak']:.2f}" if "peak" in row else "–"
        lines.append(
            f"| {where} | {row['threads']} | {row['repeats']} x {row['timed_steps']} steps | {' | '.join(cells)} | "
            f"{row['drm']:.3f} | {row['ratio']:.2f} | {peak} |"
        )
    columns = (
        "where",
        "CPU threads",
        "timed",
        "ours, once",
        "ours, a step",
        "ours, 50 steps",
        "base, once",
        "base, a step",
        "base, 50 steps",
        "the DRM",
        "ratio",
        "peak GB",
    )
    note = (
        "Seconds of one picture, without tiles. Ours: the whole call without the DRM, with CLIP's tower, the text and "
        "the IR-Adapter. Base: VAE encode, bare U-Net, VAE decode, the same networks in turn in one process. Medians; "
        "the ratio is the median of the rounds' own. Where fewer steps are timed, 50 are computed from the median step."
    )
    return f"{note}\n\n{markdown_table(columns, lines)}" if lines else ""


def _memories(rows: dict[str, dict[str, Row]]) -> str:
    """Peaks of the three pipelines."""
    lines = []
    for where, row in rows.get("memory", {}).items():
        cells = (f"{row[kind]['beyond_weights']:.3f}" for kind in KINDS)
        peaks = " / ".join(f"{row[kind].get('peak', row[kind].get('idle')):.2f}" for kind in KINDS)
        lines.append(f"| {where} | {' | '.join(cells)} | {peaks} |")
    columns = ("where", "ours without DRM", "ours", "img2img", "with the weights (CPU: before the call)")
    note = (
        "Peak in 10^9 bytes beyond the weights, each in a process of its own, without tiles; diffusers' img2img on the "
        "same base without classifier-free guidance, its text given as embeddings. On a GPU with model off-loading: "
        "torch's allocations less the weights there at that time. On the CPU, where there is nothing to off-load to: "
        "resident memory above that before the call."
    )
    return f"{note}\n\n{markdown_table(columns, lines)}" if lines else ""


def _verdict(what: str, measured: str, ratio: float | None, *, most: float) -> Verdict:
    """An upper bound that is hoped for."""
    return Verdict(
        what=what,
        measured=measured,
        bound="–",
        is_bound_met=None,
        aim=f"≤ {most:g} ×",
        is_aim_met=None if ratio is None else ratio <= most,
    )


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


def _reset_peak(device: torch.device) -> None:
    """Forget what was allocated at most so far."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def header_of(widths: str) -> dict[str, Any]:
    """What all rows share."""
    return {"widths": widths, "weights": "random", "parameters": count_parameters(widths)}


def open_file(arguments: argparse.Namespace) -> MeasurementFile:
    """The rows that are stored.

    Raises:
        ValueError: they are of other networks; not even `--fresh` drops them.
    """
    header = header_of(arguments.widths)
    if arguments.out.is_file():
        stored = json.loads(arguments.out.read_text(encoding="utf-8"))
        if any(stored.get(key) != value for key, value in header.items()):
            raise ValueError(
                f"{arguments.out} holds rows of other networks than those of --widths {arguments.widths}; write to "
                "another --out, or move it"
            )
    return MeasurementFile(arguments.out, header)


def titles_of(arguments: argparse.Namespace, *, threads: int) -> dict[str, str]:
    """Names of the rows by section, with all that a row's figures hang on.

    Args:
        arguments: Of the command line.
        threads: Of torch on the CPU.
    """
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    shared = f"{device}, {arguments.side} pixels, {arguments.dtype}, {threads} threads"
    return {
        "memory": f"{shared}, {NUM_MEMORY_STEPS} steps",
        "time": f"{shared}, {arguments.repeats} x {arguments.timed_steps} steps",
    }


def command_line(arguments: argparse.Namespace) -> str:
    """The command that measures a row."""
    names = ("widths", "device", "side", "dtype", "timed_steps", "repeats")
    options = {"out": arguments.out.name, **{name: getattr(arguments, name) for name in names}}
    return command_of("measure_stable_cost", options=options)


def measure(arguments: argparse.Namespace, file: MeasurementFile) -> None:
    """The rows that are not stored; memory first, while this process is small."""
    device, dtype, side = arguments.device, arguments.dtype, arguments.side
    titles = titles_of(arguments, threads=torch.get_num_threads())
    same = {"environment": environment_of(device)}
    told_of_row = {**same, "command": command_line(arguments)}
    measured: dict[str, Callable[[], Row]] = {
        "memory": lambda: {
            kind: measure_in_process(kind, widths=arguments.widths, side=side, device=device, dtype=dtype)
            for kind in KINDS
        },
        "time": lambda: measure_time(
            build_restorer(arguments.widths, dtype=getattr(torch, dtype)).to(device),
            side=side,
            repeats=arguments.repeats,
            timed_steps=arguments.timed_steps,
        ),
    }
    for section in [section for section in measured if section in arguments.only]:
        where = titles[section]
        if arguments.fresh or known_row(file, section, where, same=same) is None:
            file.add(section, where, {**measured[section](), **told_of_row})
            print(section, where, file.row(section, where), flush=True)


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line, None for the process's own; what is left open follows from the device."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the .json file; the tables are written beside it")
    parser.add_argument("--widths", choices=NAMES_OF_WIDTHS, default="full")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--side", type=int, help="of the picture in pixels; 256, with CUDA 512")
    parser.add_argument("--dtype", choices=DTYPES, help="float32, with CUDA bfloat16")
    parser.add_argument("--timed-steps", type=int, help="4, with CUDA 50")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=("memory", "time"), default=["memory", "time"])
    parser.add_argument("--fresh", action="store_true", help="measure the rows of these settings anew")
    arguments = parser.parse_args(given)
    is_gpu = arguments.device == "cuda"
    arguments.side = arguments.side or (512 if is_gpu else 256)
    arguments.dtype = arguments.dtype or ("bfloat16" if is_gpu else "float32")
    arguments.timed_steps = arguments.timed_steps or (NUM_STEPS if is_gpu else 4)
    if arguments.timed_steps < 2 or arguments.repeats < 1:
        parser.error("expected --timed-steps of at least 2 and --repeats of at least 1")
    return arguments


def main() -> None:
    """Parse the command line, measure what is not stored, write the tables."""
    arguments = parse_arguments()
    try:
        file = open_file(arguments)
        measure(arguments, file)
    except (*WRONG_INPUT, subprocess.CalledProcessError) as error:
        sys.exit(str(error))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".md").write_text(tables(file.document()), encoding="utf-8")
    print(table_of_verdicts(judge_cost(file.rows)))


if __name__ == "__main__":
    main()
