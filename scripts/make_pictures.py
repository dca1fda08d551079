"""Make the sample pictures, the before/after strips of the README and the sheet of all degradations.

    python scripts/make_pictures.py samples      # samples/*.png: damaged pictures that `make restore` restores
    python scripts/make_pictures.py strips       # docs/images/*.jpg: before, after, original if any, with the default
    python scripts/make_pictures.py sheet        # docs/images/degradations.jpg: every degradation at three severities
    python scripts/make_pictures.py stable       # docs/images/stable.jpg: the samples by the model of the stable track
    python scripts/make_pictures.py real FOLDER  # docs/images/real_*.jpg: pictures without ground truth, before, after
    python scripts/make_pictures.py failures KODAK24_FOLDER  # docs/images/failures.jpg: the worst of each degradation

The clean pictures of the first four are those that ship with scikit-image; samples/README.md states their origin. The
last takes the worst pictures from docs/default_fast/results.json, the figures of `ldrestore bench card`.
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from picture_grid import fitted, labelled, save_within
from PIL import Image
from skimage import data

from ldrestore.datasets.compared_pairs import CLEAN_RECIPE, Pair, synthetic_pairs
from ldrestore.datasets.pictures import list_pictures
from ldrestore.degradations import degrade, list_degradations
from ldrestore.evaluation.card_tables import worst_pictures
from ldrestore.evaluation.results import read_results
from ldrestore.evaluation.suites import load_suite
from ldrestore.images.inputs import to_photos
from ldrestore.metrics.psnr import MEAN_CAP, psnr

ROOT = Path(__file__).resolve().parent.parent
SAMPLES, IMAGES = ROOT / "samples", ROOT / "docs" / "images"
RESULTS = ROOT / "docs" / "default_fast" / "results.json"

CELL = (300, 225)
"""Width and height of a picture on the sheets of real ones, in pixels."""
CELLS_A_SHEET = 20
"""Ten pictures before and after."""

RECIPES = {
    "astronaut_noisy": ("astronaut", "gaussian_noise(sigma_255=25)"),
    "chelsea_dark": ("chelsea", "low_light(severity=0.5)"),
    "coffee_rainy": ("coffee", "rain(severity=0.5)"),
    "coffee_hazy": ("coffee", "haze(severity=0.5)"),
    "astronaut_raindrops": ("astronaut", "raindrop(severity=0.5)"),
    "chelsea_snow_jpeg": ("chelsea", "snow(severity=0.4)+jpeg(quality=40)"),
}
"""Name of a sample to (scikit-image picture, recipe)."""

PHOTOGRAPHS = ("mountain_hazy", "sunset_dark")
"""Samples that nobody damaged: there is no original to compare with. They are kept as they are, not made here."""

TOLD = {"chelsea_dark": {"low_light": 1.0}, "mountain_hazy": {"haze": 1.0}, "sunset_dark": {"low_light": 1.0}}
"""What the strips' model is told; a picture does not show whether it is meant to be dark, or whether haze may stay."""


def clean_picture(name: str, *, longer_side: int = 448) -> Image.Image:
    """A picture of scikit-image, shrunk so that its longer side has the given number of pixels."""
    picture = getattr(data, name)()[..., :3]
    scale = longer_side / max(picture.shape[:2])
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    return Image.fromarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def make_samples() -> None:
    """Write the damaged pictures as PNG."""
    SAMPLES.mkdir(exist_ok=True)
    for index, (name, (source, recipe)) in enumerate(RECIPES.items()):
        degrade(clean_picture(source), recipe, seed=index).save(SAMPLES / f"{name}.png", optimize=True)


def make_strips() -> None:
    """Write a strip for each sample: damaged, restored, and the original where there is one."""
    from ldrestore import restore

    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, (source, _) in RECIPES.items():
        damaged = Image.open(SAMPLES / f"{name}.png")
        restored = restore(damaged, degradations=TOLD.get(name)).images[0]
        cells = [("before", damaged), ("after", restored), ("original", clean_picture(source))]
        labelled(cells, columns=3).save(IMAGES / f"{name}.jpg", quality=90)
    for name in PHOTOGRAPHS:
        photograph = Image.open(SAMPLES / f"{name}.jpg")
        restored = restore(photograph, degradations=TOLD[name]).images[0]
        labelled([("before", photograph), ("after", restored)], columns=2).save(IMAGES / f"{name}.jpg", quality=86)


def make_stable(*, model: str = "ldrestore-tiny-stable", steps: int = 50, cell: tuple[int, int] = (264, 264)) -> None:
    """Write a sheet of samples: damaged, sampled and decoded by the autoencoder alone, refined, original.

    Args:
        model: Name or folder of a model of the stable track.
        steps: Of the sampling.
        cell: Width and height of a picture on the sheet.
    """
    pipeline = quiet_restorer(model)
    cells = []
    for name, (source, _) in RECIPES.items():
        damaged = Image.open(SAMPLES / f"{name}.png")
        plain, refined = (
            pipeline(damaged, num_inference_steps=steps, refine=is_refined) for is_refined in (False, True)
        )
        surest, probability = refined.degradations[0].ranked()[0]
        pictures = (damaged, plain.images[0], refined.images[0], clean_picture(source))
        labels = (f"before, seen: {surest} {probability:.0%}", "sampled", "sampled and refined", "original")
        for label, picture in zip(labels, pictures, strict=True):
            cells.append((label, fitted(picture, width=cell[0], height=cell[1])))
    IMAGES.mkdir(parents=True, exist_ok=True)
    save_within(labelled(cells, columns=4), IMAGES / "stable.jpg")


def make_sheet(*, severities: tuple[float, ...] = (0.2, 0.5, 0.9), side: int = 192) -> None:
    """Write one row a degradation, one column a severity."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    clean = clean_picture("coffee", longer_side=300)
    left = (clean.width - side) // 2
    clean = clean.crop((left, 0, left + side, min(side, clean.height)))
    cells = [
        (f"{name} {severity}", degrade(clean, name, seed=3, severity=severity))
        for name in list_degradations()
        for severity in severities
    ]
    labelled(cells, columns=2 * len(severities)).save(IMAGES / "degradations.jpg", quality=78, optimize=True)


def make_real(folder: Path, *, model: str) -> None:
    """Write sheets of pictures without ground truth: each before and after, with what the model sees in it.

    Args:
        folder: The pictures.
        model: Name or folder of the restorer.
    """
    pipeline = quiet_restorer(model)
    cells = []
    for path in list_pictures([folder]):
        output = pipeline(path)
        estimate = output.degradations[0]
        surest = f", seen: {estimate.ranked()[0][0]}" if estimate else ""
        for label, picture in ((path.stem, to_photos(path)[0].to_pil()), (f"after{surest}", output.images[0])):
            cells.append((label, fitted(picture, width=CELL[0], height=CELL[1])))
    IMAGES.mkdir(parents=True, exist_ok=True)
    for index, start in enumerate(range(0, len(cells), CELLS_A_SHEET)):
        save_within(labelled(cells[start : start + CELLS_A_SHEET], columns=4), IMAGES / f"real_{index + 1}.jpg")


def make_failures(folder: Path, *, model: str) -> None:
    """Write the picture of each single degradation that gained least: damaged, restored, original.

    Args:
        folder: The clean pictures of the suite `card`.
        model: Name or folder of the restorer.
    """
    worst = worst_pictures(read_results(RESULTS), model)
    paths = {path.stem: path for path in list_pictures([folder])}
    pipeline = quiet_restorer(model)
    cells = []
    for dataset in load_suite("card").datasets:
        recipe = dataset.recipe
        if recipe in (None, CLEAN_RECIPE) or "/" in dataset.name or dataset.name not in worst:
            continue
        name = worst[dataset.name]
        pair = next(synthetic_pairs([paths[name]], recipe))
        restored = pipeline(pair.lq).photos[0].pixels
        gain = psnr(restored, pair.gt, cap=MEAN_CAP) - psnr(pair.lq, pair.gt, cap=MEAN_CAP)
        window = window_of_harm(pair, restored)
        labels = (recipe.replace("sigma_255=", ""), f"{name}: {gain:+.1f} dB", "original")
        for label, picture in zip(labels, (pair.lq, restored, pair.gt), strict=True):
            cells.append((label, Image.fromarray(np.ascontiguousarray(picture[window]))))
    IMAGES.mkdir(parents=True, exist_ok=True)
    save_within(labelled(cells, columns=6), IMAGES / "failures.jpg")


def window_of_harm(pair: Pair, restored: np.ndarray, *, side: int = 180) -> tuple[slice, slice]:
    """Rows and columns of the square where the restored picture is worst against what it was made from.

    Args:
        pair: Damaged and clean picture.
        restored: (H, W, 3) uint8, of their size.
        side: Of the square in pixels; of the picture if that is smaller.
    """
    height, width = min(side, restored.shape[0]), min(side, restored.shape[1])
    before, after = (np.square(image.astype(np.float32) - pair.gt).mean(axis=2) for image in (pair.lq, restored))
    harm = cv2.boxFilter(after - before, -1, (width, height), anchor=(0, 0), borderType=cv2.BORDER_REFLECT)
    inside = harm[: restored.shape[0] - height + 1, : restored.shape[1] - width + 1]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return slice(int(top), int(top) + height), slice(int(left), int(left) + width)


def quiet_restorer(model: str) -> Any:
    """A restorer without progress bars."""
    from ldrestore import load_restorer

    pipeline = load_restorer(model)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def main() -> None:
    """Parse the command line and make what it names."""
    makers = {"samples": make_samples, "strips": make_strips, "sheet": make_sheet, "stable": make_stable}
    makers_of_folders = {"real": make_real, "failures": make_failures}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    for name in makers:
        commands.add_parser(name)
    for name in makers_of_folders:
        command = commands.add_parser(name)
        command.add_argument("folder", type=Path)
        command.add_argument("--model", default="default", help="name or folder")
    arguments = parser.parse_args()
    if arguments.what in makers:
        makers[arguments.what]()
    else:
        makers_of_folders[arguments.what](arguments.folder, model=arguments.model)


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()
