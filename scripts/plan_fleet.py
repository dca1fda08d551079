"""Plan a run of many pictures from a measured one: workers, machines, cost, storage, failures.

    ldrestore restore sample/ out/ --engine ray --workers 1 --threads 1 --json > report.json
    python scripts/plan_fleet.py report.json --pictures 100000000 --days 10 --workers-a-machine 32 --price 1.2

The sample is a few hundred pictures such as the many are, restored on a machine such as the many are, its files still
where they were. Prints a table in Markdown; prices are of whatever currency the option's is.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESERVE = 1.15
"""Room for restarts, slow machines and the last pictures."""
SHARD = 100_000
"""Pictures of one call."""
FOLDER = 100
"""Pictures of one folder."""
HOURS_BETWEEN_LOSSES = 24
"""After so long a machine of a cheap offer is taken away."""
SECONDS_TO_START = 60
"""Until a new worker has its model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was measured."""

    seconds: float
    """Of one picture on one worker."""
    bytes_in: float
    """Of one picture as it was."""
    bytes_out: float
    """Of one result with its record."""
    share_failed: float
    """Of all pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What is wanted, and what a machine is."""

    pictures: int
    days: float
    """Within which they are to be done."""
    workers_a_machine: int
    price: float
    """Of an hour of a machine."""


def sample_of(report: Mapping[str, Any], *, seconds: float | None = None) -> Sample:
    """What a run measured.

    Args:
        report: As `ldrestore restore --json` prints it; the files are still there.
        seconds: Of one picture where the report's own would mislead, such as on a machine that others used, too.

    Raises:
        ValueError: nothing was done.
    """
    done = [result for result in report["results"] if result["status"] == "done"]
    if not done:
        raise ValueError("the report has no picture that was done; give OUT a new name and run the sample again")
    outputs = [Path(result["output"]) for result in done]
    records = [path.with_name(f"{path.name}.json") for path in outputs]
    written = sum(path.stat().st_size for path in (*outputs, *records) if path.is_file())
    failed = sum(result["status"] == "failed" for result in report["results"])
    return Sample(
        seconds=seconds or sum(result["seconds"] for result in done) / len(done),
        bytes_in=sum(Path(result["input"]).stat().st_size for result in done) / len(done),
        bytes_out=written / len(done),
        share_failed=failed / (failed + len(done)),
    )


def plan_rows(sample: Sample, fleet: Fleet) -> list[tuple[str, str, str]]:
    """Rows of the plan: what, how it is reckoned, how much."""
    worker_hours = fleet.pictures * sample.seconds / 3600
    machine_hours = worker_hours * RESERVE / fleet.workers_a_machine
    machines = math.ceil(machine_hours / (24 * fleet.days))
    workers = machines * fleet.workers_a_machine
    traffic = fleet.pictures * (sample.bytes_in + sample.bytes_out) / (86_400 * fleet.days)
    losses = machines * 24 * fleet.days / HOURS_BETWEEN_LOSSES
    lost_hours = losses * fleet.workers_a_machine * (sample.seconds + SECONDS_TO_START) / 3600
    return [
        ("a picture on one worker", "measured", f"{sample.seconds:.3g} s"),
        ("worker hours", "pictures x seconds / 3600", f"{worker_hours:,.0f}"),
        ("machine hours", f"{RESERVE:g} x worker hours / workers a machine", f"{machine_hours:,.0f}"),
        ("machines", f"machine hours / {fleet.days:g} days", f"{machines:,} with {workers:,} workers"),
        ("cost", "machine hours x price", f"{machine_hours * fleet.price:,.0f}"),
        ("reading", "pictures x bytes in", f"{fleet.pictures * sample.bytes_in / 1e12:.3g} TB"),
        ("writing", "pictures x bytes out with records", f"{fleet.pictures * sample.bytes_out / 1e12:.3g} TB"),
        ("traffic of the storage", "both / duration", f"{traffic / 1e6:,.0f} MB/s"),
        ("calls", f"one a shard of {SHARD:,} pictures", f"{math.ceil(fleet.pictures / SHARD):,}"),
        ("folders", f"{FOLDER} pictures in each", f"{math.ceil(fleet.pictures / FOLDER):,}"),
        ("machines lost", f"each once in {HOURS_BETWEEN_LOSSES} hours", f"{losses:,.0f}"),
        ("work lost with them", "a picture and a start a worker", f"{lost_hours:,.0f} worker hours"),
        ("pictures named as failed", "share of the sample", f"{fleet.pictures * sample.share_failed:,.0f}"),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a plan.

    Args:
        arguments: Words of the command line; None takes those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("report", type=Path, help="what `ldrestore restore --json` printed")
    parser.add_argument("--pictures", type=int, default=100_000_000)
    parser.add_argument("--days", type=float, default=10)
    parser.add_argument("--workers-a-machine", type=int, default=32)
    parser.add_argument("--price", type=float, required=True, help="of an hour of a machine")
    parser.add_argument("--seconds", type=float, help="of one picture on one worker, in place of the report's")
    options = parser.parse_args(arguments)
    sample = sample_of(json.loads(options.report.read_bytes()), seconds=options.seconds)
    fleet = Fleet(
        pictures=options.pictures,
        days=options.days,
        workers_a_machine=options.workers_a_machine,
        price=options.price,
    )
    print("| what | how it is reckoned | how much |\n|---|---|---|")
    for row in plan_rows(sample, fleet):
        print(f"| {' | '.join(row)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
