"""Figures show what they claim: colours at known values, places in their order, and the words beside them."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from ldrestore.explanations import drawing
from ldrestore.explanations.drawing import (
    BAR,
    DPI,
    WIDTH,
    blank_figure,
    draw_panels,
    draw_ranking,
    draw_strip,
    draw_table,
    drawn,
)
from ldrestore.explanations.estimate_section import MAX_NAME, section_of_estimates
from ldrestore.explanations.usage_section import draw_usage, heading_of

FRAME = "#d55e00"


@pytest.fixture
def figures(monkeypatch) -> list[Any]:
    """All figures that are drawn, as matplotlib has them."""
    kept: list[Any] = []

    @contextmanager
    def keep(width: float, height: float) -> Iterator[tuple[Any, io.BytesIO]]:
        with blank_figure(width, height) as (figure, png):
            kept.append(figure)
            yield figure, png

    monkeypatch.setattr(drawing, "blank_figure", keep)
    monkeypatch.setattr("ldrestore.explanations.usage_section.blank_figure", keep)
    return kept


def pixels_of(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def colour_of(name: str, value: float | None = None) -> tuple[int, ...]:
    """A named colour, or that of a value on a scale of colours, as 8-bit numbers."""
    rgb = to_rgb(name) if value is None else mpl.colormaps[name](float(value))[:3]
    return tuple(round(255 * share) for share in rgb)


def areas_of(pixels: np.ndarray, colour: tuple[int, ...], *, least: int = 30) -> list[tuple[int, int, int, int]]:
    """Areas of one colour in reading order: left, top, width and height."""
    mask = (np.abs(pixels - np.array(colour)).max(axis=2) <= 2).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    found = [tuple(int(value) for value in stats[index][:4]) for index in range(1, count) if stats[index][4] >= least]
    return sorted(found, key=lambda box: (round(box[1] / 20), box[0]))


def plain(red: int, green: int, blue: int, height: int = 20, width: int = 30) -> np.ndarray:
    return np.broadcast_to(np.array([red, green, blue], np.uint8), (height, width, 3))


def words_of(figure: Any) -> list[str]:
    """All words that are written into the panels."""
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_bars_of_a_ranking_are_as_long_as_their_values_and_come_in_order() -> None:
    bars = areas_of(pixels_of(draw_ranking([("rain", 1.0), ("haze", 0.5), ("snow", 0.25)], title="x")), colour_of(BAR))
    widths = [width for _, _, width, _ in bars]
    assert [round(width / widths[0], 2) for width in widths] == [1, 0.5, 0.25]
    assert [left for left, *_ in bars] == [bars[0][0]] * 3 and bars[0][1] < bars[1][1] < bars[2][1]


def test_a_value_of_zero_has_no_bar_and_its_number_all_the_same(figures) -> None:
    png = draw_ranking([("rain", 0.0), ("motion_blur", 0.004)], title="what it sees")
    assert areas_of(pixels_of(png), colour_of(BAR), least=60) == []
    (axes,) = figures[0].axes
    assert words_of(figures[0]) == ["0.00", "0.00"] and axes.get_title() == "what it sees"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["rain", "motion blur"]
    assert axes.yaxis_inverted()  # the first on top


def test_every_name_of_a_ranking_has_its_line(figures) -> None:
    png = draw_ranking([(f"name_{index}", 0.5) for index in range(40)], title="x")
    assert len(areas_of(pixels_of(png), colour_of(BAR))) == 40 == len(words_of(figures[0]))


def test_cells_of_a_table_have_the_colours_of_their_values(figures) -> None:
    values = np.array([[0.0, 0.25, 1.0], [0.5, 0.75, 0.1]])
    png = draw_table({"first": values[0], "second": values[1]}, title="x", unit="expert")
    pixels, axes = pixels_of(png), figures[0].axes[0]
    assert words_of(figures[0]) == [f"{value:.2f}" for value in values.flat]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "second"]
    for (row, column), value in np.ndenumerate(values):
        x, y = axes.transData.transform((column - 0.4, row - 0.35))  # a corner of the cell, beside its number
        found = pixels[len(pixels) - 1 - round(y), round(x)]
        np.testing.assert_allclose(found, colour_of("Blues", value), atol=2)


def test_numbers_upon_dark_cells_are_white() -> None:
    dark, light = (pixels_of(draw_table({"a": np.array([value])}, title="", unit="")) for value in (0.9, 0.3))
    cell = areas_of(dark, colour_of("Blues", 0.9), least=500)[0]
    inside = dark[cell[1] : cell[1] + cell[3], cell[0] : cell[0] + cell[2]]
    assert (inside > 250).all(axis=2).any() and not (inside < 5).all(axis=2).any()
    cell = areas_of(light, colour_of("Blues", 0.3), least=500)[0]
    inside = light[cell[1] : cell[1] + cell[3], cell[0] : cell[0] + cell[2]]
    assert (inside < 5).all(axis=2).any()


def test_the_highest_of_each_row_is_framed_the_first_of_equals(figures) -> None:
    rows = {"a": np.array([0.2, 0.7, 0.1]), "b": np.array([0.5, 0.1, 0.5])}
    framed = pixels_of(draw_table(rows, title="x", unit="", is_framed=True))
    frames = figures[0].axes[0].patches
    assert [(round(frame.get_x() + 0.46), round(frame.get_y() + 0.44)) for frame in frames] == [(1, 0), (0, 1)]
    assert [text.get_text() for text in figures[0].axes[0].texts if text.get_weight() == "bold"] == ["0.70", "0.50"]
    assert len(areas_of(framed, colour_of(FRAME))) == 2


def test_names_of_columns_stand_upright_below_them(figures) -> None:
    draw_table({"a": np.array([0.2, 0.8])}, title="", unit="", columns=["low light", "jpeg"])
    labels = figures[0].axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == ["low light", "jpeg"]
    assert {label.get_rotation() for label in labels} == {90.0}


def test_a_table_of_many_rows_and_columns_stays_within_the_width() -> None:
    rows = {f"block {index}": np.linspace(0, 1, 12) for index in range(15)}
    width, height = Image.open(io.BytesIO(draw_table(rows, title="x", unit="expert"))).size
    assert width == WIDTH * DPI and height > 15 * 30


def test_maps_have_the_colours_of_their_values_on_one_scale() -> None:
    maps = {"a": np.full((20, 30), 5.0), "b": np.full((20, 30), 10.0), "c": np.zeros((20, 30))}
    pixels = pixels_of(draw_panels({"input": plain(0, 255, 0)}, maps, columns=2, label="x", least_top=1.0))
    (green,) = areas_of(pixels, (0, 255, 0), least=500)
    boxes = [areas_of(pixels, colour_of("magma", value), least=5000) for value in (0.5, 1.0, 0.0)]
    assert [len(found) for found in boxes] == [1, 1, 1]
    half, full, none = (found[0] for found in boxes)
    assert green[0] < half[0] and abs(green[1] - half[1]) < 3  # beside each other
    assert none[0] > full[0] and full[1] > green[1] and abs(full[1] - none[1]) < 3
    assert all(abs(box[side] - green[side]) <= 1 for box in (half, full, none) for side in (2, 3))


def test_small_values_stay_dark_where_the_scale_ends_later() -> None:
    maps = {"a": np.full((20, 30), 0.5)}
    pixels = pixels_of(draw_panels({"input": plain(0, 255, 0)}, maps, columns=2, label="x", least_top=1.0))
    assert areas_of(pixels, colour_of("magma", 0.5), least=5000)
    assert not areas_of(pixels, colour_of("magma", 1.0), least=5000)


def test_a_single_bright_pixel_does_not_set_the_scale() -> None:
    values = np.full((40, 50), 2.0)
    values[3, 4] = 1000.0
    pixels = pixels_of(draw_panels({"input": plain(0, 255, 0)}, {"a": values}, columns=2, label="x", least_top=1.0))
    assert areas_of(pixels, colour_of("magma", 1.0), least=5000)


@pytest.mark.parametrize(("height", "width"), [(33, 11), (7, 40)])
def test_pictures_keep_their_proportions(height, width) -> None:
    pictures = {"input": plain(0, 255, 0, height, width)}
    maps = {"a": np.ones((height, width))}
    for png in (
        draw_panels(pictures, maps, columns=2, label="x", least_top=1.0),
        draw_strip(pictures, columns=2, title="x"),
    ):
        ((_, _, found_width, found_height),) = areas_of(pixels_of(png), (0, 255, 0), least=500)
        assert found_width / found_height == pytest.approx(width / height, rel=0.05)


def test_one_pixel_of_a_picture_is_a_square_of_its_colour() -> None:
    picture = plain(0, 0, 255, 4, 6).copy()
    picture[1, 2] = (255, 255, 0)
    pixels = pixels_of(draw_strip({"input": picture}, columns=1, title="x"))
    ((left, top, width, height),) = areas_of(pixels, (255, 255, 0), least=200)
    ys, xs = np.nonzero(np.abs(pixels - np.array([0, 0, 255])).max(axis=2) <= 2)
    assert width == pytest.approx(height, abs=2) == pytest.approx((xs.max() - xs.min() + 1) / 6, abs=2)
    assert (left - xs.min()) / width == pytest.approx(2, abs=0.1)
    assert (top - ys.min()) / height == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 4, 1), (5, 3, 2)])
def test_a_strip_reads_from_left_to_right_and_down(figures, count, columns, rows) -> None:
    colours = [(255, 40 * index, 0) for index in range(count)]
    png = draw_strip({f"step {index}": plain(*one) for index, one in enumerate(colours)}, columns=columns, title="way")
    pixels = pixels_of(png)
    boxes = [areas_of(pixels, one, least=500)[0] for one in colours]
    assert boxes == sorted(boxes, key=lambda box: (round(box[1] / 20), box[0]))
    assert len({round(top / 20) for _, top, _, _ in boxes}) == rows
    titles = [axes.get_title() for axes in figures[0].axes]
    assert titles[:count] == [f"step {index}" for index in range(count)] and not any(titles[count:])
    assert figures[0].get_suptitle() == "way"


def test_maps_lose_no_brightness_when_they_are_reduced() -> None:
    values = np.random.default_rng(0).random((100, 1500)).astype(np.float32)
    reduced = drawn(values)
    assert reduced.shape == (48, 720)
    assert reduced.mean() == pytest.approx(values.mean(), abs=1e-3)


def bars_of(figure: Any) -> list[list[float]]:
    return [[bar.get_height() for bar in axes.patches] for axes in figure.axes]


def test_few_pools_are_bars_and_more_a_table(figures) -> None:
    rows = {f"pool {index}": np.array([0.1, 0.7, 0.2]) for index in range(4)}
    draw_usage(dict(list(rows.items())[:3]), title="usage", unit="prompt")
    assert bars_of(figures[0]) == [[0.1, 0.7, 0.2]] * 3
    assert [axes.get_title() for axes in figures[0].axes] == ["pool 0", "pool 1", "pool 2"]
    assert {axes.get_xlabel() for axes in figures[0].axes} == {"prompt"}
    draw_usage(rows, title="usage", unit="prompt", is_framed=True)
    assert len(figures[1].axes[0].images) == 1 and len(figures[1].axes[0].patches) == 4
    draw_usage(rows | {"other": np.array([1.0])}, title="usage", unit="prompt")  # no table has such rows
    assert bars_of(figures[2]) == [[0.1, 0.7, 0.2]] * 4 + [[1.0]]


def test_bars_have_one_scale_and_only_those_that_are_seen_a_number(figures) -> None:
    draw_usage({"a": np.array([0.0, 0.004, 0.5]), "b": np.array([0.25, 0.0])}, title="x", unit="expert")
    assert words_of(figures[0]) == ["0.50", "0.25"]
    limits = [axes.get_ylim() for axes in figures[0].axes]
    assert limits[0] == limits[1] == (0, pytest.approx(0.575))
    draw_usage({"a": np.zeros(3)}, title="x", unit="expert")  # nothing is used
    assert words_of(figures[1]) == [] and figures[1].axes[0].get_ylim()[1] > 0


@pytest.mark.parametrize("rows", [{"a": np.array([1.0])}, {"a": np.linspace(0, 1, 60)}])
def test_pools_of_one_and_of_many_are_drawn(figures, rows: Mapping[str, np.ndarray]) -> None:
    png = draw_usage(rows, title="x", unit="prompt")
    assert len(bars_of(figures[0])[0]) == len(rows["a"])
    assert Image.open(io.BytesIO(png)).size[0] <= WIDTH * DPI


def test_a_heading_is_the_unit_in_the_plural() -> None:
    assert (heading_of("prompt"), heading_of("expert")) == ("Prompts", "Experts")


def test_pictures_of_a_report_are_numbered_and_long_names_keep_their_ends(figures) -> None:
    names = ["a.png", "very/long/folder/" + "x" * 30 + ".png", "price $5 or $6.png"]
    section_of_estimates(("rain", "low_light"), np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]), names)
    axes = figures[0].axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[0] == "1: a.png" and labels[1] == f"2: …{names[1][-MAX_NAME:]}"
    assert labels[2] == r"3: price \$5 or \$6.png"  # no formula
    assert [label.get_text() for label in axes.get_xticklabels()] == ["rain", "low light"]


def test_of_too_many_pictures_the_mean_is_ranked(figures) -> None:
    probabilities = np.array([[0.1, 0.9]] * 20 + [[0.5, 0.5]] * 20)
    section = section_of_estimates(("rain", "haze"), probabilities, [str(index) for index in range(40)])
    (axes,) = figures[0].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["haze", "rain"]
    assert [round(bar.get_width(), 6) for bar in axes.patches] == [0.7, 0.3]
    assert axes.get_title() == "degradations that the model sees, mean over 40 pictures"
    assert section.document["mean"] == [0.3, 0.7]


def test_a_figure_is_as_large_as_it_says_whatever_the_users_resolution() -> None:
    expected = Image.open(io.BytesIO(draw_ranking([("a", 0.5)], title="x"))).size
    with mpl.rc_context({"figure.dpi": 40, "savefig.dpi": 300, "savefig.bbox": "tight"}):
        assert Image.open(io.BytesIO(draw_ranking([("a", 0.5)], title="x"))).size == expected
