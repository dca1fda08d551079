"""What a model of the stable track is held to, over the nine degradations of MPerceiver.

Means are judged, not their intervals. Rows of different sections are held against each other picture by picture; a
bound is judged only where all its rows are of the same pictures, of enough of them, and computed in one environment.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bounds import NOT_MEASURED, Mean, Rows, Verdict, bounded, mean_over_rows, values_by_name, written

from ldrestore.structures import MPERCEIVER_SET

NO_BOUND = "–"
LEAST_PICTURES = 8
"""Fewer are not judged."""
LEAST_LOSS = 0.5
"""Decibels that a degradation must lose without the sampled latents."""
WITHIN = 0.3
"""Decibels that the two solvers may differ by."""

Differences = dict[str, dict[str, float]]
"""Decibels by degradation and picture."""


def judge_stable(document: dict[str, Any]) -> list[Verdict]:
    """All verdicts on a document of measurements, in the order of the tables."""
    judges: list[tuple[Callable[[dict[str, Any]], Verdict], tuple[str, ...]]] = [
        (_predictor, ("predictor",)),
        (_restoration, ("restoration",)),
        (_prior, ("restoration", "prior")),
        (_refiner, ("restoration",)),
        (_solvers, tuple(dict.fromkeys((own_scheduler(document)[0], "solvers")))),
    ]
    return [_judged(judge(document), document["rows"], sections) for judge, sections in judges]


def _judged(verdict: Verdict, rows: Rows, sections: tuple[str, ...]) -> Verdict:
    """A verdict with the number of its pictures; or with the reason why there is none."""
    obstacle = obstacle_of(rows, sections)
    if obstacle is not None:
        return replace(verdict, measured=obstacle, is_bound_met=None, is_aim_met=None)
    if verdict.measured == NOT_MEASURED:
        return verdict
    num_pictures = len(rows[sections[0]][MPERCEIVER_SET[0]]["names"])
    return replace(verdict, measured=f"{verdict.measured}; {num_pictures} pictures")


def obstacle_of(rows: Rows, sections: tuple[str, ...]) -> str | None:
    """Why sections cannot be judged, in words; None where they can.

    Args:
        rows: Of the document.
        sections: Those that a bound is about, over the nine degradations.
    """
    found = [rows.get(section, {}).get(name) for section in sections for name in MPERCEIVER_SET]
    present = [row for row in found if row is not None]
    if len(present) < len(found):
        return NOT_MEASURED
    if any(set(row["names"]) != set(present[0]["names"]) for row in present):
        return "rows of different pictures"
    if any(row.get("environment") != present[0].get("environment") for row in present):
        return "rows of different environments"
    num_pictures = len(present[0]["names"])
    return None if num_pictures >= LEAST_PICTURES else f"too few pictures: {num_pictures}, at least {LEAST_PICTURES}"


def accuracy(rows: Rows) -> Mean | None:
    """Share of pictures whose surest degradation is right, over the nine; None unless all were measured."""
    measured = rows.get("predictor", {})
    if not set(MPERCEIVER_SET) <= measured.keys():
        return None
    return mean_over_rows([values_by_name(measured[name], "top1") for name in MPERCEIVER_SET])


def is_better(row: dict[str, Any]) -> bool:
    """Whether the restored pictures of a row are better than the degraded ones, in PSNR and in ST-LPIPS."""
    means = {metric: values[0] for metric, values in row["means"].items()}
    return means["restored_psnr"] > means["input_psnr"] and means["restored_stlpips"] < means["input_stlpips"]


def losses_without_sampling(document: dict[str, Any]) -> Differences:
    """What is lost where the latents of the degraded picture take the place of the sampled ones; empty without DRM."""
    if "drm" not in document["model"]["parts"]:
        return {}
    return _differences(document["rows"], ("restoration", "restored_psnr"), ("prior", "unsampled_psnr"))


def gains_of_refiner(document: dict[str, Any]) -> Differences:
    """What the refined decoder adds to the same samples; empty for a model without one."""
    if "drm" not in document["model"]["parts"]:
        return {}
    return _differences(document["rows"], ("restoration", "restored_psnr"), ("restoration", "plain_psnr"))


def own_scheduler(document: dict[str, Any]) -> tuple[str, str]:
    """Section and metric of the model's own scheduler, which DPM-Solver++ is held against.

    The restoration without the DRM, if it takes as many steps; otherwise what was sampled for the solvers' section.
    """
    settings = document["settings"]
    has_steps = settings["steps"] == settings["own_steps"]
    return ("restoration", "plain_psnr") if has_steps else ("solvers", "own_psnr")


def gaps_of_solvers(document: dict[str, Any]) -> Differences:
    """DPM-Solver++ less the model's own scheduler."""
    return _differences(document["rows"], ("solvers", "solver_psnr"), own_scheduler(document))


def mean(values: dict[str, float]) -> float:
    """Over pictures."""
    return sum(values.values()) / len(values)


def _differences(rows: Rows, first: tuple[str, str], second: tuple[str, str]) -> Differences:
    """One metric of a section less another's, of the pictures that are in both."""
    found = {}
    for name, row in rows.get(first[0], {}).items():
        other = rows.get(second[0], {}).get(name)
        if other is None:
            continue
        ours, theirs = values_by_name(row, first[1]), values_by_name(other, second[1])
        common = {picture: ours[picture] - theirs[picture] for picture in ours if picture in theirs}
        if common:
            found[name] = common
    return found


def _of_the_nine(differences: Differences) -> list[dict[str, float]] | None:
    """Those of the nine degradations; None unless all were measured."""
    return [differences[name] for name in MPERCEIVER_SET] if set(MPERCEIVER_SET) <= differences.keys() else None


def _predictor(document: dict[str, Any]) -> Verdict:
    """The degradation predictor."""
    share = accuracy(document["rows"])
    percent = None if share is None else tuple(100 * value for value in share)
    return bounded("predictor: top-1 at severity 0.4 and above", percent, bound=85, aim=95, unit="%")


def _restoration(document: dict[str, Any]) -> Verdict:
    """Restored pictures beside the degraded ones."""
    measured = document["rows"].get("restoration", {})
    is_measured = set(MPERCEIVER_SET) <= measured.keys()
    count = sum(is_better(measured[name]) for name in MPERCEIVER_SET) if is_measured else None
    return _counted("restored beats degraded in PSNR and ST-LPIPS", count, bound=5, aim=7)


def _prior(document: dict[str, Any]) -> Verdict:
    """The prior does the work, not the refined decoder alone."""
    values = _of_the_nine(losses_without_sampling(document))
    count = None if values is None else sum(mean(loss) >= LEAST_LOSS for loss in values)
    what = f"LQ latents in place of the sampled ones, same decoder, lose at least {LEAST_LOSS:g} dB"
    return _counted(what, count, bound=5, aim=None)


def _refiner(document: dict[str, Any]) -> Verdict:
    """The refined decoder upon the same samples."""
    values = _of_the_nine(gains_of_refiner(document))
    gain = None if values is None else mean_over_rows(values)
    return Verdict(
        what="the DRM adds, over the same samples",
        measured=NOT_MEASURED if gain is None else f"{written(gain, sign='+')} dB",
        bound=NO_BOUND,
        is_bound_met=None,
        aim="≥ +2 dB",
        is_aim_met=None if gain is None else gain[0] >= 2,
    )


def _solvers(document: dict[str, Any]) -> Verdict:
    """DPM-Solver++ in few steps."""
    values = _of_the_nine(gaps_of_solvers(document))
    settings = document["settings"]
    gap = None if values is None else mean_over_rows(values)
    largest = None if values is None else max((mean(one) for one in values), key=abs)
    measured = NOT_MEASURED
    if gap is not None and largest is not None:
        measured = f"{written(gap, sign='+')} dB, of one degradation at most {largest:+.2f} dB"
    return Verdict(
        what=f"DPM-Solver++ at {settings['solver_steps']} steps less the model's own scheduler at "
        f"{settings['own_steps']}, without the DRM, of every degradation",
        measured=measured,
        bound=NO_BOUND,
        is_bound_met=None,
        aim=f"within {WITHIN:g} dB",
        is_aim_met=None if largest is None else abs(largest) <= WITHIN,
    )


def _counted(what: str, count: int | None, *, bound: int, aim: int | None) -> Verdict:
    """How many of the nine degradations something holds for."""
    num_all = len(MPERCEIVER_SET)
    is_judged = count is not None and aim is not None
    return Verdict(
        what=what,
        measured=NOT_MEASURED if count is None else f"{count} of {num_all}",
        bound=f"≥ {bound} of {num_all}",
        is_bound_met=None if count is None else count >= bound,
        aim=NO_BOUND if aim is None else f"≥ {aim} of {num_all}",
        is_aim_met=count >= aim if is_judged else None,
    )
