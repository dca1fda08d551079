"""Real damaged pictures against what training shows: figures of both as tables, windows of both as a sheet.

A set is a name, the recipe that stands for it in training, and where it lies: a folder with `lq` and `gt`, a folder of
pictures, or a pattern of files. Each set is a row. The sheet damage.jpg is beside the report: mind whose pictures they
are before you publish it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ldrestore.datasets.damage_statistics import pair_statistics, picture_statistics, share_inside
from ldrestore.datasets.intact import DarkeningConfig
from ldrestore.datasets.pictures import list_pictures, read_rgb
from ldrestore.datasets.synthetic import RecipeShare, SyntheticDataConfig, SyntheticDataset
from ldrestore.errors import DatasetError
from ldrestore.evaluation.stored_files import key_of
from ldrestore.evaluation.studies.study import Rows, Study, StudyCall, StudyRow, measured_rows
from ldrestore.evaluation.studies.study_tables import joined
from ldrestore.evaluation.tables import markdown
from ldrestore.metrics.scoring import match_files
from ldrestore.weights.hashes import hash_of_file

WINDOW_SIDE = 256
"""Of the windows in pixels, those of training."""
WINDOWS = 4
"""Of a real picture, at most."""
COLUMNS = 8
"""Of the sheet: half of them real, half of them training's."""
QUANTILES = {"real": (0.1, 0.5, 0.9), "training": (0.01, 0.5, 0.99)}
"""What the tables tell of each distribution."""
MOSTLY = 0.8
"""A figure is marked where fewer real windows than this lie inside."""

WindowPair = tuple[np.ndarray, np.ndarray | None]
"""A degraded window and the clear one where there is one: (WINDOW_SIDE, WINDOW_SIDE, 3) float32 in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class DamageOptions:
    """What is compared."""

    clean: Path
    """Folder of clean pictures, which training degrades."""
    sets: tuple[tuple[str, str, str], ...]
    """Name, recipe and place of each."""
    count: int = 300
    """Windows of training for each set."""


def measure_damage(options: DamageOptions, call: StudyCall) -> Rows:
    """A row a set; the sheet of those that are measured now."""
    cells: list[list[np.ndarray]] = []

    clean = [path.name for path in list_pictures([options.clean])]

    def row_of(name: str, recipe: str, place: str) -> StudyRow:
        pairs = files_of(place)[: call.limit]

        def values() -> Mapping[str, Any]:
            real, shown = real_windows(pairs), shown_windows(recipe, options.clean, count=options.count)
            cells.append(sheet_row(real, shown))
            return compared(real, shown)

        files = {path.name: hash_of_file(path) for pair in pairs for path in pair if path is not None}
        settings = {"recipe": recipe, "count": options.count, "pictures": key_of(files), "clean": key_of({"": clean})}
        return StudyRow(name=name, settings=settings, measure=values)

    known = measured_rows("damage", [row_of(*each) for each in options.sets], call)
    if cells:
        sheet = np.vstack([np.hstack(row) for row in cells])
        Image.fromarray(sheet).save(call.out_dir / "damage.jpg", quality=85, optimize=True)
    return known


def files_of(place: str) -> list[tuple[Path, Path | None]]:
    """The pictures of a set, with their clear ones where there are any.

    Raises:
        DatasetError: nothing lies there.
    """
    folder = Path(place)
    if (folder / "lq").is_dir():
        return list(match_files(folder / "lq", folder / "gt")[0].values())
    paths = list_pictures([folder]) if folder.is_dir() else sorted(Path(name) for name in glob(place))
    if not paths:
        raise DatasetError(f"no pictures at {place}; name a folder with lq and gt, a folder, or a pattern of files")
    return [(path, None) for path in paths]


def real_windows(pairs: Sequence[tuple[Path, Path | None]]) -> list[WindowPair]:
    """Windows of the pictures of a set; smaller pictures give what they have."""
    windows: list[WindowPair] = []
    for path, partner in pairs:
        lq, gt = _read(path), _read(partner) if partner is not None else None
        for rows, columns in window_places(*lq.shape[:2]):
            windows.append((lq[rows, columns], gt[rows, columns] if gt is not None else None))
    return windows


def shown_windows(recipe: str, clean: Path, *, count: int) -> list[WindowPair]:
    """What training shows of a recipe, from a breath to blind."""
    config = SyntheticDataConfig(
        folders=(clean,),
        mixture=(RecipeShare(recipe=recipe, weight=1.0, severity=(0.03, 1.0)),),
        darkening=DarkeningConfig(probability=0.7, names=("haze", "real_noise")),
        min_scale=0.4,
    )
    data = SyntheticDataset(config, patch_size=WINDOW_SIDE, seed=11)
    step = max(1, len(data) // count)
    items = [data[(index * step // len(data), index * step % len(data))] for index in range(count)]
    return [(item["lq"].numpy().transpose(1, 2, 0), item["gt"].numpy().transpose(1, 2, 0)) for item in items]


def compared(real: Sequence[WindowPair], shown: Sequence[WindowPair]) -> dict[str, Any]:
    """Quantiles of each figure of both, and the share of the real ones that lie inside."""
    has_pairs = real[0][1] is not None
    ours, training = (_figures(windows, has_pairs=has_pairs) for windows in (real, shown))
    return {
        "windows": len(real),
        "figures": {
            key: {
                "real": [round(float(value), 4) for value in np.quantile(values, QUANTILES["real"])],
                "training": [round(float(value), 4) for value in np.quantile(training[key], QUANTILES["training"])],
                "inside": round(share_inside(values, training[key]), 4),
            }
            for key, values in ours.items()
        },
    }


def sheet_row(real: Sequence[WindowPair], shown: Sequence[WindowPair]) -> list[np.ndarray]:
    """Windows at half size: real ones, then those of training that are nearest to them in brightness and contrast."""
    half = COLUMNS // 2
    chosen = [real[index * len(real) // half][0] for index in range(half)]
    looks = [_look(lq) for lq, _ in shown]
    partners: list[int] = []
    for window in chosen:
        order = np.argsort([float(np.abs(_look(window) - look).sum()) for look in looks])
        partners.append(next((int(index) for index in order if index not in partners), int(order[0])))
    return [_thumbnail(window) for window in [*chosen, *(shown[index][0] for index in partners)]]


def report_damage(rows: Rows) -> str:
    """A table a set."""
    columns = ("figure", *(f"{whose}, {100 * share:.0f} %" for whose, all_ in QUANTILES.items() for share in all_))
    parts = {}
    for name, row in rows.items():
        lines = []
        for key, figures in row["figures"].items():
            cells = [f"{value:.2f}" for value in (*figures["real"], *figures["training"])]
            mark = " **outside**" if figures["inside"] < MOSTLY else ""
            lines.append((key, *cells, f"{figures['inside']:.0%}{mark}"))
        title = f"{name}: {row['windows']} windows, against `{row['settings']['recipe']}`"
        parts[title] = markdown((*columns, "real ones inside"), lines)
    return joined("Real damage against what training shows", parts)


def window_places(height: int, width: int) -> list[tuple[slice, slice]]:
    """Windows spread over a picture, at most `WINDOWS`; one as large as the picture where that is smaller."""
    tops = (
        sorted({0, max(0, height - WINDOW_SIDE)})
        if height >= 1.5 * WINDOW_SIDE
        else [max(0, (height - WINDOW_SIDE) // 2)]
    )
    lefts = (
        sorted({0, max(0, width - WINDOW_SIDE)}) if width >= 1.5 * WINDOW_SIDE else [max(0, (width - WINDOW_SIDE) // 2)]
    )
    return [(slice(top, top + WINDOW_SIDE), slice(left, left + WINDOW_SIDE)) for top in tops for left in lefts][
        :WINDOWS
    ]


def _look(lq: np.ndarray) -> np.ndarray:
    """How a window looks, roughly: mean and deviation of the grey picture, mean of the darkest colour."""
    return np.array([lq.mean(), lq.mean(axis=2).std(), lq.min(axis=2).mean()])


def _figures(windows: Sequence[WindowPair], *, has_pairs: bool) -> dict[str, np.ndarray]:
    """Values of each figure over the windows."""
    rows = []
    for lq, gt in windows:
        rows.append({**picture_statistics(lq), **(pair_statistics(lq, gt) if has_pairs and gt is not None else {})})
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def _read(path: Path) -> np.ndarray:
    """A picture as (H, W, 3) float32 in [0, 1]."""
    return read_rgb(path).astype(np.float32) / np.float32(255)


def _thumbnail(window: np.ndarray) -> np.ndarray:
    """A window at half size, (WINDOW_SIDE / 2, WINDOW_SIDE / 2, 3) uint8."""
    small = cv2.resize(window, (WINDOW_SIDE // 2, WINDOW_SIDE // 2), interpolation=cv2.INTER_AREA)
    return np.rint(small * 255).astype(np.uint8)


DAMAGE = Study(options=DamageOptions, measure=measure_damage, report=report_damage)
