import io
import os
import stat
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from ldrestore.errors import ImageWriteError, InputError, OutputExistsError, PixelRangeError, UnsupportedFormatError
from ldrestore.images.encoding import check_target
from ldrestore.images.files import read_photo, write_photo
from ldrestore.images.jpeg_writing import MAX_JPEG_SEGMENT, MAX_JPEG_XMP
from ldrestore.images.metadata import FileBlocks
from ldrestore.images.photo import Photo

DEPTHS = {".png": (np.uint8, np.uint16), ".tif": (np.uint8, np.uint16, np.float32), ".webp": (np.uint8,)}


def random_photo(rng, dtype, num_channels, *, has_alpha, **fields):
    def draw(*shape):
        if dtype == np.float32:
            return rng.random(shape).astype(dtype)
        return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)

    alpha = draw(6, 5) if has_alpha else None
    return Photo(pixels=draw(6, 5, num_channels), alpha=alpha, **fields)


def opened(path):
    """What Pillow makes of a file, which is closed."""
    image = Image.open(io.BytesIO(path.read_bytes()))
    image.load()
    return image


@pytest.mark.parametrize(("suffix", "dtype"), [(suffix, dtype) for suffix in DEPTHS for dtype in DEPTHS[suffix]])
@pytest.mark.parametrize("num_channels", [1, 3])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_pixels_and_alpha_come_back_to_the_bit(tmp_path, rng, suffix, dtype, num_channels, has_alpha):
    photo = random_photo(rng, dtype, num_channels, has_alpha=has_alpha)
    write_photo(photo, tmp_path / f"a{suffix}", quality=100)
    again = read_photo(tmp_path / f"a{suffix}")
    assert again.pixels.dtype == dtype
    if suffix == ".webp" and num_channels == 1:
        np.testing.assert_array_equal(again.pixels, np.repeat(photo.pixels, 3, axis=2))
    else:
        np.testing.assert_array_equal(again.pixels, photo.pixels)
    if has_alpha:
        np.testing.assert_array_equal(again.alpha, photo.alpha)
    else:
        assert again.alpha is None


def test_bmp_is_exact(tmp_path, rng):
    for num_channels in (1, 3):
        photo = random_photo(rng, np.uint8, num_channels, has_alpha=False)
        write_photo(photo, tmp_path / "a.bmp", overwrite=True)
        np.testing.assert_array_equal(read_photo(tmp_path / "a.bmp").pixels, photo.pixels)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("num_channels", [1, 3])
def test_profile_exif_and_xmp_are_written(tmp_path, rng, suffix, num_channels, profile, exif, xmp):
    photo = random_photo(rng, np.uint8, num_channels, has_alpha=False, icc_profile=profile, exif=exif, xmp=xmp)
    write_photo(photo, tmp_path / f"a{suffix}")
    again = read_photo(tmp_path / f"a{suffix}")
    assert again.icc_profile == profile
    assert again.xmp == xmp.replace(b'"6"', b'"1"')
    loaded = Image.Exif()
    loaded.load(again.exif)
    assert (loaded[0x010F], loaded[0x8298]) == ("Maker", "An Artist")
    assert loaded.get_ifd(0x8769)[0x829A] == pytest.approx(0.01)
    assert loaded.get_ifd(0x8825)[2] == (52.0, 30.0, 15.0)


@pytest.mark.parametrize(("quality", "size"), [(95, (1, 1)), (90, (1, 1)), (89, (2, 2)), (50, (2, 2))])
def test_good_jpeg_keeps_the_colours_full_resolution(tmp_path, smooth, quality, size):
    write_photo(Photo(pixels=smooth), tmp_path / "a.jpg", quality=quality)
    assert opened(tmp_path / "a.jpg").layer[0][1:3] == size


@pytest.mark.parametrize("quality", [80, 94, 100])
def test_noise_fits_a_jpeg(tmp_path, rng, quality):
    noise = rng.integers(0, 256, (300, 300, 3)).astype(np.uint8)
    write_photo(Photo(pixels=noise), tmp_path / "a.jpg", quality=quality)
    assert read_photo(tmp_path / "a.jpg").pixels.shape == noise.shape


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("suffix", [".bmp", ".webp", ".jpg"])
def test_deeper_values_are_rounded_to_nearest_where_a_format_has_8_bits(tmp_path, dtype, suffix):
    levels = np.linspace(0, 1, 17 * 19).reshape(17, 19, 1).repeat(3, axis=2)
    white = 1 if dtype == np.float32 else 65535
    pixels = (levels * white).astype(dtype)
    write_photo(Photo(pixels=pixels), tmp_path / f"a{suffix}", quality=100)
    difference = read_photo(tmp_path / f"a{suffix}").pixels - np.rint(pixels * (255 / white))
    assert np.abs(difference).max() <= (2 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_formats_that_cannot_hold_alpha_refuse_it(tmp_path, rng, suffix):
    photo = random_photo(rng, np.uint8, 3, has_alpha=True)
    with pytest.raises(ImageWriteError, match="cannot hold the picture's alpha; write PNG, TIFF or WebP instead"):
        write_photo(photo, tmp_path / f"a{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "shown"), [(-0.1, "-0.1"), (1.1, "1.1"), (np.nan, "nan"), (1 + 2**-23, "1.00000012")]
)
def test_floats_outside_the_range_are_refused(tmp_path, value, shown):
    with pytest.raises(PixelRangeError, match=rf"must lie in \[0, 1\], got .*{shown}.*; clip them first"):
        write_photo(Photo(pixels=np.full((4, 4, 3), value, np.float32)), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_blocks_too_large_for_jpeg_are_left_out_with_a_warning(tmp_path, pixels, exif):
    photo = Photo(pixels=pixels, exif=exif, xmp=b"x" * (MAX_JPEG_XMP + 1))
    with pytest.warns(UserWarning, match="of xmp do not fit a JPEG"):
        write_photo(photo, tmp_path / "a.jpg")
    again = read_photo(tmp_path / "a.jpg")
    assert again.xmp is None
    assert again.exif is not None
    largest = Photo(pixels=pixels, exif=exif + bytes(MAX_JPEG_SEGMENT - len(exif)), xmp=b"x" * MAX_JPEG_XMP)
    write_photo(largest, tmp_path / "b.jpg")
    again = read_photo(tmp_path / "b.jpg")
    assert (len(again.exif), len(again.xmp)) == (MAX_JPEG_SEGMENT, MAX_JPEG_XMP)


def test_comments_as_long_as_a_segment_are_written_and_longer_ones_told_once(tmp_path, pixels, recwarn):
    comments = (b"x" * 65_505, b"y" * 65_533)
    write_photo(Photo(pixels=pixels, blocks=FileBlocks(comments=comments)), tmp_path / "a.jpg")
    assert not recwarn
    assert read_photo(tmp_path / "a.jpg").blocks.comments == comments
    longer = FileBlocks(comments=(b"x" * 65_534, b"short", b"z" * 70_000))
    write_photo(Photo(pixels=pixels, blocks=longer), tmp_path / "b.jpg")
    assert [str(warning.message) for warning in recwarn] == [
        "comments or IPTC too large for a JPEG: left out of the result"
    ]
    assert read_photo(tmp_path / "b.jpg").blocks.comments == (b"short",)


# --- where it is written


def test_nothing_existing_is_overwritten_unasked(tmp_path, pixels):
    path = tmp_path / "a.png"
    path.write_bytes(b"precious")
    with pytest.raises(OutputExistsError, match=r"a\.png: exists already; choose another name, or ask for overwriting"):
        write_photo(Photo(pixels=pixels), path)
    assert path.read_bytes() == b"precious"
    write_photo(Photo(pixels=pixels), path, overwrite=True)
    np.testing.assert_array_equal(read_photo(path).pixels, pixels)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_a_failed_write_leaves_nothing_behind_and_the_old_file_whole(tmp_path, pixels, suffix, monkeypatch):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"precious")

    def full_disk(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(ImageWriteError, match=r"cannot be written \(No space left on device\); check folder, space"):
        write_photo(Photo(pixels=pixels), path, overwrite=True)
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_nothing_behind(tmp_path, pixels, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_photo(Photo(pixels=pixels), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("suffix", "most"), [(".jpg", 65_500), (".webp", 16_383)])
def test_sizes_that_a_format_cannot_hold_are_refused_before_anything_is_computed(tmp_path, suffix, most):
    path = tmp_path / f"a{suffix}"
    for height, width in ((most + 1, 1), (1, most + 1)):
        with pytest.raises(
            ImageWriteError, match=rf"holds at most {most} pixels a side, .*; write PNG or TIFF instead"
        ):
            check_target(path, height=height, width=width, has_alpha=False)
        assert check_target(tmp_path / "a.png", height=height, width=width, has_alpha=True) == "PNG"
    Photo(pixels=np.zeros((1, most, 1), np.uint8)).save(path)
    assert read_photo(path).width == most
    with pytest.raises(ImageWriteError, match="cannot hold the picture's alpha"):
        check_target(tmp_path / "a.jpg", height=1, width=1, has_alpha=True)
    with pytest.raises(UnsupportedFormatError, match="cannot write format"):
        check_target(tmp_path / "a.gif", height=1, width=1, has_alpha=False)


def test_what_a_format_cannot_hold_is_an_error_and_leaves_nothing(tmp_path):
    wide = Photo(pixels=np.zeros((1, 70_000, 1), np.uint8))
    for suffix in (".jpg", ".webp"):
        with pytest.raises(ImageWriteError, match="cannot be written"):
            write_photo(wide, tmp_path / f"a{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_written(tmp_path, pixels):
    photo = Photo(pixels=pixels)
    with pytest.raises(ImageWriteError, match=r"there is no folder .*missing; make it first"):
        write_photo(photo, tmp_path / "missing" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageWriteError, match="cannot be written"):
        write_photo(photo, tmp_path / "folder.png", overwrite=True)
    with pytest.raises(ImageWriteError, match="cannot be written"):
        write_photo(photo, tmp_path / ("x" * 300 + ".png"))
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_a_folder_without_permission(tmp_path, pixels):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(ImageWriteError, match=r"cannot be written \(Permission denied\)"):
        write_photo(Photo(pixels=pixels), folder / "a.png")


def test_written_files_have_ordinary_permissions_and_long_names_fit(tmp_path, pixels):
    path = tmp_path / ("x" * 251 + ".png")
    write_photo(Photo(pixels=pixels), path)
    (tmp_path / "other").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_the_format_is_the_suffixs_unless_named(tmp_path, pixels):
    photo = Photo(pixels=pixels, format="BMP")
    write_photo(photo, tmp_path / "a.JPG")
    assert opened(tmp_path / "a.JPG").format == "JPEG"
    write_photo(photo, tmp_path / "b.jpg", format="png")
    assert opened(tmp_path / "b.jpg").format == "PNG"
    for name, format_name in (("a.gif", None), ("a", None), ("a.heic", None), ("a.png", "GIF")):
        with pytest.raises(UnsupportedFormatError, match="choose one of BMP, JPEG, PNG, TIFF, WEBP"):
            write_photo(photo, tmp_path / name, format=format_name)


@pytest.mark.parametrize("quality", [0, 101])
def test_a_quality_out_of_range_is_refused(tmp_path, pixels, quality):
    with pytest.raises(InputError, match=rf"quality must lie in \[1, 100\], got {quality}"):
        write_photo(Photo(pixels=pixels), tmp_path / "a.jpg", quality=quality)


@pytest.mark.parametrize(("suffix", "dtype"), [(".jpg", np.uint8), (".png", np.uint16), (".jpg", np.uint16)])
def test_writing_keeps_no_second_copy(tmp_path, suffix, dtype):
    photo = Photo(pixels=np.zeros((2000, 1000, 3), dtype))
    tracemalloc.start()
    write_photo(photo, tmp_path / f"a{suffix}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < photo.pixels.nbytes + 3 * 2**20
