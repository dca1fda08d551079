"""How far input, result and ground truth lie apart: numbers, and one figure for all tracks."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ldrestore.explanations.drawing import draw_panels, drawn
from ldrestore.explanations.page_parts import image_of, rounded, table_of
from ldrestore.explanations.sections import Section
from ldrestore.images.photo import Photo
from ldrestore.metrics.psnr import MEAN_CAP, decibels

_BAND_ROWS = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Difference:
    """How far two pictures lie apart."""

    magnitude: np.ndarray
    """(H, W) float32 in [0, 1], the absolute difference, mean over the colours."""
    psnr: float
    """In dB, over all colours, white as the peak; `MEAN_CAP` for equal pictures."""

    @property
    def mean(self) -> float:
        """The mean magnitude, in [0, 1]."""
        return float(self.magnitude.mean(dtype=np.float64))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExplainedPictures:
    """Input, results and ground truth, of one size."""

    picture: Photo
    """The input."""
    restored: Photo
    """The result."""
    gt: Photo | None = None
    """The ground truth, where there is one."""
    unrefined: Photo | None = None
    """Another result of the same, which is compared with the ground truth only; None where there is none."""

    def differences(self) -> dict[str, Difference]:
        """What the model changed, and what was and is wrong.

        Returns:
            "restored - input", and with a ground truth also "input - gt", "unrefined - gt" and "restored - gt".
        """
        found = {"restored - input": difference_of(self.restored, self.picture)}
        if self.gt is not None:
            compared = {"input": self.picture, "unrefined": self.unrefined, "restored": self.restored}
            found |= {f"{name} - gt": difference_of(one, self.gt) for name, one in compared.items() if one is not None}
        return found


def difference_of(first: Photo, second: Photo) -> Difference:
    """How far two pictures of one size lie apart; a grey one counts as three equal colours.

    Args:
        first: A picture of any depth.
        second: Same height and width.
    """
    magnitude = np.empty((first.height, first.width), np.float32)
    squares = []
    for top in range(0, first.height, _BAND_ROWS):  # no float copy of the whole pictures
        rows = slice(top, top + _BAND_ROWS)
        difference = shares_of(first.pixels[rows], first) - shares_of(second.pixels[rows], second)  # (h, W, C)
        magnitude[rows] = np.abs(difference).mean(axis=2)
        squares.append(np.square(difference).mean(axis=2, dtype=np.float64).sum())
    mean_square = sum(squares) / magnitude.size
    return Difference(magnitude=magnitude, psnr=decibels(mean_square, peak=1.0, cap=MEAN_CAP))


def shares_of(pixels: np.ndarray, photo: Photo) -> np.ndarray:
    """Pixels of a photo as float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(photo.max_value)


def section_of_differences(pictures: ExplainedPictures, differences: Mapping[str, Difference]) -> Section:
    """What the model changed, and what was and is wrong.

    Args:
        pictures: What is compared.
        differences: See `ExplainedPictures.differences`; the PSNR is told of those that end in "gt".

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    rows = [
        (name, f"{255 * difference.mean:.2f}", f"{difference.psnr:.2f}" if name.endswith("gt") else "")
        for name, difference in differences.items()
    ]
    return Section(
        document={
            "differences": {
                name: {"mean": rounded(difference.mean), "psnr": rounded(difference.psnr)}
                for name, difference in differences.items()
            }
        },
        heading="What it changes",
        paragraphs=[
            table_of(("difference", "mean of absolute values, of 255", "PSNR, dB"), rows),
            image_of("differences.png", f"pictures, and maps of their differences: {', '.join(differences)}"),
        ],
        figures={"differences.png": _draw(pictures, differences)},
    )


def _draw(pictures: ExplainedPictures, differences: Mapping[str, Difference]) -> bytes:
    """Pictures, and where they differ, as PNG."""
    titled = {
        "input": pictures.picture,
        "ground truth (gt)": pictures.gt,
        "unrefined": pictures.unrefined,
        "restored": pictures.restored,
    }
    maps = {}
    for name, difference in differences.items():
        psnr = f", {difference.psnr:.2f} dB" if name.endswith("gt") else ""
        maps[f"|{name}|\nmean {255 * difference.mean:.2f}{psnr}"] = difference.magnitude
    return draw_panels(
        {name: drawn(photo.pixels, is_picture=True) for name, photo in titled.items() if photo is not None},
        {name: drawn(255 * magnitude) for name, magnitude in maps.items()},
        columns=3,
        label="difference, of 255",
        least_top=1.0,  # what is below one step of 8 bits stays black
    )
