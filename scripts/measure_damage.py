"""Hold real damaged pictures against what training shows: distributions as tables, and both in one figure.

    python scripts/measure_damage.py --clean PICTURES --out docs/default_model \
        --set 'SOTS indoor' haze_wide SOTS --set 'LOL inputs' low_light_wide 'REAL/lol_input_*.jpg'

A set is a name, the recipe that stands for it in training, and where it lies: a folder with `lq` and `gt`, a folder of
pictures, or a pattern of files. Prints a table a set; writes all to damage_tables.md and the figure to damage.jpg.
"""

import argparse
from glob import glob
from pathlib import Path

import cv2
import numpy as np
from picture_grid import labelled, save_within
from PIL import Image

from ldrestore.datasets.damage_statistics import pair_statistics, picture_statistics, share_inside
from ldrestore.datasets.intact import DarkeningConfig
from ldrestore.datasets.pictures import list_pictures, read_rgb
from ldrestore.datasets.synthetic import RecipeShare, SyntheticDataConfig, SyntheticDataset

SIDE = 256
"""Of the windows in pixels, those of training."""

WINDOWS = 4
"""Of a real picture, at most."""

Window = tuple[np.ndarray, np.ndarray | None]
"""A degraded window and the clear one where there is one: (SIDE, SIDE, 3) float32 in [0, 1]."""


def real_windows(place: str) -> list[Window]:
    """Windows of the pictures of a set; smaller pictures give what they have."""
    folder = Path(place)
    if (folder / "lq").is_dir():
        paths = list_pictures([folder / "lq"])
        partners = {path.stem: path for path in list_pictures([folder / "gt"])}
        pairs = [(path, partners[path.stem]) for path in paths]
    else:
        paths = list_pictures([folder]) if folder.is_dir() else sorted(Path(name) for name in glob(place))
        pairs = [(path, None) for path in paths]
    windows: list[Window] = []
    for path, partner in pairs:
        lq, gt = _read(path), _read(partner) if partner is not None else None
        for rows, columns in _places(*lq.shape[:2]):
            windows.append((lq[rows, columns], gt[rows, columns] if gt is not None else None))
    return windows


def shown_windows(recipe: str, clean: Path, *, count: int) -> list[Window]:
    """What training shows of a recipe, from a breath to blind."""
    config = SyntheticDataConfig(
        folders=(clean,),
        mixture=(RecipeShare(recipe=recipe, weight=1.0, severity=(0.03, 1.0)),),
        darkening=DarkeningConfig(probability=0.7, names=("haze", "real_noise")),
        min_scale=0.4,
    )
    data = SyntheticDataset(config, patch_size=SIDE, seed=11)
    step = max(1, len(data) // count)
    items = [data[(index * step // len(data), index * step % len(data))] for index in range(count)]
    return [(item["lq"].numpy().transpose(1, 2, 0), item["gt"].numpy().transpose(1, 2, 0)) for item in items]


def table(name: str, recipe: str, real: list[Window], shown: list[Window]) -> list[str]:
    """Lines of Markdown: one row a figure, with what lies outside marked."""
    lines = [
        f"### {name}: {len(real)} windows, against `{recipe}`",
        "",
        "| figure | real, 10 % | 50 % | 90 % | training, 1 % | 50 % | 99 % | real ones inside |",
        "|---|---|---|---|---|---|---|---|",
    ]
    has_pairs = real[0][1] is not None
    columns = [_figures(windows, has_pairs=has_pairs) for windows in (real, shown)]
    for key in columns[0]:
        values, others = columns[0][key], columns[1][key]
        inside = share_inside(values, others)
        cells = [*np.quantile(values, (0.1, 0.5, 0.9)), *np.quantile(others, (0.01, 0.5, 0.99))]
        mark = " **outside**" if inside < 0.8 else ""
        lines.append(f"| {key} | " + " | ".join(f"{cell:.2f}" for cell in cells) + f" | {inside:.0%}{mark} |")
    return [*lines, ""]


def figure_rows(name: str, real: list[Window], shown: list[Window], *, columns: int) -> list[tuple[str, Image.Image]]:
    """Cells of one row of the figure: half of it real, half of it from training, those nearest in brightness."""
    half = columns // 2
    chosen = [real[index * len(real) // half][0] for index in range(half)]
    left = list(shown)
    partners = []
    for window in chosen:
        best = min(range(len(left)), key=lambda index: _distance(window, left[index][0]))
        partners.append(left.pop(best)[0])
    cells = [(name if index == 0 else "", _thumbnail(window)) for index, window in enumerate(chosen)]
    return cells + [("training" if index == 0 else "", _thumbnail(window)) for index, window in enumerate(partners)]


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    """How unlike two windows are in brightness, contrast and dark channel."""
    one, two = picture_statistics(first), picture_statistics(second)
    return sum(abs(one[key] - two[key]) for key in ("brightness", "contrast", "dark_channel"))


def _figures(windows: list[Window], *, has_pairs: bool) -> dict[str, np.ndarray]:
    """Values of each figure over the windows."""
    rows = [{**picture_statistics(lq), **(pair_statistics(lq, gt) if has_pairs else {})} for lq, gt in windows]
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def _read(path: Path) -> np.ndarray:
    """A picture as (H, W, 3) float32 in [0, 1]."""
    return read_rgb(path).astype(np.float32) / 255


def _places(height: int, width: int) -> list[tuple[slice, slice]]:
    """Windows spread over a picture, at most `WINDOWS`; one as large as the picture where that is smaller."""
    tops = sorted({0, max(0, height - SIDE)}) if height >= 1.5 * SIDE else [max(0, (height - SIDE) // 2)]
    lefts = sorted({0, max(0, width - SIDE)}) if width >= 1.5 * SIDE else [max(0, (width - SIDE) // 2)]
    return [(slice(top, top + SIDE), slice(left, left + SIDE)) for top in tops for left in lefts][:WINDOWS]


def _thumbnail(window: np.ndarray) -> Image.Image:
    """A window at half size."""
    small = cv2.resize(window, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)
    return Image.fromarray(np.rint(small * 255).astype(np.uint8))


def main() -> None:
    """Measure the sets, print the tables, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=Path, required=True, help="folder of clean pictures")
    parser.add_argument("--set", nargs=3, action="append", required=True, metavar=("NAME", "RECIPE", "PLACE"))
    parser.add_argument("--count", type=int, default=300, help="windows of training for each set")
    parser.add_argument("--out", type=Path, required=True, help="folder of damage_tables.md and damage.jpg")
    options = parser.parse_args()
    lines: list[str] = []
    cells: list[tuple[str, Image.Image]] = []
    for name, recipe, place in options.set:
        real, shown = real_windows(place), shown_windows(recipe, options.clean, count=options.count)
        rows = table(name, recipe, real, shown)
        lines += rows
        cells += figure_rows(name, real, shown, columns=8)
        print("\n".join(rows), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "damage_tables.md").write_text("\n".join(lines))
    save_within(labelled(cells, columns=8), options.out / "damage.jpg", max_bytes=300_000)


if __name__ == "__main__":
    main()
