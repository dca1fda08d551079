"""What the default model is held to: for each row a bound that must hold, and an aim.

Means are judged, not their intervals.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from measurement_file import interval

from ldrestore.degradations.catalog import MIXTURES
from ldrestore.structures import FIRST_SET

Rows = dict[str, dict[str, Any]]

Mean = tuple[float, float, float]
"""A mean with the ends of its interval."""
NOT_MEASURED = "not measured"
NUM_CORES = 2
"""Of the machine that speed is judged on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One line of the table of bounds."""

    what: str
    """What is judged."""
    measured: str
    """The figures, or "not measured"."""
    bound: str
    """What must hold."""
    is_bound_met: bool | None
    """None if it was not measured."""
    aim: str
    """What is hoped for."""
    is_aim_met: bool | None
    """None if it was not measured."""


def judge(document: dict[str, Any]) -> list[Verdict]:
    """All verdicts on a document of measurements, in the order of the tables."""
    rows = document["rows"]
    return [
        *_noise(rows),
        *_gains(rows),
        *_mixtures(rows),
        *_real(rows),
        *_clean(rows),
        *_estimate(rows),
        *_speed(rows),
    ]


def top1(rows: Rows) -> Mean | None:
    """Share of pictures whose surest estimate is right, over the first set; None unless all were measured.

    The interval is over pictures, each with all its degradations and severities.
    """
    measured = rows.get("estimate", {})
    if any(name not in measured for name in FIRST_SET):
        return None
    return mean_over_rows([values_by_name(row, "top1") for row in measured.values()])


def values_by_name(row: dict[str, Any], metric: str) -> dict[str, float]:
    """The values of a metric by the names of their pictures."""
    return dict(zip(row["names"], row["per_picture"][metric], strict=True))


def mean_over_rows(values: list[dict[str, float]]) -> Mean | None:
    """The mean over rows and pictures, its interval over pictures; of those that are in every row. None without any."""
    names = [name for name in values[0] if all(name in others for others in values)] if values else []
    if not names:
        return None
    of_pictures = [sum(row[name] for row in values) / len(values) for name in names]
    return (sum(of_pictures) / len(of_pictures), *interval(of_pictures))


def _noise(rows: Rows) -> Iterator[Verdict]:
    """Gaussian noise: decibels, and CBM3D on the same pictures."""
    for sigma, bound in ((15, 32.8), (25, 30.3), (50, 27.2)):
        recipe = f"gaussian_noise(sigma_255={sigma})"
        ours = mean_of(rows, "degradations", recipe, "restored_psnr")
        same, theirs = (mean_of(rows, "cbm3d", recipe, metric) for metric in ("restored_psnr", "cbm3d_psnr"))
        is_compared = same is not None and theirs is not None
        beside = f"; {same[0]:.2f} against CBM3D's {theirs[0]:.2f} on the same few pictures" if is_compared else ""
        yield Verdict(
            what=recipe,
            measured=NOT_MEASURED if ours is None else f"{written(ours)} dB{beside}",
            bound=f"≥ {bound} dB",
            is_bound_met=None if ours is None else ours[0] >= bound,
            aim="above CBM3D told σ",
            is_aim_met=same[0] > theirs[0] if is_compared else None,
        )


_GAINS: dict[str, tuple[float, float, tuple[str, ...]]] = {
    "rain": (3, 6, ()),
    "snow": (3, 6, ()),
    "haze": (3, 6, ("dark_channel",)),
    "raindrop": (3, 6, ()),
    "low_light": (3, 6, ("clahe", "histogram_equalisation")),
    "jpeg": (0.4, 0.8, ()),
    "motion_blur": (0.6, 1.5, ()),
    "defocus_blur": (1.0, 2.0, ()),
}
"""Degradation to bound and aim in dB over the input, and the peers that it must be above."""


def _gains(rows: Rows) -> Iterator[Verdict]:
    """Other degradations: decibels over the input, and above the classical peers."""
    for recipe, (bound, hoped, peers) in _GAINS.items():
        gain, ours = (mean_of(rows, "degradations", recipe, metric) for metric in ("gain_psnr", "restored_psnr"))
        theirs = {peer: mean_of(rows, "degradations", recipe, f"{peer}_psnr") for peer in peers}
        is_measured = gain is not None and ours is not None and None not in theirs.values()
        beside = "".join(f"; {name_of(peer)} {value[0]:.2f} dB" for peer, value in theirs.items() if is_measured)
        is_above = is_measured and all(ours[0] > value[0] for value in theirs.values())
        yield Verdict(
            what=recipe,
            measured=f"{written(gain, sign='+')} to {ours[0]:.2f} dB{beside}" if is_measured else NOT_MEASURED,
            bound=f"≥ +{bound:g} dB" + "".join(f", above {name_of(peer)}" for peer in peers),
            is_bound_met=gain[0] >= bound and is_above if is_measured else None,
            aim=f"≥ +{hoped:g} dB",
            is_aim_met=gain[0] >= hoped if is_measured else None,
        )


def judged_mixtures() -> list[str]:
    """CDD11's mixtures of two, and all of MID6."""
    return [name for name, recipe in MIXTURES.items() if name.startswith("mid6/") or recipe.count("+") == 1]


def _mixtures(rows: Rows) -> Iterator[Verdict]:
    """Mixtures: above the input in PSNR and nearer in ST-LPIPS."""
    for name in judged_mixtures():
        metrics = ("gain_psnr", "input_stlpips", "restored_stlpips")
        gain, before, after = (mean_of(rows, "mixtures", name, metric) for metric in metrics)
        is_measured = gain is not None and before is not None and after is not None
        yield Verdict(
            what=name,
            measured=f"{written(gain, sign='+')} dB; ST-LPIPS {before[0]:.3f} to {after[0]:.3f}"
            if is_measured
            else NOT_MEASURED,
            bound="> input in both",
            is_bound_met=gain[0] > 0 and after[0] < before[0] if is_measured else None,
            aim="≥ +3 dB",
            is_aim_met=gain[0] >= 3 if is_measured else None,
        )


def _real(rows: Rows) -> Iterator[Verdict]:
    """Real pairs: not below the input."""
    aims: dict[str, tuple[str, Callable[[float, float], bool]]] = {
        "polyu": ("≥ +0.3 dB", lambda gain, _: gain >= 0.3),
        "sots_indoor": ("≥ 16 dB", lambda _, restored: restored >= 16),
        "rain100h": ("≥ 17 dB", lambda _, restored: restored >= 17),
    }
    for name, (aim, is_met) in aims.items():
        gain, restored = (mean_of(rows, "real", name, metric) for metric in ("gain_psnr", "restored_psnr"))
        is_measured = gain is not None and restored is not None
        yield Verdict(
            what=name,
            measured=f"{written(gain, sign='+')} to {restored[0]:.2f} dB" if is_measured else NOT_MEASURED,
            bound="not below input",
            is_bound_met=gain[0] >= 0 if is_measured else None,
            aim=aim,
            is_aim_met=is_met(gain[0], restored[0]) if is_measured else None,
        )


def _clean(rows: Rows) -> Iterator[Verdict]:
    """Clean pictures come back."""
    yield bounded("clean", mean_of(rows, "clean", "clean", "restored_psnr"), bound=38, aim=42, unit="dB")


def _estimate(rows: Rows) -> Iterator[Verdict]:
    """The degradation estimate."""
    share = top1(rows)
    percent = None if share is None else tuple(100 * value for value in share)
    yield bounded("top-1 degradation at severity 0.4 and above", percent, bound=85, aim=95, unit="%")


def _speed(rows: Rows) -> Iterator[Verdict]:
    """Time in multiples of OpenCV's non-local means."""
    row = rows.get("speed", {}).get("megapixel", {})
    ratio = row.get("ratio") if row.get("threads") == row.get("opencv_threads") == NUM_CORES else None
    yield Verdict(
        what="1 megapixel",
        measured=NOT_MEASURED if ratio is None else f"{ratio:.2f} × OpenCV NLM",
        bound="≤ 1.5 ×",
        is_bound_met=None if ratio is None else ratio <= 1.5,
        aim="≤ 1 ×",
        is_aim_met=None if ratio is None else ratio <= 1,
    )


def bounded(what: str, value: Mean | None, *, bound: float, aim: float, unit: str) -> Verdict:
    """A value that must reach two lower bounds."""
    return Verdict(
        what=what,
        measured=NOT_MEASURED if value is None else f"{written(value)} {unit}",
        bound=f"≥ {bound:g} {unit}",
        is_bound_met=None if value is None else value[0] >= bound,
        aim=f"≥ {aim:g} {unit}",
        is_aim_met=None if value is None else value[0] >= aim,
    )


def mean_of(rows: Rows, section: str, name: str, metric: str) -> Mean | None:
    """The mean of a metric and its interval; None if it was not measured."""
    means = rows.get(section, {}).get(name, {}).get("means", {})
    return tuple(means[metric]) if metric in means else None


def written(mean: Mean, *, sign: str = "") -> str:
    """A mean and its interval."""
    return f"{mean[0]:{sign}.2f} [{mean[1]:{sign}.2f}, {mean[2]:{sign}.2f}]"


def name_of(peer: str) -> str:
    """A peer as tables write it."""
    names = {
        "opencv_nlm": "OpenCV NLM told σ",
        "dark_channel": "dark channel",
        "clahe": "CLAHE",
        "histogram_equalisation": "histogram equalisation",
        "named": "the damage named",
    }
    return names[peer]
