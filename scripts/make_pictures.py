"""Make the sample pictures, the before/after strips of the README and the sheet of all degradations.

    python scripts/make_pictures.py samples      # samples/*.png: damaged pictures that `make restore` restores
    python scripts/make_pictures.py strips       # docs/images/*.jpg: before, after, original, with the embedded model
    python scripts/make_pictures.py sheet        # docs/images/degradations.jpg: every degradation at three severities

The clean pictures are those that ship with scikit-image; samples/README.md states their origin.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from ldrestore.degradations import degrade, list_degradations

ROOT = Path(__file__).resolve().parent.parent
SAMPLES, IMAGES = ROOT / "samples", ROOT / "docs" / "images"

RECIPES = {
    "astronaut_noisy": ("astronaut", "gaussian_noise(sigma_255=25)"),
    "chelsea_dark": ("chelsea", "low_light(severity=0.5)"),
    "coffee_rainy": ("coffee", "rain(severity=0.5)"),
    "coffee_hazy": ("coffee", "haze(severity=0.5)"),
    "astronaut_raindrops": ("astronaut", "raindrop(severity=0.5)"),
    "chelsea_snow_jpeg": ("chelsea", "snow(severity=0.4)+jpeg(quality=40)"),
}
"""Name of a sample to (scikit-image picture, recipe)."""


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
    """Write a strip for each sample: damaged, restored, original."""
    from ldrestore import restore

    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, (source, _) in RECIPES.items():
        damaged = Image.open(SAMPLES / f"{name}.png")
        restored = restore(damaged).images[0]
        labelled({"before": damaged, "after": restored, "original": clean_picture(source)}, columns=3).save(
            IMAGES / f"{name}.jpg", quality=90
        )


def make_sheet(*, severities: tuple[float, ...] = (0.2, 0.5, 0.9), side: int = 192) -> None:
    """Write one row a degradation, one column a severity."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    clean = clean_picture("coffee", longer_side=300)
    left = (clean.width - side) // 2
    clean = clean.crop((left, 0, left + side, min(side, clean.height)))
    cells = {
        f"{name} {severity}": degrade(clean, name, seed=3, severity=severity)
        for name in list_degradations()
        for severity in severities
    }
    labelled(cells, columns=2 * len(severities)).save(IMAGES / "degradations.jpg", quality=88)


def make_failures(folder: Path, *, model: str, side: int = 180) -> None:
    """Write the picture of each degradation that gained least: damaged, restored, original.

    Args:
        folder: The clean pictures that `measure_default.py` was run on.
        model: Name or folder of the restorer.
        side: Of the part that is shown, in pixels.
    """
    from ldrestore import load_restorer

    rows = json.loads(MEASUREMENTS.read_text(encoding="utf-8"))["rows"]
    pipeline = load_restorer(model)
    pipeline.set_progress_bar_config(disable=True)
    cells = {}
    for recipe, row in {**rows["degradations"], **rows.get("mixtures", {})}.items():
        name, gain = worst_gain(row)
        pair = next(synthetic_pairs([folder / name], recipe))
        restored = pipeline(pair.lq).photos[0].pixels
        rows_shown, columns_shown = window_of_harm(pair, restored, side=side)
        for label, picture in (
            (recipe.replace("sigma_255=", ""), pair.lq),
            (f"{Path(name).stem}: {gain:+.1f} dB", restored),
            ("original", pair.gt),
        ):
            label = f"{label}{chr(0x200B) * len(cells)}"
            cells[label] = Image.fromarray(np.ascontiguousarray(picture[rows_shown, columns_shown]))
    IMAGES.mkdir(parents=True, exist_ok=True)
    save_within(labelled(cells, columns=6), IMAGES / "failures.jpg")


def main() -> None:
    """Parse the command line and make what it names."""
    makers = {"samples": make_samples, "strips": make_strips, "sheet": make_sheet}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=makers)
    for name in parser.parse_args().what:
        makers[name]()


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()
