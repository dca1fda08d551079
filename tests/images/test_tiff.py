import io

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter, ImageFileDirectory_v2

from ldrestore.errors import CorruptImageError, MetadataLossWarning, PixelRangeError, UnsupportedFormatError
from ldrestore.images import tiff_writing
from ldrestore.images.exif import ORIENTATION_TAG
from ldrestore.images.files import read_photo, write_photo
from ldrestore.images.headers import read_size
from ldrestore.images.orientation import upright
from ldrestore.images.photo import Photo
from ldrestore.images.resolution import resolution_of
from ldrestore.images.tiff import as_stored
from ldrestore.images.xmp import upright_xmp


def values_of(dtype, shape, rng):
    if np.dtype(dtype).kind == "f":
        return rng.random(shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("num_channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "layout", [{}, {"compression": "lzw", "predictor": True}, {"tile": (16, 16)}, {"bigtiff": True}]
)
def test_every_depth_number_of_channels_and_layout_is_exact(tmp_path, rng, dtype, num_channels, layout):
    values = values_of(dtype, (20, 18, num_channels), rng)
    tifffile.imwrite(
        tmp_path / "a.tif",
        values if num_channels > 1 else values[..., 0],
        photometric="rgb" if num_channels >= 3 else "minisblack",
        planarconfig="contig" if num_channels > 1 else None,
        extrasamples=["unassalpha"] if num_channels in (2, 4) else None,
        **layout,
    )
    photo = read_photo(tmp_path / "a.tif")
    expected = values.astype(np.float32) if np.dtype(dtype).kind == "f" else values
    assert photo.pixels.dtype == expected.dtype
    assert photo.num_channels == (3 if num_channels >= 3 else 1)
    np.testing.assert_array_equal(photo.pixels, expected[..., : photo.num_channels])
    if num_channels in (2, 4):
        np.testing.assert_array_equal(photo.alpha, expected[..., -1])
    else:
        assert photo.alpha is None


def test_separate_planes_and_big_endian_are_read(tmp_path, rng):
    values = values_of(np.uint16, (3, 9, 7), rng)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", planarconfig="separate", byteorder=">")
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels, values.transpose(1, 2, 0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_white_is_zero_is_turned_round(tmp_path, rng, dtype):
    values = values_of(dtype, (6, 5), rng)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels[..., 0], white - values)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_multiplied_alpha_is_divided_out(tmp_path, dtype):
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    half = white / 2 if dtype == np.float32 else white // 2 + 1
    values = np.array([[[half, 0, half, half], [white, white, 0, white], [0, 0, 0, 0]]], dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["assocalpha"])
    photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(photo.pixels[0], np.array([[white, 0, white], [white, white, 0], [0, 0, 0]], dtype))
    np.testing.assert_array_equal(photo.alpha[0], values[0, :, 3])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_deep_pages_are_turned_with_their_alpha(tmp_path, rng, orientation, dtype):
    values = values_of(dtype, (5, 9, 4), rng)
    options = {"metadata": None, "software": False, "extratags": [(274, 3, 1, orientation, True)]}
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["unassalpha"], **options)
    photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(np.dstack([photo.pixels, photo.alpha]), upright(values, orientation))
    assert photo.exif is None  # a bare orientation is no reason to make a block
    photo.save(tmp_path / "b.tif")
    np.testing.assert_array_equal(read_photo(tmp_path / "b.tif").pixels, photo.pixels)


@pytest.mark.parametrize("value", [-0.001, 1.001, np.nan, np.inf, 255.0])
def test_floats_outside_the_range_are_refused(tmp_path, value):
    values = np.full((4, 4, 3), 0.5, np.float32)
    values[1, 2, 0] = value
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    advice = "rescale them, or clip them: --clip" if np.isfinite(value) else "replace what is infinite or not a number"
    with pytest.raises(PixelRangeError, match=rf"a\.tif: float pixels must lie in \[0, 1\], got .*; {advice}"):
        read_photo(tmp_path / "a.tif")


def test_floats_a_hair_outside_are_clipped_where_asked(tmp_path):
    values = np.full((4, 4, 3), 0.5, np.float32)
    values[1, 2] = 1.0001, -0.0001, 1
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    with pytest.raises(
        PixelRangeError, match=r"1\.0001.*; rescale them, or clip them: --clip of restore, .* clip=True"
    ):
        read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif", clip=True).pixels, values.clip(0, 1))
    values[0, 0, 0] = np.inf
    tifffile.imwrite(tmp_path / "b.tif", values, photometric="rgb")
    with pytest.raises(PixelRangeError, match="inf"):
        read_photo(tmp_path / "b.tif", clip=True)


@pytest.mark.parametrize("mode", ["P", "RGB"])
@pytest.mark.parametrize("tag", ["ImageLength", "StripByteCounts", "StripOffsets"])
def test_strips_that_are_missing_are_not_left_black(tmp_path, pixels, mode, tag):
    path = tmp_path / "a.tif"
    Image.fromarray(pixels).convert(mode).save(path)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags[tag].overwrite(400 if tag == "ImageLength" else 0)
    with pytest.raises(CorruptImageError, match="part of the pixels is missing"):
        read_photo(path)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (np.zeros((4, 4), np.uint32), {}),
        (np.zeros((4, 4), np.int16), {}),
        (np.zeros((4, 4), np.complex64), {}),
        (np.zeros((8, 8, 6), np.uint8), {"photometric": "rgb"}),
        (np.zeros((8, 8, 3), np.uint16), {"photometric": "cielab"}),
    ],
)
def test_other_types_and_colour_spaces_are_refused(tmp_path, values, options):
    tifffile.imwrite(tmp_path / "a.tif", values, **{"photometric": "minisblack"} | options)
    with pytest.raises(UnsupportedFormatError, match="not supported"):
        read_photo(tmp_path / "a.tif")


def test_lab_is_refused(tmp_path):
    Image.new("LAB", (4, 4)).save(tmp_path / "a.tif")
    with pytest.raises(UnsupportedFormatError, match="mode LAB are not supported; convert it to RGB"):
        read_photo(tmp_path / "a.tif")


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "RGB"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_pages_of_every_kind_are_turned_once_and_keep_their_metadata(
    tmp_path, rng, exif, profile, mode, orientation, compression
):
    is_set = rng.integers(0, 2, (5, 9, 1)) * np.ones(3)
    image = Image.fromarray((is_set * 255).astype(np.uint8)).convert(mode)
    block = Image.Exif()
    block.load(exif)
    block[0x0112] = orientation
    if compression != "raw":  # Pillow cannot write both
        del block[0x8769], block[0x8825]
    options = {"exif": block.tobytes(), "compression": compression}
    image.save(tmp_path / "a.tif", icc_profile=None if mode == "CMYK" else profile, **options)
    photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(photo.pixels > 128, upright(is_set[..., : 1 if mode == "1" else 3], orientation) > 0)
    assert photo.icc_profile == (None if mode == "CMYK" else profile)
    loaded = Image.Exif()
    loaded.load(photo.exif)
    assert loaded[0x0112] == 1
    assert loaded[0x010F] == "Maker"
    if compression == "raw":
        assert loaded.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_other_programs_read_the_metadata_that_are_written(tmp_path, rng, dtype, exif, profile, xmp):
    photo = Photo(
        pixels=values_of(dtype, (6, 5, 3), rng),
        alpha=values_of(dtype, (6, 5), rng),
        icc_profile=profile,
        xmp=upright_xmp(xmp),
        exif=exif,
    )
    write_photo(photo, tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        tags = {tag.code: tag.value for tag in file.pages[0].tags}
    assert (tags[34675], tags[700]) == (profile, upright_xmp(xmp))
    assert (tags[0x010F], tags[0x8298]) == ("Maker", "An Artist")
    assert 0x0131 not in tags  # nobody asked for the name of a library
    assert tags[0x8769]["ExposureTime"] == (1, 100)
    assert tags[0x8825]["GPSLatitude"] == (52, 1, 30, 1, 15, 1)
    if dtype == np.uint8:
        image = Image.open(io.BytesIO((tmp_path / "a.tif").read_bytes()))
        assert image.getexif().get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
    again = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(again.alpha, photo.alpha)
    loaded = Image.Exif()
    loaded.load(again.exif)
    assert loaded.get_ifd(0x8825)[2] == (52.0, 30.0, 15.0)


def test_large_pictures_become_bigtiffs_whose_camera_data_are_told(tmp_path, pixels, exif, monkeypatch):
    monkeypatch.setattr(tiff_writing, "LARGEST_CLASSIC", pixels.nbytes - 1)
    with pytest.warns(MetadataLossWarning, match="camera data of EXIF, which a BigTIFF cannot hold"):
        write_photo(Photo(pixels=pixels, exif=exif), tmp_path / "a.tif")
    assert (tmp_path / "a.tif").read_bytes()[:4] == b"II+\0"
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels, pixels)


def test_texts_of_any_script_are_carried(tmp_path, pixels):
    exif = Image.Exif()
    exif[0x013B], exif[0x0132] = "Žofie", "no date"
    write_photo(Photo(pixels=pixels, exif=exif.tobytes()), tmp_path / "a.tif")
    assert read_photo(tmp_path / "a.tif").exif is not None


@pytest.mark.parametrize("suffix", [".tif", ".jpg", ".png", ".webp"])
def test_texts_in_utf8_and_what_windows_adds_stay_as_they_are(tmp_path, pixels, suffix):
    artist, title = "Žofie".encode(), "Výlet".encode("utf-16le")
    tags = [(0x013B, 2, len(artist) + 1, artist + b"\0", True), (0x4746, 3, 1, 4, True)]
    tags.append((0x9C9B, 1, len(title), title, True))
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", metadata=None, extratags=tags)
    read_photo(tmp_path / "a.tif").save(tmp_path / f"b{suffix}")
    read_photo(tmp_path / f"b{suffix}").save(tmp_path / "c.tif")
    for path in (tmp_path / f"b{suffix}", tmp_path / "c.tif"):
        with Image.open(path) as image:
            exif = image.getexif()
        assert exif[0x013B].encode("latin-1") == artist  # Pillow reads bytes as Latin-1
        assert (exif[0x4746], exif[0x9C9B]) == (4, title)


def test_texts_of_the_camera_in_utf8_stay_as_they_are(tmp_path, pixels):
    lens = "Objektiv ž"
    exif = Image.Exif()
    exif[0x8769] = {0xA434: as_stored(lens.encode().decode("latin-1"))}
    write_photo(Photo(pixels=pixels, exif=exif.tobytes()), tmp_path / "a.tif")
    read_photo(tmp_path / "a.tif").save(tmp_path / "b.jpg")
    for name in ("a.tif", "b.jpg"):
        assert lens.encode() + b"\0" in (tmp_path / name).read_bytes()


def test_credentials_that_hold_for_other_pixels_are_told(tmp_path, pixels):
    options = {"metadata": None, "extratags": [(0xCD41, 7, 4, b"jumb", True)]}
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", **options)
    with pytest.warns(MetadataLossWarning, match="content credentials"):
        read_photo(tmp_path / "a.tif").save(tmp_path / "b.tif")
    assert b"jumb" not in (tmp_path / "b.tif").read_bytes()


def test_damaged_files_leave_no_trace_on_the_terminal(tmp_path, pixels, capfd):
    write_photo(Photo(pixels=pixels), tmp_path / "a.tif")
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(OSError, match="damaged or cut off"):
        read_photo(tmp_path / "a.tif")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("num_colours", "num_extra"), [(3, 1), (1, 1), (1, 2), (1, 3)])
def test_a_sample_of_no_stated_meaning_is_no_alpha(tmp_path, rng, num_colours, num_extra):
    values = values_of(np.uint8, (6, 5, num_colours + num_extra), rng)
    photometric = "rgb" if num_colours == 3 else "minisblack"
    options = {"extrasamples": ["unspecified"] * num_extra, "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "a.tif", values, photometric=photometric, **options)
    with pytest.warns(MetadataLossWarning, match="channels that are neither colour nor alpha: left out"):
        photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(photo.pixels, values[..., :num_colours])
    assert photo.alpha is None


def test_alpha_is_found_behind_another_sample(tmp_path, rng):
    values = values_of(np.uint8, (6, 5, 3), rng)
    options = {"extrasamples": ["unspecified", "unassalpha"], "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", **options)
    with pytest.warns(MetadataLossWarning, match="neither colour nor alpha"):
        photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(photo.pixels, values[..., :1])
    np.testing.assert_array_equal(photo.alpha, values[..., 2])


@pytest.mark.parametrize("layout", [{"imagej": True}, {"ome": True}, {"photometric": "minisblack"}])
def test_the_description_of_a_stack_does_not_outlive_it(tmp_path, rng, layout, recwarn):
    tifffile.imwrite(tmp_path / "a.tif", values_of(np.uint8, (3, 8, 9), rng), **layout)
    photo = read_photo(tmp_path / "a.tif")
    warned = [str(warning.message).removeprefix(f"{tmp_path}/a.tif: ") for warning in recwarn]
    assert warned == [
        "has 3 frames; only the first is used",
        "the description of a stack of pictures: left out of the result",
    ]
    photo.save(tmp_path / "b.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), photo.pixels[..., 0])
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert 270 not in file.pages[0].tags


@pytest.mark.parametrize(
    ("layout", "is_kept"), [({"imagej": True}, True), ({}, False), ({"description": "my cat"}, True)]
)
def test_the_description_of_one_picture_stays_where_it_stays_true(tmp_path, rng, layout, is_kept):
    tifffile.imwrite(tmp_path / "a.tif", values_of(np.uint8, (8, 9), rng), **layout)
    photo = read_photo(tmp_path / "a.tif")
    photo.save(tmp_path / "b.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), photo.pixels[..., 0])
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert (270 in file.pages[0].tags) == is_kept


def test_iptc_is_found_as_numbers_too(tmp_path, pixels):
    for name, tag in {"bytes": (33723, 7, 8, b"abcdefgh"), "numbers": (33723, 4, 2, (0x64636261, 0x68676665))}.items():
        options = {"metadata": None, "extratags": [(*tag, True)], "byteorder": "<"}
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels, photometric="rgb", **options)
        assert read_photo(tmp_path / f"{name}.tif").blocks.iptc == b"abcdefgh"


def fax_of(rng, path, **options):
    """Write a picture of two levels as a fax; its pixels, (20, 30) uint8."""
    picture = Image.fromarray(rng.integers(0, 2, (20, 30), np.uint8) * np.uint8(255)).convert("1")
    picture.save(path, **options)
    return np.asarray(picture.convert("L"))


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
@pytest.mark.parametrize("tags", [{274: 1}, {274: 6}, {278: 7}])
def test_a_fax_is_read_to_the_bit(tmp_path, rng, compression, tags):
    expected = fax_of(rng, tmp_path / "a.tif", compression=compression, tiffinfo=tags)
    np.testing.assert_array_equal(
        read_photo(tmp_path / "a.tif").pixels[..., 0], upright(expected, tags.get(ORIENTATION_TAG, 1))
    )


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_a_fax_that_does_not_tell_what_zero_is_means_white(tmp_path, rng, compression):
    path = tmp_path / "a.tif"
    expected = fax_of(rng, path, compression=compression)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        entry = file.pages[0].tags[262].offset
    data[entry : entry + 2] = (263).to_bytes(2, "little")
    path.write_bytes(data)
    np.testing.assert_array_equal(read_photo(path).pixels[..., 0], 255 - expected)


@pytest.mark.parametrize("rows", [20, 7])
def test_a_fax_whose_codes_do_not_tell_all_rows_is_refused(tmp_path, rng, rows):
    path = tmp_path / "a.tif"
    fax_of(rng, path, compression="group4", tiffinfo={278: rows})
    with tifffile.TiffFile(path) as file:
        starts, counts = file.pages[0].dataoffsets, file.pages[0].databytecounts
    intact, end_of_block = path.read_bytes(), bytes.fromhex("001001")
    for start, count in zip(starts, counts, strict=True):
        for place in (start, start + count // 2):
            data = bytearray(intact)
            data[place : place + 3] = end_of_block
            path.write_bytes(data)
            with pytest.raises(CorruptImageError, match=r"a\.tif: part of the pixels is damaged or missing"):
                read_photo(path)


def test_palettes_that_pillow_turns_are_turned_with_all_that_holds_for_them(tmp_path, rng):
    tags = ImageFileDirectory_v2()
    tags[ORIENTATION_TAG], tags[282], tags[283], tags[296] = 6, 300.0, 150.0, 2
    tags[33550], tags.tagtype[33550] = (1.0, 1.0, 0.0), 12
    picture = Image.fromarray(rng.integers(0, 256, (24, 32), np.uint8)).convert("P")
    picture.save(tmp_path / "a.tif", tiffinfo=tags)
    with pytest.warns(MetadataLossWarning, match="tags of GeoTIFF, which hold for the picture unturned"):
        photo = read_photo(tmp_path / "a.tif")
    assert (photo.height, photo.width) == (32, 24)
    assert photo.blocks.resolution == resolution_of(150, 300, "inch")
    assert photo.blocks.geo_tags == ()


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("is_big", [False, True])
def test_every_byte_order_and_size_keeps_profile_texts_and_xmp(tmp_path, rng, byteorder, is_big, profile):
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    tifffile.imwrite(
        tmp_path / "a.tif",
        values_of(np.uint8, (6, 9, 3), rng),
        photometric="rgb",
        bigtiff=is_big,
        byteorder=byteorder,
        metadata=None,
        description="Käfer".encode(),
        iccprofile=profile,
        extratags=[(700, 1, len(xmp), xmp, True)],
    )
    photo = read_photo(tmp_path / "a.tif")
    assert photo.icc_profile == profile
    assert photo.xmp is not None
    assert "Käfer".encode() in photo.exif


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("is_big", [False, True])
def test_palettes_and_cmyk_are_the_same_in_every_byte_order_and_size(tmp_path, rng, byteorder, is_big):
    options = {"byteorder": byteorder, "bigtiff": is_big, "metadata": None}
    indices, palette = values_of(np.uint8, (6, 9), rng), values_of(np.uint16, (3, 256), rng)
    tifffile.imwrite(tmp_path / "a.tif", indices, photometric="palette", colormap=palette, **options)
    expected = (palette >> 8).T[indices]
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels, expected)
    inks = values_of(np.uint8, (6, 9, 4), rng)
    tifffile.imwrite(tmp_path / "b.tif", inks, photometric="separated", **options)
    np.testing.assert_array_equal(read_photo(tmp_path / "b.tif").pixels, Image.fromarray(inks, "CMYK").convert("RGB"))


def test_what_a_big_endian_bigtiff_cannot_be_read_for_is_said_plainly(tmp_path, rng):
    options = {"byteorder": ">", "bigtiff": True, "metadata": None}
    values = values_of(np.uint8, (16, 16, 3), rng)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", compression="jpeg", **options)  # stored as YCbCr
    with pytest.raises(UnsupportedFormatError, match="not supported in a big-endian BigTIFF; write it little-endian"):
        read_photo(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", values[:, :8, 0], photometric="minisblack", **options)
    content = bytearray((tmp_path / "b.tif").read_bytes())
    for tag, value in ((256, 16), (258, 4)):  # two samples a byte: width and bits, written by hand
        place = content.index(tag.to_bytes(2, "big") + b"\0")
        kind, size = int.from_bytes(content[place + 2 : place + 4], "big"), {3: 2, 4: 4}
        content[place + 12 : place + 12 + size[kind]] = value.to_bytes(size[kind], "big")
    (tmp_path / "b.tif").write_bytes(content)
    with pytest.raises(UnsupportedFormatError, match=r"samples of 4 bits .*are not supported; store 8 or 16 bits"):
        read_photo(tmp_path / "b.tif")
    palette = values_of(np.uint16, (3, 256), rng)
    tifffile.imwrite(tmp_path / "c.tif", values[..., 0], photometric="palette", colormap=palette, **options)
    content = bytearray((tmp_path / "c.tif").read_bytes())
    place = content.index(b"\x01\x40\0\x03" + (768).to_bytes(8, "big"))  # ColorMap
    content[place + 4 : place + 12] = (765).to_bytes(8, "big")
    (tmp_path / "c.tif").write_bytes(content)
    with pytest.raises(CorruptImageError, match="palette"):
        read_photo(tmp_path / "c.tif")


@pytest.mark.parametrize("kind", ["rgb", "palette"])
@pytest.mark.parametrize("others", [0, 1])
def test_the_full_picture_behind_previews_is_read_and_the_previews_told(tmp_path, rng, kind, others):
    values = values_of(np.uint8, (20, 30, 3), rng)
    options = {"photometric": "rgb", "metadata": None}
    if kind == "palette":
        palette = values_of(np.uint16, (3, 256), rng)
        values, options = values[..., 0], {"photometric": "palette", "colormap": palette, "metadata": None}
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for side in (5, 10):
            preview = values_of(np.uint8, (side, side, 3), rng)
            writer.write(preview, photometric="rgb", subfiletype=1, metadata=None, software="of a preview")
        writer.write(values, subfiletype=0, software="of the picture", resolution=(300, 300), **options)
        for _ in range(others):
            writer.write(values, subfiletype=0, **options)
    with pytest.warns() as caught:
        photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(photo.pixels, (palette >> 8).T[values] if kind == "palette" else values)
    assert b"of the picture" in photo.exif
    assert photo.blocks.resolution == resolution_of(300, 300, "inch")
    assert read_size(tmp_path / "a.tif") == (30, 20)
    messages = [str(one.message) for one in caught]
    assert messages.count("a preview before the picture: left out of the result") == 1
    assert sum("has 2 frames; only the first is used" in message for message in messages) == others


def test_the_fax_behind_a_preview_is_read(tmp_path, rng):
    levels = rng.random((20, 30)) > 0.5
    with AppendingTiffWriter(tmp_path / "a.tif", True) as file:
        Image.fromarray(levels[::4, ::4]).save(file, "TIFF", compression="group4", tiffinfo={254: 1})
        file.newFrame()
        Image.fromarray(levels).save(file, "TIFF", compression="group4")
    with pytest.warns(MetadataLossWarning, match="a preview before the picture: left out of the result"):
        photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(photo.pixels[..., 0], levels * np.uint8(255))


def test_a_picture_below_its_preview_is_refused_and_previews_alone_are_read(tmp_path, rng):
    small, large = values_of(np.uint8, (5, 6, 3), rng), values_of(np.uint8, (20, 30, 3), rng)
    options = {"photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(small, subfiletype=1, subifds=1, **options)
        writer.write(large, subfiletype=0, **options)
    for read in (read_photo, read_size):
        with pytest.raises(UnsupportedFormatError, match=r"its pages are previews, .* develop it with a raw converter"):
            read(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", small, subfiletype=1, **options)
    np.testing.assert_array_equal(read_photo(tmp_path / "b.tif").pixels, small)
