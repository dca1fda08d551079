"""A document of measurements as Markdown tables."""

from collections import Counter

from bounds import Verdict
from measurement_file import Row


def table_of_verdicts(verdicts: list[Verdict]) -> str:
    """Bounds and aims, met or missed."""
    words = {True: "met", False: "**missed**", None: "–"}
    lines = [
        f"| {item.what} | {item.measured} | {item.bound} | {words[item.is_bound_met]} | {item.aim} | "
        f"{words[item.is_aim_met]} |"
        for item in verdicts
    ]
    return markdown_table(("what", "measured", "bound", "", "aim", ""), lines)


def confusions_of(rows: dict[str, Row]) -> str:
    """The table of rows that hold what was "predicted" at each severity, names or counts of them; empty without any."""
    counts = {name: sum((Counter(seen) for seen in row["predicted"].values()), Counter()) for name, row in rows.items()}
    named = [*counts, *sorted({other for seen in counts.values() for other in seen} - counts.keys())]
    lines = []
    for name, seen in counts.items():
        shares = (100 * seen[other] / seen.total() for other in named)
        lines.append(f"| {name} | " + " | ".join(f"{share:.0f}" if share else "" for share in shares) + " |")
    return markdown_table(("true \\ estimated", *named), lines) if lines else ""


def mean_and_interval(row: Row, metric: str, *, digits: int = 2) -> str:
    """A mean and its interval."""
    mean, low, high = row["means"][metric]
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def markdown_table(columns: tuple[str, ...], lines: list[str]) -> str:
    """A Markdown table."""
    return "\n".join([f"| {' | '.join(columns)} |", "|" + "---|" * len(columns), *lines])


def joined(*parts: str) -> str:
    """Paragraphs that are not empty."""
    return "\n\n".join(part for part in parts if part) + "\n"
