"""How far pictures lie apart: known values, every depth and channel, and what the figure is given."""

from typing import Any

import numpy as np
import pytest

from ldrestore.explanations.differences import (
    ExplainedPictures,
    difference_of,
    section_of_differences,
    shares_of,
)
from ldrestore.images.photo import Photo
from ldrestore.metrics.psnr import MEAN_CAP


def plain(value: float, shape: tuple[int, int, int] = (6, 9, 3), dtype: type = np.uint8) -> Photo:
    return Photo(pixels=np.full(shape, value, dtype))


@pytest.fixture
def panels(monkeypatch) -> list[dict[str, Any]]:
    """What is drawn, in the place of the figure."""
    kept: list[dict[str, Any]] = []

    def keep(pictures: Any, maps: Any, **options: Any) -> bytes:
        kept.append({"pictures": pictures, "maps": maps, **options})
        return b"png"

    monkeypatch.setattr("ldrestore.explanations.differences.draw_panels", keep)
    return kept


@pytest.mark.parametrize(("first", "second"), [(10, 61), (61, 10)])
def test_a_difference_is_absolute_and_a_share_of_white(first, second) -> None:
    found = difference_of(plain(first), plain(second))
    assert found.magnitude.shape == (6, 9) and found.magnitude.dtype == np.float32
    np.testing.assert_allclose(found.magnitude, 0.2, rtol=1e-6)
    assert found.mean == pytest.approx(0.2) and found.psnr == pytest.approx(20 * np.log10(5), abs=1e-4)


def test_black_against_white_is_no_decibel_and_equal_pictures_are_capped() -> None:
    apart, equal = difference_of(plain(0), plain(255)), difference_of(plain(7), plain(7))
    assert (apart.mean, apart.psnr) == (1, 0)
    assert (equal.mean, equal.psnr) == (0, MEAN_CAP)


def test_the_magnitude_is_the_mean_over_the_colours_and_the_decibels_are_of_their_squares() -> None:
    first, second = plain(0), plain(0)
    second.pixels[...] = (30, 0, 60)
    found = difference_of(first, second)
    np.testing.assert_allclose(found.magnitude, 30 / 255, rtol=1e-6)
    mean_square = (30**2 + 60**2) / 3
    assert found.psnr == pytest.approx(10 * np.log10(255**2 / mean_square), abs=1e-4)


@pytest.mark.parametrize(
    "other",
    [plain(51, dtype=np.uint8), plain(51 * 257, dtype=np.uint16), plain(0.2, dtype=np.float32), plain(51, (6, 9, 1))],
    ids=["8 bits", "16 bits", "float", "grey"],
)
def test_depth_and_channels_do_not_count(other) -> None:
    assert shares_of(other.pixels, other).dtype == np.float32
    found = difference_of(plain(0), other)
    assert found.mean == pytest.approx(0.2, abs=1e-6) and found.psnr == pytest.approx(13.9794, abs=1e-3)


@pytest.mark.parametrize("height", [255, 256, 257, 513])
def test_bands_leave_out_no_row(height) -> None:
    first, second = plain(0, (height, 2, 3)), plain(0, (height, 2, 3))
    second.pixels[:, :, :] = np.arange(height)[:, None, None] % 256
    found = difference_of(first, second)
    np.testing.assert_allclose(found.magnitude[:, 0] * 255, np.arange(height) % 256, atol=1e-4)
    assert found.psnr == pytest.approx(-10 * np.log10(np.square(np.arange(height) % 256 / 255).mean()), abs=1e-3)


def test_the_figure_is_given_pictures_and_maps_with_their_numbers(panels) -> None:
    pictures = ExplainedPictures(picture=plain(0), restored=plain(40), gt=plain(50), unrefined=plain(30))
    section = section_of_differences(pictures, pictures.differences())
    (drawn,) = panels
    assert list(drawn["pictures"]) == ["input", "ground truth (gt)", "unrefined", "restored"]
    assert [int(one[0, 0, 0]) for one in drawn["pictures"].values()] == [0, 50, 30, 40]
    assert list(drawn["maps"]) == [
        "|restored - input|\nmean 40.00",
        "|input - gt|\nmean 50.00, 14.15 dB",
        "|unrefined - gt|\nmean 20.00, 22.11 dB",
        "|restored - gt|\nmean 10.00, 28.13 dB",
    ]
    assert [round(float(one.mean())) for one in drawn["maps"].values()] == [40, 50, 20, 10]
    assert drawn["least_top"] == 1  # less than a step of 8 bits stays black
    assert section.figures == {"differences.png": b"png"}
    rows = section.paragraphs[0].splitlines()[2:]
    assert rows[0] == "| restored - input | 40.00 |  |" and rows[3] == "| restored - gt | 10.00 | 28.13 |"
    assert section.document["differences"]["restored - gt"] == {
        "mean": round(10 / 255, 6),
        "psnr": pytest.approx(28.1308, abs=1e-3),
    }


def test_without_a_ground_truth_there_are_two_pictures_and_one_map(panels) -> None:
    pictures = ExplainedPictures(
        picture=plain(0, (6, 9, 1)), restored=plain(3, (6, 9, 1)), unrefined=plain(2, (6, 9, 1))
    )
    section_of_differences(pictures, pictures.differences())
    (drawn,) = panels
    assert list(drawn["pictures"]) == ["input", "unrefined", "restored"]
    assert {one.shape for one in drawn["pictures"].values()} == {(6, 9, 3)}
    assert list(drawn["maps"]) == ["|restored - input|\nmean 3.00"]


def test_large_pictures_are_drawn_small_and_measured_as_they_are(panels) -> None:
    first, second = plain(0, (8, 1500, 3)), plain(0, (8, 1500, 3))
    second.pixels[:, ::2] = 20
    pictures = ExplainedPictures(picture=first, restored=second)
    differences = pictures.differences()
    section = section_of_differences(pictures, differences)
    assert differences["restored - input"].magnitude.shape == (8, 1500)
    assert next(iter(panels[0]["maps"].values())).shape == (4, 720)
    assert section.document["differences"]["restored - input"]["mean"] == round(10 / 255, 6)
