"""BMPs as programs write them: depths, masks, order of the rows, profiles."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ldrestore.errors import ImageFileError, MetadataLossWarning
from ldrestore.images.files import read_photo

BGRX = np.array([[[1, 2, 3, 255], [4, 5, 6, 128]], [[7, 8, 9, 0], [10, 11, 12, 7]]], np.uint8)
MASKS = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)


def bmp(
    rows: np.ndarray, *, bits: int, masks: bytes = b"", header_bytes: int = 40, is_top_down: bool = False
) -> bytearray:
    """A BMP by the specification; rows (H, bytes of a row) from the top, each of whole words."""
    height, width = rows.shape[0], rows.shape[1] * 8 // bits
    stored = rows if is_top_down else rows[::-1]
    sizes = (header_bytes, width, -height if is_top_down else height)
    header = struct.pack("<IiiHHIIiiII", *sizes, 1, bits, 3 if masks else 0, rows.size, 0, 0, 0, 0)
    header = (header + masks).ljust(header_bytes, b"\0")
    place = 14 + len(header)
    content = b"BM" + struct.pack("<IHHI", place + rows.size, 0, 0, place) + header + stored.tobytes()
    return bytearray(content)


@pytest.mark.parametrize("is_top_down", [True, False])
def test_32_bits_without_masks_are_opaque_from_whichever_row_they_begin(is_top_down: bool, tmp_path: Path) -> None:
    (tmp_path / "a.bmp").write_bytes(bmp(BGRX.reshape(2, 8), bits=32, is_top_down=is_top_down))
    photo = read_photo(tmp_path / "a.bmp")
    assert photo.alpha is None
    assert np.array_equal(photo.pixels, BGRX[..., 2::-1])


def test_32_bits_with_a_mask_of_alpha_have_alpha(tmp_path: Path) -> None:
    (tmp_path / "a.bmp").write_bytes(bmp(BGRX.reshape(2, 8), bits=32, masks=MASKS, header_bytes=108))
    photo = read_photo(tmp_path / "a.bmp")
    assert np.array_equal(photo.pixels, BGRX[..., 2::-1])
    assert np.array_equal(photo.alpha, BGRX[..., 3])


@pytest.mark.parametrize("masks", [(0x7C00, 0x3E0, 0x1F), (0xF800, 0x7E0, 0x1F)], ids=["5 5 5", "5 6 5"])
def test_16_bits_are_spread_over_the_whole_range(masks: tuple[int, int, int], tmp_path: Path) -> None:
    codes = np.array([[0, *masks], [sum(masks), 0, 0, sum(masks)]], "<u2")
    content = bmp(codes.view(np.uint8), bits=16, masks=struct.pack("<IIII", *masks, 0), header_bytes=56)
    (tmp_path / "a.bmp").write_bytes(content)
    photo = read_photo(tmp_path / "a.bmp")
    assert photo.pixels[0].tolist() == [[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert photo.pixels[1, 0].tolist() == [255, 255, 255]
    assert photo.alpha is None


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_what_pillow_writes_of_each_mode_is_its_picture(mode: str, pixels: np.ndarray, tmp_path: Path) -> None:
    image = Image.fromarray(pixels).convert(mode)
    image.save(tmp_path / "a.bmp")
    expected = np.asarray(image.convert("L" if mode in ("1", "L") else "RGB"))
    assert np.array_equal(read_photo(tmp_path / "a.bmp").pixels.squeeze(), expected)


def profiled(
    folder: Path, profile: bytes, *, space: bytes = b"DEBM", size: int | None = None, place: int = 140
) -> Path:
    """A BMP of the fifth header, with a profile behind the pixels."""
    content = bmp(BGRX.reshape(2, 8), bits=32, masks=MASKS, header_bytes=124)
    content[14 + 56 : 14 + 60] = space
    struct.pack_into("<II", content, 14 + 112, place, len(profile) if size is None else size)
    (folder / "a.bmp").write_bytes(content + profile)
    return folder / "a.bmp"


def test_an_embedded_profile_is_read_carried_and_told_where_it_is_lost(profile: bytes, tmp_path: Path) -> None:
    photo = read_photo(profiled(tmp_path, profile))
    assert photo.icc_profile == profile
    assert np.array_equal(photo.pixels, BGRX[..., 2::-1])
    photo.save(tmp_path / "b.png")
    assert read_photo(tmp_path / "b.png").icc_profile == profile
    with pytest.warns(MetadataLossWarning, match="the colour profile, which a BMP cannot hold"):
        photo.replace(pixels=photo.pixels, alpha=None).save(tmp_path / "b.bmp")


@pytest.mark.parametrize(
    "wrong",
    [{"space": b"BGRs"}, {"space": b"KNIL"}, {"size": 0}, {"size": 2**32 - 1}, {"place": 10**6}, {"size": 10**5}],
)
def test_a_profile_that_is_none_or_does_not_fit_costs_no_picture(
    wrong: dict[str, int], profile: bytes, tmp_path: Path
) -> None:
    photo = read_photo(profiled(tmp_path, profile, **wrong))
    assert photo.icc_profile is None
    assert np.array_equal(photo.pixels, BGRX[..., 2::-1])


def test_a_bmp_cut_off_anywhere_is_a_typed_error_or_the_whole_picture(profile: bytes, tmp_path: Path) -> None:
    path = profiled(tmp_path, profile)
    content = path.read_bytes()
    end_of_pixels = 14 + 124 + 16
    for length in range(1, end_of_pixels, 3):
        path.write_bytes(content[:length])
        with pytest.raises(ImageFileError):
            read_photo(path)
    for length in (end_of_pixels, end_of_pixels + 100, len(content) - 1):
        path.write_bytes(content[:length])
        photo = read_photo(path)
        assert np.array_equal(photo.pixels, BGRX[..., 2::-1]) and photo.icc_profile is None
