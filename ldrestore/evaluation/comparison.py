"""Two results files of one suite: what became better or worse, picture by picture."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ldrestore.errors import InputError, UnknownNameError
from ldrestore.evaluation.results import RESULTS_FILE, MetricRow, OutputRow, Results, SetScoreRow

TOLERANCES = {"psnr": 0.1, "ssim": 0.005, "ms_ssim": 0.005, "lpips": 0.005, "lpips_vgg": 0.005, "dists": 0.005}
"""How much worse a picture may be, in units of the metric, before it is a regression; else 2 % of the old value, and
nothing where that is infinite."""
_RELATIVE = 0.02

ScoreKey = tuple[str, str, str, int | None, str]
"""Contestant, dataset, picture, seed, metric; of a metric of whole datasets "all N pictures" in place of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One score that differs."""

    key: tuple[str, str, str, int | None, str]
    """See `ScoreKey`."""
    old: float | None
    """None where it is new."""
    new: float | None
    """None where it is gone."""
    gain: float
    """How much better the new one is, in units of the metric; negative for worse."""
    is_regression: bool
    """Whether it is worse by more than its tolerance, or gone."""

    def __str__(self) -> str:
        """In words."""
        contestant, dataset, picture, seed, metric = self.key
        run = "" if seed is None else f", seed {seed}"
        values = " → ".join("none" if value is None else f"{value:.4f}" for value in (self.old, self.new))
        return f"{contestant}, {dataset}/{picture}{run}: {metric} {values}"


def compare_results(old: Results, new: Results, *, tolerances: Mapping[str, float] | None = None) -> list[Change]:
    """All scores that changed, worst first; contestants that one of both lacks altogether are left out.

    Args:
        old: What was.
        new: What is.
        tolerances: Metric to tolerance, over `TOLERANCES`.

    Raises:
        InputError: suites, protocols or pictures differ, no contestant is in both, or one of both is a summary
            without single pictures.
        UnknownNameError: a tolerance of a metric that the old results lack.
    """
    check_comparable(old, new)
    for results in (old, new):
        check_whole(results)
    lower = {row.name: row.lower_is_better for row in old.metrics}
    for name in tolerances or {}:
        if name not in lower:
            raise UnknownNameError("metric of --tolerance", name, lower)
    allowed = {**TOLERANCES, **(tolerances or {})}
    names = [{row.name for row in results.contestants} for results in (old, new)]
    shared = names[0] & names[1]
    if not shared:
        raise InputError(f"no contestant is in both results: {sorted(names[0])} and {sorted(names[1])}")
    before, after = (_scores(results, shared) for results in (old, new))
    changes = []
    for key in dict.fromkeys([*before, *after]):
        was, now = before.get(key), after.get(key)
        if was == now:
            continue
        if was is None or now is None:
            changes.append(Change(key=key, old=was, new=now, gain=0.0, is_regression=now is None))
            continue
        gain = was - now if lower.get(key[-1], False) else now - was
        tolerance = allowed.get(key[-1], _RELATIVE * abs(was) if math.isfinite(was) else 0.0)
        changes.append(Change(key=key, old=was, new=now, gain=gain, is_regression=gain < -tolerance))
    return sorted(changes, key=lambda change: (not change.is_regression, change.gain))


def check_whole(results: Results) -> None:
    """Refuse a file that was condensed to its means, of which nothing is to be computed.

    Raises:
        InputError: it has means and no outputs.
    """
    if results.means and not results.outputs:
        raise InputError(
            f"the results of {results.suite} are means without single pictures; give the {RESULTS_FILE} of the run"
        )


def check_comparable(old: Results, new: Results) -> None:
    """Refuse two files whose figures cannot stand side by side.

    Raises:
        InputError: they differ in suite, protocol, the weights of a metric, or pictures of one name.
    """
    if old.suite != new.suite:
        raise InputError(f"the results are of the suites {old.suite} and {new.suite}; compare two runs of one")
    differing = [name for name in old.protocol if old.protocol[name] != new.protocol.get(name)]
    if differing:
        raise InputError(f"the protocols {old.protocol['name']} and {new.protocol['name']} differ in {differing}")
    for first, second in _common_metrics(old, new):
        if first.weights_sha256 != second.weights_sha256:
            raise InputError(
                f"{first.name} is computed with other weights in each of the results; score one of them again with: "
                "ldrestore bench --rescore DIR"
            )
    hashes = {(row.dataset, row.name): (row.lq_sha256, row.gt_sha256) for row in old.pictures}
    for row in new.pictures:
        known = hashes.get((row.dataset, row.name))
        if known is not None and known != (row.lq_sha256, row.gt_sha256):
            raise InputError(f"{row.dataset}/{row.name} is another picture in each of the results; make both anew")


def other_versions(old: Results, new: Results) -> list[str]:
    """A sentence for each metric that other versions of its packages have computed in each of two files."""
    return [
        f"{first.name} was computed by {first.version} and by {second.version}; "
        "ldrestore bench --rescore DIR brings one of them up to the other"
        for first, second in _common_metrics(old, new)
        if first.version != second.version
    ]


def _common_metrics(old: Results, new: Results) -> list[tuple[MetricRow, MetricRow]]:
    """The metrics that both files could compute."""
    others = {row.name: row for row in new.metrics if row.unavailable is None}
    return [(row, others[row.name]) for row in old.metrics if row.unavailable is None and row.name in others]


def _scores(results: Results, contestants: set[str]) -> dict[ScoreKey, float]:
    """All scores by what they are of; FID of more pictures or fewer is another score."""
    rows: list[tuple[OutputRow | SetScoreRow, str]] = [(row, row.picture) for row in results.outputs]
    rows += [(row, f"all {row.num_pictures or ''} pictures".replace("  ", " ")) for row in results.set_scores]
    return {
        (row.contestant, row.dataset, picture, row.seed, metric): value
        for row, picture in rows
        if row.contestant in contestants
        for metric, value in row.scores.items()
    }
