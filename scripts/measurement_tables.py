"""A document of measurements as Markdown tables."""

from collections import Counter
from typing import Any

from bounds import Verdict, judge, name_of, top1
from measurement_file import Row, worst_gain

PROTOCOL = """\
Protocol "uint8": degraded at severity 0.5 or as stated, clipped and rounded to 8 bits; restored untold; rounded to 8
bits; PSNR over RGB. In brackets the 95 % bootstrap interval of a mean over pictures."""


def summary(document: dict[str, Any]) -> str:
    """What a reader of the README needs: degradations, verdicts, speed and memory."""
    return joined(_origin(document), _degradations(document), _real(document), _verdicts(document), _cost(document))


def all_tables(document: dict[str, Any], *, heading: str = "###") -> str:
    """Every table but the confusions, each under a heading."""
    parts = {
        "Bounds and aims": _verdicts(document),
        "Single degradations and clean pictures": _degradations(document),
        "Beside CBM3D": _cbm3d(document),
        "Mixtures": _mixtures(document),
        "Real pairs that it never saw": _real(document),
        "Degradation estimate": _estimate(document),
        "Time and memory": _cost(document),
    }
    return joined(_origin(document), *(f"{heading} {title}\n\n{part}" for title, part in parts.items() if part))


def table_of_verdicts(verdicts: list[Verdict]) -> str:
    """Bounds and aims, met or missed."""
    words = {True: "met", False: "**missed**", None: "–"}
    lines = [
        f"| {item.what} | {item.measured} | {item.bound} | {words[item.is_bound_met]} | {item.aim} | "
        f"{words[item.is_aim_met]} |"
        for item in verdicts
    ]
    return markdown_table(("what", "measured", "bound", "", "aim", ""), lines)


def table_of_confusions(document: dict[str, Any]) -> str:
    """Which degradation was taken for which, over all severities, in percent; empty if it was not measured."""
    return confusions_of(document["rows"].get("estimate", {}))


def confusions_of(rows: dict[str, Row]) -> str:
    """The table of rows that hold what was "predicted" at each severity, names or counts of them; empty without any."""
    counts = {name: sum((Counter(seen) for seen in row["predicted"].values()), Counter()) for name, row in rows.items()}
    named = [*counts, *sorted({other for seen in counts.values() for other in seen} - counts.keys())]
    lines = []
    for name, seen in counts.items():
        shares = (100 * seen[other] / seen.total() for other in named)
        lines.append(f"| {name} | " + " | ".join(f"{share:.0f}" if share else "" for share in shares) + " |")
    return markdown_table(("true \\ estimated", *named), lines) if lines else ""


def _origin(document: dict[str, Any]) -> str:
    """Pictures, protocol and model."""
    num_pictures = len(document["pictures"])
    return f"{num_pictures} clean pictures (Kodak24, the 500 x 500 crops). {PROTOCOL}"


def _verdicts(document: dict[str, Any]) -> str:
    """The table of bounds, below a line of counts."""
    verdicts = judge(document)
    bounds = Counter(item.is_bound_met for item in verdicts)
    aims = Counter(item.is_aim_met for item in verdicts)
    counts = (
        f"{bounds[True]} bounds hold, {bounds[False]} missed, {bounds[None]} not measured; "
        f"{aims[True]} aims are reached, {aims[False]} missed, {aims[None]} not measured. Means are judged."
    )
    return f"{counts}\n\n{table_of_verdicts(verdicts)}"


def _degradations(document: dict[str, Any]) -> str:
    """Single degradations and clean pictures."""
    rows = {**document["rows"].get("degradations", {}), **document["rows"].get("clean", {})}
    lines = [f"| {name} | {_psnr_cells(row)} | {_peers(row) or '–'} |" for name, row in rows.items()]
    columns = ("degradation", "input dB", "restored dB", "worst picture's gain", "classical peers, dB")
    return markdown_table(columns, lines) if lines else ""


def _real(document: dict[str, Any]) -> str:
    """Real pairs."""
    rows = document["rows"].get("real", {})
    lines = [
        f"| {name}, {len(row['names'])} pairs | {_psnr_cells(row)} | {_peers(row) or '–'} |"
        for name, row in rows.items()
    ]
    columns = ("real pairs", "input dB", "restored dB", "worst picture's gain", "classical peers, dB")
    return markdown_table(columns, lines) if lines else ""


def _mixtures(document: dict[str, Any]) -> str:
    """Mixtures, with the perceptual distance."""
    lines = [
        f"| {name} | {_psnr_cells(row)} | {mean_and_interval(row, 'input_stlpips', digits=3)} | "
        f"**{mean_and_interval(row, 'restored_stlpips', digits=3)}** |"
        for name, row in document["rows"].get("mixtures", {}).items()
    ]
    columns = ("mixture", "input dB", "restored dB", "worst picture's gain", "input ST-LPIPS", "restored ST-LPIPS")
    return markdown_table(columns, lines) if lines else ""


def _cbm3d(document: dict[str, Any]) -> str:
    """Ours and CBM3D on the same pictures."""
    rows = document["rows"].get("cbm3d", {})
    lines = [
        f"| {name} | {len(row['names'])} | **{mean_and_interval(row, 'restored_psnr')}** | "
        f"{mean_and_interval(row, 'cbm3d_psnr')} |"
        for name, row in rows.items()
    ]
    note = (
        "CBM3D is told σ and comes from its authors' package bm3d, whose licence allows non-commercial use alone; its "
        "results are stored in `docs/default_model/cbm3d.json`."
    )
    table = markdown_table(("degradation", "pictures", "restored dB, untold", "CBM3D dB, told σ"), lines)
    return f"{note}\n\n{table}" if lines else ""


def _estimate(document: dict[str, Any]) -> str:
    """Top-1 accuracy a degradation."""
    rows = document["rows"].get("estimate", {})
    overall = top1(document["rows"])
    if overall is None:
        return ""
    severities = next(iter(rows.values()))["predicted"]
    share, low, high = (100 * value for value in overall)
    line = (
        f"The surest name is the right one for {share:.1f} % [{low:.1f}, {high:.1f}] of "
        f"the pictures with one degradation, over severities {', '.join(severities)}."
    )
    lines = []
    for name, row in rows.items():
        hits = (100 * seen.get(name, 0) / sum(seen.values()) for seen in row["predicted"].values())
        mean, low, high = (100 * value for value in row["means"]["top1"])
        lines.append(
            f"| {name} | " + " | ".join(f"{hit:.0f}" for hit in hits) + f" | {mean:.1f} [{low:.1f}, {high:.1f}] |"
        )
    columns = ("degradation", *(f"% at {severity}" for severity in severities), "% in all")
    return f"{line}\n\n{markdown_table(columns, lines)}"


def _cost(document: dict[str, Any]) -> str:
    """Lines on time and memory."""
    parts = []
    for row in document["rows"].get("speed", {}).values():
        low, high = row["ratio_range"]
        parts.append(
            f"- Time: {row['seconds'] / row['megapixels']:.2f} s a megapixel on {row['threads']} CPU threads; OpenCV's "
            f"`fastNlMeansDenoisingColored` {row['opencv_nlm_seconds'] / row['megapixels']:.2f} s in the same run; "
            f"medians of {row['repeats']} in turn; ratio {row['ratio']:.2f}, from {low:.2f} to {high:.2f}."
        )
    parts += [
        f"- Memory: {row['width']} x {row['height']} pixels with `--memory {row['budget']:g}`: peak "
        f"{row['peak_above_idle']:.2f} GB above the idle process ({row['idle']:.2f} GB), {row['seconds']} s."
        for row in document["rows"].get("memory", {}).values()
    ]
    return "\n".join(parts)


def _psnr_cells(row: Row) -> str:
    """Input, restored, worst gain."""
    _, gain = worst_gain(row)
    return f"{mean_and_interval(row, 'input_psnr')} | **{mean_and_interval(row, 'restored_psnr')}** | {gain:+.2f}"


def _peers(row: Row) -> str:
    """The classical restorers of a row."""
    others = [metric.removesuffix("_psnr") for metric in row["means"] if metric.endswith("_psnr")]
    peers = [peer for peer in others if peer not in ("input", "restored", "gain")]
    return "; ".join(f"{name_of(peer)} {mean_and_interval(row, f'{peer}_psnr')}" for peer in peers)


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
