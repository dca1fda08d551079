"""Which metrics there are: static records, resolved when a metric is computed."""

from dataclasses import dataclass
from typing import Literal

from ldrestore.errors import UnknownNameError

TOOLBOXES = {
    "piq": "ldrestore.metrics.piq_metrics:open_piq",
    "iqa": "ldrestore.metrics.iqa_metrics:open_iqa",
}
"""Other toolboxes, whose metrics are named `PREFIX:NAME`, and what opens them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRecord:
    """One metric."""

    name: str
    """As `--metric` takes it."""
    target: str
    """What opens it, as "module:attribute": takes `MetricOptions`, gives a function of `ComparedPictures`, or of all
    pairs where `compares` is "sets"."""
    compares: Literal["pairs", "results", "inputs", "sets"] = "pairs"
    """Whether it needs the ground truth of each picture, looks at results alone, holds them against their inputs, or
    all of them against all ground truths."""
    lower_is_better: bool
    """Which way is better."""
    digits: int = 4
    """After the point, in tables."""
    source: str
    """The paper."""


METRICS = {
    record.name: record
    for record in (
        MetricRecord(
            name="psnr",
            target="ldrestore.metrics.measures:open_psnr",
            lower_is_better=False,
            digits=2,
            source="10 log10(peak² / MSE)",
        ),
        MetricRecord(
            name="ssim",
            target="ldrestore.metrics.measures:open_ssim",
            lower_is_better=False,
            source="Wang et al. 2004",
        ),
        MetricRecord(
            name="ms_ssim",
            target="ldrestore.metrics.measures:open_ms_ssim",
            lower_is_better=False,
            source="Wang, Simoncelli and Bovik 2003",
        ),
        MetricRecord(
            name="lpips",
            target="ldrestore.metrics.measures:open_lpips",
            lower_is_better=True,
            source="Zhang et al. 2018, v0.1, AlexNet",
        ),
        MetricRecord(
            name="lpips_vgg",
            target="ldrestore.metrics.measures:open_lpips_vgg",
            lower_is_better=True,
            source="Zhang et al. 2018, v0.1, VGG16",
        ),
        MetricRecord(
            name="dists",
            target="ldrestore.metrics.measures:open_dists",
            lower_is_better=True,
            source="Ding et al. 2020",
        ),
        MetricRecord(
            name="st_lpips",
            target="ldrestore.metrics.st_lpips:open_st_lpips",
            lower_is_better=True,
            source="Ghildyal and Liu 2022, AlexNet",
        ),
        MetricRecord(
            name="niqe",
            target="ldrestore.metrics.measures:open_niqe",
            compares="results",
            lower_is_better=True,
            digits=3,
            source="Mittal, Soundararajan and Bovik 2013",
        ),
        MetricRecord(
            name="consistency",
            target="ldrestore.metrics.consistency:open_consistency",
            compares="inputs",
            lower_is_better=False,
            digits=2,
            source="PSNR of the shrunk result to its input, Lugmayr et al. 2021",
        ),
        MetricRecord(
            name="fid",
            target="ldrestore.metrics.set_distances:open_fid",
            compares="sets",
            lower_is_better=True,
            digits=2,
            source="Heusel et al. 2017, by torch-fidelity",
        ),
        MetricRecord(
            name="kid",
            target="ldrestore.metrics.set_distances:open_kid",
            compares="sets",
            lower_is_better=True,
            source="Bińkowski et al. 2018, by torch-fidelity",
        ),
    )
}
"""By name; beside these, `piq:NAME` and `iqa:NAME`."""


DECIBELS = frozenset({"psnr", "consistency"})
"""Those that are infinite for equal pictures: a mean counts each picture at most the protocol's cap."""


def find_metric(name: str) -> MetricRecord:
    """The record of a metric.

    Of another toolbox's metric the name alone is known before it is opened; which way is better says `open_metrics`.

    Raises:
        UnknownNameError: no such metric, or no such toolbox.
    """
    prefix, separator, rest = name.partition(":")
    if separator and rest and prefix in TOOLBOXES:
        return MetricRecord(name=name, target=TOOLBOXES[prefix], lower_is_better=False, source=f"{prefix}, {rest}")
    if name not in METRICS:
        raise UnknownNameError("metric", name, [*METRICS, *(f"{prefix}:NAME" for prefix in TOOLBOXES)])
    return METRICS[name]
