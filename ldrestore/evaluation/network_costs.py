"""Parameters, operations and time of networks with random weights, each in turn with the same network of plain blocks.

    ldrestore bench --network all --out docs/regressors          # all, on this machine
    ldrestore bench --network restormer --network moce_ir        # some, to the screen

Both meet the same state of the machine, see `plain_blocks`. The yardstick of speed is the product of two matrices.
"""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ldrestore.evaluation.plain_blocks import plain_blocks
from ldrestore.evaluation.stored_files import write_text
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.regressors.factory import create_regressor, embedding_shape_of, list_regressors

PUBLISHED = {
    "nafnet_gopro_w32": 17.112,
    "restormer": 26.127,
    "promptir": 35.592,
    "instructir": 15.843,
    "moce_ir": 25.354,
    "moce_ir_s": 11.478,
    "datprl_ir": 53.134,
    "mmfe_ir": 37.503,
}
"""Parameters of the published networks in millions; of MMFE-IR those of the reconstruction."""

MATRIX_SIDE = 2048
"""Of the matrices, in numbers."""


def measure_network(name: str, *, side: int, repeats: int, device: torch.device) -> dict[str, Any]:
    """One network: parameters, operations, seconds, and the ratio to a baseline.

    That is the same network of plain blocks. All in float32.

    Args:
        name: Registry name.
        side: Of the square picture, in pixels.
        repeats: Timed passes of both, after one that is not.
        device: Where they run.
    """
    record = REGRESSORS.get(name)
    torch.manual_seed(0)
    network = create_regressor(name).eval().to(device)
    lq = torch.rand(1, 3, side, side, device=device)
    shape = embedding_shape_of(network)
    embedding = {} if shape is None else {"embedding": torch.randn(1, *shape, device=device)}
    matrix = torch.randn(MATRIX_SIDE, MATRIX_SIDE, device=device)
    with torch.inference_mode():
        seconds, baseline_seconds, product_seconds = in_turn(
            (partial(network, lq, **embedding), nullcontext),
            (partial(network, lq, **embedding), plain_blocks),
            (partial(torch.matmul, matrix, matrix), nullcontext),
            repeats=repeats,
            device=device,
        )
    macs = record.macs * (side / 256) ** 2
    return {
        "parameters": record.parameters,
        "macs_at_256": record.macs,
        "seconds": round(statistics.median(seconds), 4),
        "baseline_seconds": round(statistics.median(baseline_seconds), 4),
        "ratio": round(statistics.median(a / b for a, b in zip(seconds, baseline_seconds, strict=True)), 3),
        "gflops": round(2 * macs / statistics.median(seconds) / 1e9, 1),
        "matrix_gflops": round(2 * MATRIX_SIDE**3 / statistics.median(product_seconds) / 1e9, 1),
    }


def measure_networks(
    names: Sequence[str], *, side: int = 256, repeats: int = 5, device: str = "cpu", say: Callable[[str], None]
) -> dict[str, Any]:
    """Several networks, one after the other.

    Args:
        names: Registry names; "all" alone for all.
        side: Of the square picture, in pixels.
        repeats: Timed passes of each.
        device: Where they run.
        say: Is told of each row.

    Raises:
        UnknownNameError: no such network.
    """
    place = torch.device(device)
    rows = {}
    for name in list(list_regressors()) if list(names) == ["all"] else names:
        rows[name] = measure_network(name, side=side, repeats=repeats, device=place)
        say(f"{name} {json.dumps(rows[name])}")
    is_gpu = place.type == "cuda"
    machine = torch.cuda.get_device_name(place) if is_gpu else f"{torch.get_num_threads()} CPU threads"
    how = {"side": side, "repeats": repeats, "machine": machine, "dtype": "float32", "torch": torch.__version__}
    return {"how": how, "rows": rows}


def write_network_costs(document: dict[str, Any], out_dir: Path) -> None:
    """Write regressors.json and regressors.md.

    Raises:
        ImageWriteError: the folder cannot be written.
    """
    write_text(out_dir / "regressors.json", json.dumps(document, indent=2) + "\n")
    write_text(out_dir / "regressors.md", network_tables(document))


def in_turn(
    *calls: tuple[Callable[[], Tensor], Callable[[], Any]], repeats: int, device: torch.device
) -> list[list[float]]:
    """Seconds of several calls, each within its context, one after the other, after a pass that is not timed."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(repeats + 1):
        for seconds, (call, context) in zip(times, calls, strict=True):
            with context():
                elapsed = seconds_of(call, device)
            if turn > 0:
                seconds.append(elapsed)
    return times


def seconds_of(call: Callable[[], Tensor], device: torch.device) -> float:
    """Wall-clock seconds of one call."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def network_tables(document: dict[str, Any]) -> str:
    """Parameters and times as Markdown."""
    how = document["how"]
    lines = [
        "# Parameters and times of the regressors",
        "",
        "Generated by `ldrestore bench --network all --out docs/regressors`.",
        "",
        "| architecture | parameters (M) | published (M) | operations at 256 x 256 (GMAC) |",
        "|---|---|---|---|",
    ]
    for name, record in list_regressors().items():
        published = f"{PUBLISHED[name]:.3f}" if name in PUBLISHED else ""
        lines.append(f"| {name} | {record.parameters / 1e6:.3f} | {published} | {record.macs / 1e9:.2f} |")
    lines += [
        "",
        f"One picture of {how['side']} x {how['side']} on {how['machine']}, {how['dtype']}; medians of "
        f"{how['repeats']}, in turn with plain blocks and with the "
        f"product of two matrices of {MATRIX_SIDE} x {MATRIX_SIDE}. Of MoCE-IR the operations are those of its dearest "
        "experts, so that its GFLOP/s are at most these.",
        "",
        "| architecture | seconds | plain blocks, seconds | ratio | GFLOP/s | GFLOP/s of the matrix product | share |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in document["rows"].items():
        share = row["gflops"] / row["matrix_gflops"]
        lines.append(
            f"| {name} | {row['seconds']:.3f} | {row['baseline_seconds']:.3f} | {row['ratio']:.2f} | "
            f"{row['gflops']:.0f} | {row['matrix_gflops']:.0f} | {share:.0%} |"
        )
    return "\n".join(lines) + "\n"
