"""What figures are drawn with."""

import io

import numpy as np
import pytest
from PIL import Image

from ldrestore.explanations.drawing import (
    DPI,
    MAX_DRAWN,
    WIDTH,
    draw_panels,
    draw_ranking,
    draw_strip,
    draw_table,
    drawn,
    style_of,
)


def size(png):
    return Image.open(io.BytesIO(png)).size


def picture(height=20, width=30, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_ranking_grows_with_its_names():
    short = draw_ranking([("rain", 0.9)], title="x")
    long = draw_ranking([(f"name_{index}", 0.1) for index in range(12)], title="x")
    assert size(short)[0] == size(long)[0] and size(long)[1] > 2 * size(short)[1]
    assert short != draw_ranking([("rain", 0.8)], title="x")


def test_a_table_shows_its_values_and_frames_the_highest():
    rows = {"a": np.array([0.1, 0.9]), "b": np.array([0.6, 0.4])}
    plain = draw_table(rows, title="x", unit="expert")
    assert plain == draw_table(rows, title="x", unit="expert")
    assert plain != draw_table(rows, title="x", unit="expert", is_framed=True)
    named = draw_table(rows, title="x", unit="", columns=["a long name of a column", "b"])
    assert size(named)[1] > size(plain)[1]


@pytest.mark.parametrize("shape", [(20, 30), (60, 20), (3, 90)])
def test_panels_of_any_shape_stay_within_the_width(shape):
    png = draw_panels(
        {"input": picture(*shape)},
        {"a": np.zeros(shape), "b": np.random.default_rng(1).random(shape)},
        columns=3,
        label="x",
        least_top=1.0,
    )
    assert size(png)[0] == WIDTH * DPI


def test_maps_that_are_all_zero_can_be_drawn():
    assert draw_panels({"input": picture()}, {"a": np.zeros((20, 30))}, columns=2, label="x", least_top=1e-6)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_a_strip_takes_as_many_rows_as_it_needs(count):
    one = draw_strip({str(index): picture(seed=index) for index in range(count)}, columns=4, title="x")
    assert size(one)[0] == WIDTH * DPI


def test_large_pictures_are_reduced_and_small_ones_stay():
    assert drawn(picture(MAX_DRAWN * 2, 40), is_picture=True).shape == (MAX_DRAWN, 20, 3)
    assert np.array_equal(drawn(picture(), is_picture=True), picture())
    assert drawn(np.zeros((5, MAX_DRAWN * 3))).shape == (2, MAX_DRAWN)


def test_deep_and_grey_pictures_are_drawn_as_8_bit_colours():
    deep = picture().astype(np.uint16) * 257
    assert np.array_equal(drawn(deep, is_picture=True), picture())
    grey = drawn(picture()[:, :, :1], is_picture=True)
    assert grey.shape == (20, 30, 3) and np.array_equal(grey[:, :, 0], grey[:, :, 2])


def test_the_first_49_classes_look_different():
    styles = [style_of(index) for index in range(49)]
    assert len(set(styles)) == 49
