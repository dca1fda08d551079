import io
import os
import struct
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

from ldrestore.errors import (
    CorruptImageError,
    ImageFileError,
    ImageNotFoundError,
    ImageTooLargeError,
    MetadataLossWarning,
    UnsupportedFormatError,
)
from ldrestore.images.files import DEFAULT_MAX_PIXELS, is_image_path, read_photo
from ldrestore.images.orientation import upright
from ldrestore.images.photo import Photo


def opened(path):
    """What Pillow makes of a file, which is closed."""
    return Image.open(io.BytesIO(path.read_bytes()))


FORMATS = {".jpg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".webp": "WEBP", ".bmp": "BMP"}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pillow_and_the_reader_agree(tmp_path, smooth, suffix, mode):
    path = tmp_path / f"picture{suffix}"
    Image.fromarray(smooth).convert(mode).save(path)
    photo = read_photo(path)
    expected = opened(path)
    if suffix == ".webp":  # has no grey
        assert photo.num_channels == 3
    else:
        assert photo.num_channels == len(mode)
    np.testing.assert_array_equal(photo.pixels.squeeze(), np.asarray(expected))
    assert (photo.format, photo.path, photo.alpha) == (FORMATS[suffix], path, None)
    assert photo.pixels.flags.c_contiguous


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(tmp_path, smooth, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    options = {"lossless": True} if suffix == ".webp" else {}
    Image.fromarray(smooth).save(first, exif=exif, **options)
    photo = read_photo(first)
    np.testing.assert_array_equal(photo.pixels, np.asarray(ImageOps.exif_transpose(opened(first))))
    photo.save(second, quality=100)
    again = read_photo(second)
    assert opened(second).getexif().get(0x0112, 1) == 1
    assert opened(second).getexif()[0x010F] == "Maker"
    assert again.pixels.shape == photo.pixels.shape
    assert np.abs(again.pixels.astype(int) - photo.pixels).max() <= (4 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_alpha_turns_with_the_pixels(tmp_path, rng, orientation):
    values = rng.integers(0, 256, (5, 9, 4)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(np.dstack([photo.pixels, photo.alpha]), upright(values, orientation))


def test_orientation_in_xmp_alone_is_applied_and_reset(tmp_path, smooth, xmp):
    Image.fromarray(smooth).save(tmp_path / "a.jpg", xmp=xmp)
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.pixels.shape == (37, 23, 3)
    assert photo.exif is None
    assert photo.xmp == xmp.replace(b'Orientation="6"', b'Orientation="1"')


def test_a_band_is_not_seen(tmp_path, smooth, monkeypatch):
    monkeypatch.setattr("ldrestore.images.pillow_pixels.BAND_PIXELS", 100)
    Image.fromarray(smooth).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").pixels, smooth)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_alpha_is_neither_dropped_nor_multiplied(tmp_path, rng, suffix):
    values = rng.integers(0, 256, (6, 5, 4)).astype(np.uint8)
    values[0, 0, 3] = 0
    path = tmp_path / f"a{suffix}"
    Image.fromarray(values).save(path, **({"lossless": True, "exact": True} if suffix == ".webp" else {}))
    photo = read_photo(path)
    np.testing.assert_array_equal(photo.pixels, values[..., :3])
    np.testing.assert_array_equal(photo.alpha, values[..., 3])


def test_grey_with_alpha_stays_grey_with_alpha(tmp_path, rng):
    values = rng.integers(0, 256, (6, 5, 2)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.pixels[..., 0], values[..., 0])
    np.testing.assert_array_equal(photo.alpha, values[..., 1])


def test_a_palette_becomes_rgb_and_its_transparency_alpha(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2], [2, 1, 0]], np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(tmp_path / "opaque.png")
    image.save(tmp_path / "one.png", transparency=1)
    image.save(tmp_path / "many.png", transparency=bytes([0, 128, 255]))
    colours = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]])
    for name, alpha in {"opaque": None, "one": [255, 0, 255], "many": [0, 128, 255]}.items():
        photo = read_photo(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(photo.pixels[0], colours)
        np.testing.assert_array_equal(photo.pixels[1], colours[::-1])
        if alpha is None:
            assert photo.alpha is None
        else:
            np.testing.assert_array_equal(photo.alpha[0], alpha)


@pytest.mark.parametrize(("mode", "key"), [("1", 0), ("L", 255), ("RGB", (255, 255, 255))])
def test_one_transparent_colour_becomes_alpha(tmp_path, mode, key):
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert(mode).save(tmp_path / "a.png", transparency=key)
    photo = read_photo(tmp_path / "a.png")
    assert photo.num_channels == len(mode)
    np.testing.assert_array_equal(photo.pixels[0, :, 0], [0, 255])
    np.testing.assert_array_equal(photo.alpha[0], [0, 255] if mode == "1" else [255, 0])


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_one_bit_becomes_grey(tmp_path, suffix):
    Image.fromarray(np.array([[0, 255, 0]], np.uint8)).convert("1").save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_photo(tmp_path / f"a{suffix}").pixels[..., 0], [[0, 255, 0]])


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_becomes_srgb_and_loses_its_profile(tmp_path, suffix):
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    image.save(tmp_path / f"plain{suffix}")
    photo = read_photo(tmp_path / f"plain{suffix}")
    assert photo.pixels.shape == (8, 8, 3)
    assert np.abs(photo.pixels.astype(int) - [255, 0, 0]).max() <= 3
    assert photo.icc_profile is None


def test_an_unusable_cmyk_profile_is_said(tmp_path, profile):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", icc_profile=profile)  # of RGB
    with pytest.warns(UserWarning, match=r"a\.jpg: the CMYK profile cannot be used"):
        photo = read_photo(tmp_path / "a.jpg")
    assert photo.icc_profile is None


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_profile_exif_and_xmp_are_read(tmp_path, smooth, suffix, mode, profile, exif, xmp):
    path = tmp_path / f"a{suffix}"
    options = {"exif": exif, "icc_profile": profile}
    if suffix == ".png":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    elif suffix == ".tif":
        options["exif"] = Image.Exif()
        options["exif"].load(exif)
        options["exif"][700] = xmp
    else:
        options["xmp"] = xmp
    Image.fromarray(smooth).convert(mode).save(path, **options)
    photo = read_photo(path)
    assert (photo.height, photo.width) == (37, 23)
    assert photo.icc_profile == profile
    loaded = Image.Exif()
    loaded.load(photo.exif)
    assert (loaded[0x010F], loaded[0x8298], loaded[0x0112]) == ("Maker", "An Artist", 1)
    assert loaded.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
    assert loaded.get_ifd(0x8825)[2] == (52.0, 30.0, 15.0)
    assert photo.xmp == xmp.replace(b'Orientation="6"', b'Orientation="1"')


def test_damaged_exif_is_said_and_left_out(tmp_path, smooth):
    Image.fromarray(smooth).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    with pytest.warns(UserWarning, match=r"a\.jpg: damaged metadata are left out"):
        photo = read_photo(tmp_path / "a.jpg")
    assert photo.exif is None
    assert photo.pixels.shape == smooth.shape


@pytest.mark.parametrize("suffix", [".webp", ".tif", ".png"])
def test_the_first_of_many_frames_is_read_with_a_warning(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200))]
    path = tmp_path / f"moving{suffix}"
    options = {"lossless": True} if suffix == ".webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    with pytest.warns(UserWarning, match=rf"moving\{suffix}: has 3 frames; only the first is used"):
        photo = read_photo(path)
    np.testing.assert_array_equal(photo.pixels, np.asarray(frames[0]))


def test_a_warning_that_is_an_error_stays_that_warning(tmp_path):
    frame = Image.new("RGB", (8, 6))
    frame.save(tmp_path / "a.tif", save_all=True, append_images=[frame])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="has 2 frames"):
            read_photo(tmp_path / "a.tif")


def test_a_preview_behind_a_cameras_jpeg_is_no_second_frame(tmp_path, smooth):
    image = Image.fromarray(smooth)
    image.save(tmp_path / "a.mpo", save_all=True, append_images=[image])
    with pytest.warns(MetadataLossWarning, match="previews and other pictures behind the first one"):
        photo = read_photo(tmp_path / "a.mpo")
    assert (photo.format, photo.pixels.shape) == ("JPEG", smooth.shape)


def test_content_counts_and_not_the_name(tmp_path, smooth):
    Image.fromarray(smooth).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    photo = read_photo(str(tmp_path / "a.jpg"))
    assert photo.format == "PNG"
    np.testing.assert_array_equal(photo.pixels, smooth)


def test_heif_is_read_upright(tmp_path, smooth, exif):
    pillow_heif = pytest.importorskip("pillow_heif")
    heif = pillow_heif.from_pillow(Image.fromarray(smooth))
    heif.save(tmp_path / "a.heic", quality=100)
    photo = read_photo(tmp_path / "a.heic")
    assert photo.format == "HEIF"
    assert np.abs(photo.pixels.astype(int) - smooth).mean() < 4
    heif.save(tmp_path / "turned.heic", quality=100, exif=exif)
    turned = read_photo(tmp_path / "turned.heic")
    assert turned.pixels.shape == (37, 23, 3)
    assert np.abs(turned.pixels.astype(int) - upright(smooth, 6)).mean() < 4
    loaded = Image.Exif()
    loaded.load(turned.exif)
    assert (loaded[0x0112], loaded[0x010F]) == (1, "Maker")


def test_the_numbers_of_a_heifs_colours_become_a_chunk_of_png(tmp_path, smooth):
    pillow_heif = pytest.importorskip("pillow_heif")
    heif = pillow_heif.from_pillow(Image.fromarray(smooth))
    heif.save(tmp_path / "wide.heic", color_primaries=12, transfer_characteristics=13, save_nclx_profile=True)
    photo = read_photo(tmp_path / "wide.heic")
    assert photo.blocks.colour_chunks == ((b"cICP", bytes([12, 13, 0, 1])),)
    photo.save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png").blocks.colour_chunks == photo.blocks.colour_chunks
    heif.save(tmp_path / "plain.heic")
    assert read_photo(tmp_path / "plain.heic").blocks.colour_chunks == ()


def test_a_damaged_heif_is_refused(tmp_path, smooth):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(Image.fromarray(smooth)).save(tmp_path / "a.heic")
    data = (tmp_path / "a.heic").read_bytes()
    (tmp_path / "a.heic").write_bytes(data[: len(data) // 2])
    with pytest.raises(CorruptImageError):
        read_photo(tmp_path / "a.heic")


# --- what is no good picture


def test_nothing_there(tmp_path):
    with pytest.raises(ImageNotFoundError, match=r"nothing\.png: no such file; check the path"):
        read_photo(tmp_path / "nothing.png")


def test_a_folder_or_a_pipe_is_no_picture(tmp_path):
    with pytest.raises(UnsupportedFormatError, match="is a folder; name a picture file"):
        read_photo(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UnsupportedFormatError, match="is no regular file"):
        read_photo(tmp_path / "pipe.png")


@pytest.mark.parametrize("name", ["a.png/b.png", "x" * 300 + ".png", "null\0.png"])
def test_a_path_that_cannot_be_opened(tmp_path, name):
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(ImageFileError):
        read_photo(tmp_path / name)


def test_a_file_without_permission(tmp_path, smooth):
    path = tmp_path / "a.png"
    Image.fromarray(smooth).save(path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(ImageFileError, match=r"cannot be opened .*; check the path and its permissions"):
        read_photo(path)


def test_an_empty_file(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(CorruptImageError, match=r"a\.png: the file is empty; get an intact copy"):
        read_photo(tmp_path / "a.png")


@pytest.mark.parametrize("content", [b"just text", b"B", b"GIF89a", b"%PDF-1.7", b"\0" * 100, b"RIFF\0\0\0\0WAVE"])
def test_what_is_no_picture(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(UnsupportedFormatError, match=r"not a picture of a supported format; supported are JPEG, PNG"):
        read_photo(tmp_path / "a.jpg")


@pytest.mark.parametrize("save_as", ["GIF", "PPM", "TGA", "ICO"])
def test_formats_outside_the_list(tmp_path, smooth, save_as):
    Image.fromarray(smooth).save(tmp_path / "a.png", save_as)
    with pytest.raises(UnsupportedFormatError):
        read_photo(tmp_path / "a.png")


def enormous_png(depth):
    header = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, depth, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


@pytest.mark.parametrize("depth", [8, 16])
def test_an_enormous_header_is_refused_before_decoding(tmp_path, depth):
    (tmp_path / "a.png").write_bytes(enormous_png(depth))
    with pytest.raises(ImageTooLargeError, match="announces 60000x60000 pixels, more than the limit of 300000000"):
        read_photo(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
def test_the_limit_of_pixels_holds_for_every_format(tmp_path, smooth, suffix, mode):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(smooth).convert(mode if suffix in (".png", ".tif", ".bmp") else "RGB").save(path)
    with pytest.raises(ImageTooLargeError, match="announces 37x23 pixels, more than the limit of 850"):
        read_photo(path, max_pixels=850)
    assert read_photo(path, max_pixels=851).width == 37


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif"])
def test_pillows_own_limit_neither_warns_nor_refuses(tmp_path, smooth, suffix, monkeypatch):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(smooth).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    monkeypatch.setattr("ldrestore.images.pillow_pixels.BAND_PIXELS", 100)
    assert read_photo(path).width == 37
    assert Image.MAX_IMAGE_PIXELS == 400
    assert DEFAULT_MAX_PIXELS == 300_000_000


def seeds(smooth):
    """Files of every format and kind: name to content."""
    files = {}
    for name, options in {
        "JPEG": {},
        "progressive": {"format": "JPEG", "progressive": True},
        "PNG": {},
        "WEBP": {},
        "lossless": {"format": "WEBP", "lossless": True},
        "BMP": {},
        "TIFF": {},
        "lzw": {"format": "TIFF", "compression": "tiff_lzw"},
        "fax": {"format": "TIFF", "compression": "group4"},
    }.items():
        stream = io.BytesIO()
        image = Image.fromarray(smooth)
        (image.convert("1") if name == "fax" else image).save(stream, **{"format": name, **options})
        files[name] = stream.getvalue()
    deep = smooth.astype(np.uint16) * 257
    for name, values in {"deep": deep, "float": (smooth / np.float32(255))}.items():
        for compression in (None, "zlib"):
            stream = io.BytesIO()
            tifffile.imwrite(stream, values, photometric="rgb", compression=compression, rowsperstrip=5)
            files[f"{name} {compression}"] = stream.getvalue()
    return files


@pytest.mark.parametrize("name", seeds(np.zeros((8, 8, 3), np.uint8)))
def test_a_truncated_file_is_never_half_a_picture(tmp_path, smooth, name):
    content = seeds(smooth)[name]
    path = tmp_path / "a"
    path.write_bytes(content)
    whole = read_photo(path).pixels
    for length in {*range(1, len(content), max(1, len(content) // 40)), *range(len(content) - 12, len(content))}:
        path.write_bytes(content[:length])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # metadata at the end of a TIFF
            try:
                pixels = read_photo(path).pixels
            except ImageFileError as error:
                assert str(path) in str(error)  # noqa: PT017  # an intact picture is as good
            else:
                np.testing.assert_array_equal(pixels, whole)


@pytest.mark.parametrize(
    ("name", "is_picture"), [("A.JPG", True), ("b.tiff", True), ("c.heic", True), ("d.gif", False)]
)
def test_suffixes_tell_pictures_apart(name, is_picture):
    assert is_image_path(name) == is_picture


def test_reading_keeps_no_second_copy(tmp_path):
    Image.new("RGB", (2000, 2000)).save(tmp_path / "a.jpg")
    tracemalloc.start()
    photo = read_photo(tmp_path / "a.jpg")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.6 * photo.pixels.nbytes + 4 * 2**20


def test_a_wide_gamut_profile_leaves_the_values_as_they_are(tmp_path, smooth):
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.fromarray(smooth).save(tmp_path / "a.png", icc_profile=lab)
    photo = read_photo(tmp_path / "a.png")
    assert isinstance(photo, Photo)
    assert photo.icc_profile == lab
    np.testing.assert_array_equal(photo.pixels, smooth)
