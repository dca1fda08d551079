"""Results of a suite, made of a few figures."""

from dataclasses import asdict

from ldrestore.config import as_plain
from ldrestore.evaluation.results import (
    ContestantRow,
    DatasetRow,
    MetricRow,
    OutputRow,
    PictureRow,
    Results,
)
from ldrestore.evaluation.summaries import summarised
from ldrestore.metrics.protocols import UINT8


def model_results(figures, *, model="default", identity="x", estimates=None, **facts):
    """Results with means and comparisons.

    Args:
        figures: Dataset to picture to (PSNR of the input, PSNR of the model).
        model: Name of the contestant.
        identity: Of its files.
        estimates: Dataset to picture to what the model saw, name to probability.
        facts: Further fields.
    """
    outputs, pictures = [], []
    for dataset, rows in figures.items():
        for picture, values in rows.items():
            pictures.append(_picture(dataset, picture))
            for name, value in zip(("input", model), values, strict=True):
                estimate = (estimates or {}).get(dataset, {}).get(picture) if name == model else None
                names = {"contestant": name, "dataset": dataset, "picture": picture}
                outputs.append(OutputRow(**names, scores={"psnr": value}, degradations=estimate))
    results = Results(
        suite="card",
        summary="A suite.",
        ldrestore="0",
        protocol=as_plain(asdict(UINT8)),
        environments={},
        datasets=tuple(_dataset(name, len(rows)) for name, rows in figures.items()),
        contestants=(_contestant("input", "input", "input"), _contestant(model, "model", identity)),
        metrics=(
            MetricRow(
                name="psnr",
                compares="pairs",
                lower_is_better=False,
                digits=2,
                source="",
                version="1",
                weights_sha256=None,
            ),
        ),
        pictures=tuple(pictures),
        outputs=tuple(outputs),
        **facts,
    )
    return summarised(results)


def _picture(dataset, name):
    hashes = {"lq_sha256": "1", "gt_sha256": "2"}
    return PictureRow(dataset=dataset, name=name, cluster=name, width=8, height=8, lq="lq", gt="gt", **hashes)


def _contestant(name, kind, identity):
    return ContestantRow(name=name, kind=kind, options={}, identity=identity, num_seeds=1, licence=None)


def _dataset(name, count):
    return DatasetRow(
        name=name,
        set="kodak24",
        title="Kodak24",
        task=name,
        making=f"{name} at severity 0.5",
        layout="official",
        num_pictures=count,
        num_published=24,
        terms="free",
    )
