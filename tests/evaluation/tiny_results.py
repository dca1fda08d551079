"""Results of a small benchmark, as plain rows."""

from dataclasses import asdict

from ldrestore.evaluation.results import ContestantRow, DatasetRow, MetricRow, OutputRow, PictureRow, Results
from ldrestore.metrics.protocols import UINT8

PSNR = MetricRow(
    name="psnr", compares="pairs", lower_is_better=False, digits=2, source="", version="", weights_sha256=None
)
LPIPS = MetricRow(
    name="lpips", compares="pairs", lower_is_better=True, digits=3, source="", version="", weights_sha256=None
)
FID = MetricRow(name="fid", compares="sets", lower_is_better=True, digits=1, source="", version="", weights_sha256=None)


def dataset(name, num_pictures):
    return DatasetRow(
        name=name,
        set=name,
        title=name.title(),
        task="rain",
        making="pairs",
        layout="own",
        num_pictures=num_pictures,
        num_published=None,
        terms="free",
    )


def contestant(name, *, num_seeds=1):
    return ContestantRow(name=name, kind="model", options={}, identity="x", num_seeds=num_seeds, licence=None)


def picture(of, name):
    return PictureRow(
        dataset=of,
        name=name,
        cluster=name,
        width=1000,
        height=1000,
        lq=f"pictures/{name}",
        gt=None,
        lq_sha256="x",
        gt_sha256=None,
    )


def output(contestant, of, name, *, seed=None, failure=None, degradations=None, **scores):
    return OutputRow(
        contestant=contestant,
        dataset=of,
        picture=name,
        seed=seed,
        path=None if failure else f"outputs/{name}",
        scores=scores,
        failure=failure,
        degradations=degradations,
    )


def results_of(*outputs, metrics=(PSNR,), sizes=None, **rows):
    """Results of these outputs, with the rows that they name."""
    sizes = sizes or {"rain": 12}
    names = dict.fromkeys(row.contestant for row in outputs)
    return Results(
        suite="tiny",
        summary="A small suite.",
        ldrestore="0",
        protocol=asdict(UINT8),
        environments={},
        datasets=tuple(dataset(name, count) for name, count in sizes.items()),
        contestants=tuple(contestant(name) for name in names),
        metrics=metrics,
        pictures=tuple(picture(name, f"{index}.png") for name, count in sizes.items() for index in range(count)),
        outputs=outputs,
        **rows,
    )
