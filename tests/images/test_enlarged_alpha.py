"""Enlargement weighted by alpha, at every depth, factor and shape of matte."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from ldrestore.errors import MetadataLossWarning
from ldrestore.images.enlargement import enlarge
from ldrestore.images.files import read_photo
from ldrestore.images.photo import Photo
from ldrestore.images.working_copy import like_input, working_copy

TOPS = {"uint8": 255, "uint16": 65_535, "float32": 1}


def cut_out(kind: str, height: int = 48, width: int = 40) -> Photo:
    """A smooth picture with a hole and a soft edge."""
    rng = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(rng.random((height, width, 3), dtype=np.float32), (0, 0), 2)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    rows, columns = np.mgrid[:height, :width]
    alpha = np.clip(np.hypot(rows - 20, columns - 18) / 4 - 2, 0, 1)
    values = [np.asarray(array * TOPS[kind]).astype(kind) for array in (smooth, alpha)]
    return Photo(pixels=values[0], alpha=values[1])


def levels(photo: Photo) -> np.ndarray:
    """Colours in levels of 255."""
    return photo.pixels.astype(np.float64) * (255 / photo.max_value)


@pytest.mark.parametrize("kind", TOPS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_flat_colour_stays_flat_under_any_matte(kind: str, scale: int) -> None:
    photo = cut_out(kind)
    flat = np.broadcast_to(photo.pixels[0, 0], photo.pixels.shape).copy()
    enlarged = enlarge(photo.replace(pixels=flat, alpha=photo.alpha), scale)
    assert enlarged.alpha is not None
    is_seen = enlarged.alpha > 0
    assert np.abs(levels(enlarged)[is_seen] - flat[0, 0] * (255 / photo.max_value)).max() <= 0.51 / (
        257 if kind != "uint8" else 1
    )


@pytest.mark.parametrize("kind", TOPS)
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("hidden", [0, 1])
def test_hidden_colours_change_nothing_that_is_seen_at_any_depth(kind: str, scale: int, hidden: int) -> None:
    photo = cut_out(kind)
    assert photo.alpha is not None
    pixels = photo.pixels.copy()
    pixels[photo.alpha == 0] = hidden * TOPS[kind]
    found = working_copy(photo.replace(pixels=pixels, alpha=photo.alpha), scale=scale)
    expected = working_copy(photo, scale=scale)
    assert np.array_equal(found.alpha, expected.alpha)
    assert np.array_equal(found.pixels, expected.pixels)


@pytest.mark.parametrize("kind", ["uint16", "float32"])
@pytest.mark.parametrize("scale", [2, 4])
def test_deeper_pictures_are_enlarged_as_the_one_of_8_bits(kind: str, scale: int) -> None:
    shallow = cut_out("uint8")
    assert shallow.alpha is not None
    factor = TOPS[kind] / 255
    deep = Photo(
        pixels=(shallow.pixels * factor).astype(kind),
        alpha=(shallow.alpha * factor).astype(kind),
    )
    found, expected = enlarge(deep, scale), enlarge(shallow, scale)
    assert found.alpha is not None and expected.alpha is not None
    is_seen = expected.alpha > 32
    assert np.abs(levels(found) - levels(expected))[is_seen].max() <= 1
    assert np.abs(found.alpha / factor - expected.alpha).max() <= 0.6


@pytest.mark.parametrize("kind", TOPS)
def test_what_is_opaque_and_far_from_the_matte_is_plain_bicubic(kind: str) -> None:
    photo = cut_out(kind)
    enlarged, plain = enlarge(photo, 2), enlarge(photo.replace(pixels=photo.pixels, alpha=None), 2)
    assert np.array_equal(enlarged.pixels[70:], plain.pixels[70:])
    assert not np.array_equal(enlarged.pixels, plain.pixels)


@pytest.mark.parametrize("alpha", [0, 1, 100, 254])
def test_one_alpha_for_all_weighs_nothing(alpha: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    enlarged = enlarge(Photo(pixels=pixels, alpha=np.full((20, 30), alpha, np.uint8)), 3)
    assert np.array_equal(enlarged.pixels, enlarge(Photo(pixels=pixels), 3).pixels)
    assert enlarged.alpha is not None and (enlarged.alpha == alpha).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (300, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_smallest_pictures_are_enlarged_with_their_matte(size: tuple[int, int], channels: int) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (*size, channels), dtype=np.uint8)
    enlarged = enlarge(Photo(pixels=pixels, alpha=rng.integers(0, 256, size, dtype=np.uint8)), 4)
    assert enlarged.pixels.shape == (4 * size[0], 4 * size[1], channels)
    assert enlarged.alpha is not None and enlarged.alpha.shape == (4 * size[0], 4 * size[1])


@pytest.mark.parametrize("kind", TOPS)
def test_a_picture_of_which_nothing_is_seen_keeps_its_colours(kind: str) -> None:
    photo = cut_out(kind)
    hidden = photo.replace(pixels=photo.pixels, alpha=np.zeros_like(photo.alpha))
    shown = working_copy(hidden)
    assert np.array_equal(like_input(shown, hidden).pixels, photo.pixels)
    assert np.array_equal(
        working_copy(hidden, scale=2).pixels, enlarge(photo.replace(pixels=photo.pixels, alpha=None), 2).pixels
    )


LAYOUTS = [
    {"planarconfig": "separate"},
    {"planarconfig": "contig", "compression": "lzw", "predictor": True},
    {"planarconfig": "contig", "byteorder": ">"},
    {"planarconfig": "contig", "bigtiff": True},
    {"planarconfig": "contig", "tile": (16, 16)},
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_an_unspecified_sample_is_no_alpha_and_a_stated_one_is_in_every_layout(
    kind: str, layout: dict[str, object], tmp_path: Path
) -> None:
    if kind == "float32" and "predictor" in layout:
        layout = {**layout, "predictor": False}
    photo = cut_out(kind)
    assert photo.alpha is not None
    values = np.dstack([photo.pixels, photo.alpha])
    stored = np.moveaxis(values, 2, 0) if layout["planarconfig"] == "separate" else values
    for extra in ("unspecified", "unassalpha"):
        path = tmp_path / f"{extra}.tif"
        tifffile.imwrite(path, stored, photometric="rgb", extrasamples=[extra], metadata=None, **layout)
        if extra == "unspecified":
            with pytest.warns(MetadataLossWarning, match="neither colour nor alpha"):
                found = read_photo(path)
            assert found.alpha is None
        else:
            found = read_photo(path)
            assert np.array_equal(found.alpha, photo.alpha)
        assert np.array_equal(found.pixels, photo.pixels)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_16_bit_cmyk_is_the_complement_in_16_bits_in_every_layout(layout: dict[str, object], tmp_path: Path) -> None:
    inks = np.random.default_rng(0).integers(0, 65_536, (20, 30, 4), dtype=np.uint16)
    stored = np.moveaxis(inks, 2, 0) if layout["planarconfig"] == "separate" else inks
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="separated", metadata=None, **layout)
    photo = read_photo(tmp_path / "a.tif")
    light = 65_535 - inks.astype(np.float64)
    assert photo.pixels.dtype == np.uint16 and photo.icc_profile is None
    assert np.abs(photo.pixels - light[..., :3] * light[..., 3:] / 65_535).max() <= 0.51
    photo.save(tmp_path / "b.png")
    assert np.array_equal(read_photo(tmp_path / "b.png").pixels, photo.pixels)
