"""Metadata from every format that holds them to every other: carried, or warned of once a kind."""

import io
import struct
import warnings
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from ldrestore.errors import MetadataLossWarning
from ldrestore.images.files import read_photo
from ldrestore.images.metadata import FileBlocks
from ldrestore.images.photo import Photo
from ldrestore.images.resolution import resolution_of

GAMMA, PRIMARIES = (b"gAMA", struct.pack(">I", 100_000)), (b"cHRM", struct.pack(">8I", *range(1, 9)))
TEXTS = (
    (b"tEXt", b"Title\0My cat"),
    (b"zTXt", b"Long\0\0" + zlib.compress(b"x" * 99)),
    (b"iTXt", b"D\0\0\0\0\0\xc3\xa4"),
)
IPTC = b"\x1c\x02\x19\0\5beach"
GEO = ((33550, 12, 3, (0.5, 0.5, 0.0)), (34735, 3, 4, (1, 1, 0, 0)), (42113, 2, 6, "-9999"))


def opened(path):
    image = Image.open(io.BytesIO(path.read_bytes()))
    image.load()
    return image


def saved(photo, path):
    """The written file read again, and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        photo.save(path)
    return read_photo(path), [str(warning.message).split(",")[0].split(":")[0] for warning in caught]


@pytest.fixture
def rich(pixels):
    """A photo with everything that only some formats hold."""
    blocks = FileBlocks(
        resolution=resolution_of(600, 300, "inch"),
        iptc=IPTC,
        comments=(b"by grandma", "Großmutter".encode()),
        texts=TEXTS,
        colour_chunks=(GAMMA, PRIMARIES),
        geo_tags=GEO,
        geo_size=(12, 10),
    )
    return Photo(pixels=pixels, blocks=blocks)


@pytest.mark.parametrize(
    ("suffix", "kept", "lost"),
    [
        (".png", {"resolution", "texts", "colour_chunks"}, {"IPTC data", "tags of GeoTIFF"}),
        (
            ".tif",
            {"resolution", "iptc", "geo_tags", "geo_size"},
            {"comments", "PNG texts", "PNG's description of the colours (gAMA"},
        ),
        (
            ".jpg",
            {"resolution", "iptc", "comments"},
            {"PNG texts", "tags of GeoTIFF", "PNG's description of the colours (gAMA"},
        ),
        (
            ".webp",
            {"resolution"},
            {"IPTC data", "comments", "PNG texts", "tags of GeoTIFF", "PNG's description of the colours (gAMA"},
        ),
        (
            ".bmp",
            {"resolution"},
            {"IPTC data", "comments", "PNG texts", "tags of GeoTIFF", "PNG's description of the colours (gAMA"},
        ),
    ],
)
def test_what_fits_is_carried_and_the_rest_is_told_once_a_kind(tmp_path, rich, suffix, kept, lost):
    again, losses = saved(rich, tmp_path / f"a{suffix}")
    assert len(losses) == len(lost)
    assert set(losses) == lost
    for name in kept - {"texts", "resolution"}:
        assert getattr(again.blocks, name) == getattr(rich.blocks, name), name
    assert again.blocks.resolution.per("inch") == (600, 300)
    if suffix == ".png":
        assert again.blocks.texts[:3] == TEXTS
        assert [kind for kind, _ in again.blocks.texts[3:]] == [b"tEXt", b"iTXt"]
        assert opened(tmp_path / "a.png").info["Comment"] == "Großmutter"
    deep = rich.replace(pixels=rich.pixels.astype(np.uint16) * 257, alpha=None)
    assert saved(deep, tmp_path / f"deep{suffix}")[0].blocks == again.blocks


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp", ".bmp"])
def test_a_picture_with_nothing_beside_it_warns_of_nothing(tmp_path, pixels, suffix):
    again, losses = saved(Photo(pixels=pixels), tmp_path / f"a{suffix}")
    assert losses == []
    assert again.blocks == FileBlocks()


@pytest.mark.parametrize("chunk", [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 45455)), (b"cICP", b"\1\x0d\0\1")])
def test_a_description_of_plain_srgb_needs_no_carrying(tmp_path, pixels, chunk, profile):
    _, losses = saved(Photo(pixels=pixels, blocks=FileBlocks(colour_chunks=(chunk,))), tmp_path / "a.jpg")
    assert losses == []
    again, _ = saved(
        Photo(pixels=pixels, icc_profile=profile, blocks=FileBlocks(colour_chunks=(chunk,))), tmp_path / "a.png"
    )
    assert again.icc_profile == profile
    assert again.blocks.colour_chunks == (() if chunk[0] == b"sRGB" else (chunk,))


def test_bmp_loses_profile_exif_and_xmp_with_a_word(tmp_path, pixels, profile, exif, xmp):
    _, losses = saved(Photo(pixels=pixels, icc_profile=profile, exif=exif, xmp=xmp), tmp_path / "a.bmp")
    assert losses == ["the colour profile", "EXIF data", "XMP data"]


def test_geotiff_holds_for_the_size_alone(tmp_path, rich):
    larger = rich.replace(pixels=rich.pixels.repeat(2, axis=0), alpha=None)
    again, losses = saved(larger, tmp_path / "a.tif")
    assert again.blocks.geo_tags == ()
    assert "tags of GeoTIFF" in losses


def test_a_turned_geotiff_says_that_its_place_is_lost(tmp_path, pixels):
    options = {"metadata": None, "extratags": [(274, 3, 1, 6, True), *((*tag, True) for tag in GEO)]}
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", **options)
    with pytest.warns(MetadataLossWarning, match="tags of GeoTIFF, which hold for the picture unturned"):
        photo = read_photo(tmp_path / "a.tif")
    assert photo.blocks.geo_tags == ()


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_dimensions_follow_turning_and_enlarging(tmp_path, pixels, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x8769] = {0xA002: 12, 0xA003: 10, 0x9003: "2020:01:02 03:04:05"}
    xmp = b'<x:xmpmeta><rdf:Description exif:PixelXDimension="12" exif:PixelYDimension="10"/></x:xmpmeta>'
    Image.fromarray(pixels).save(tmp_path / "in.jpg", exif=exif, xmp=xmp)
    photo = read_photo(tmp_path / "in.jpg")
    larger = photo.replace(pixels=photo.pixels.repeat(3, axis=0).repeat(3, axis=1), alpha=None)
    again, _ = saved(larger, tmp_path / f"out{suffix}")
    loaded = Image.Exif()
    loaded.load(again.exif)
    assert (again.width, again.height) == (30, 36)
    assert (loaded.get_ifd(0x8769)[0xA002], loaded.get_ifd(0x8769)[0xA003]) == (30, 36)
    assert b'exif:PixelXDimension="30" exif:PixelYDimension="36"' in again.xmp


@pytest.mark.parametrize(
    ("source", "unit"), [("a.png", "metre"), ("a.jpg", "inch"), ("a.tif", "inch"), ("a.bmp", "metre")]
)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp", ".bmp"])
def test_the_resolution_goes_from_each_format_to_each(tmp_path, pixels, source, unit, suffix):
    Image.fromarray(pixels).save(tmp_path / source, dpi=(300, 300))
    photo = read_photo(tmp_path / source)
    assert photo.blocks.resolution.unit == unit
    again, losses = saved(photo, tmp_path / f"out{suffix}")
    assert again.blocks.resolution.per("inch") == (300, 300)
    assert losses == []


def test_a_resolution_turns_with_the_pixels(tmp_path, pixels):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.png", dpi=(600, 300), exif=exif)
    assert read_photo(tmp_path / "a.png").blocks.resolution.per("inch") == (300, 600)


@pytest.mark.parametrize("unit", ["inch", "centimetre", "none"])
@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_units_are_kept(tmp_path, pixels, unit, suffix):
    photo = Photo(pixels=pixels, blocks=FileBlocks(resolution=resolution_of(236, 118, unit)))
    again, _ = saved(photo, tmp_path / f"a{suffix}")
    stored = again.blocks.resolution
    assert stored.unit == unit
    assert stored.x == 2 * stored.y


def test_a_makers_note_that_a_tiff_cannot_hold_is_told(tmp_path, pixels):
    exif = Image.Exif()
    exif[0x8769] = {0x927C: b"note", 0x9003: "2020:01:02 03:04:05"}
    _, losses = saved(Photo(pixels=pixels, exif=exif.tobytes()), tmp_path / "a.tif")
    assert losses == ["the maker's note of EXIF"]


def test_a_png_comment_becomes_a_jpegs_and_back(tmp_path, pixels):
    photo = Photo(
        pixels=pixels, blocks=FileBlocks(texts=((b"tEXt", b"Comment\0hello"), (b"iTXt", b"Comment\0damaged")))
    )
    again, losses = saved(photo, tmp_path / "a.jpg")
    assert (again.blocks.comments, losses) == ((b"hello",), ["a comment that is damaged"])
    assert saved(again, tmp_path / "b.png")[0].blocks.texts == ((b"tEXt", b"Comment\0hello"),)


def test_a_comment_that_cannot_be_unpacked_costs_no_picture(tmp_path, pixels):
    photo = Photo(pixels=pixels, blocks=FileBlocks(texts=((b"iTXt", b"Comment\0\1\0\0\0garbage"),)))
    again, losses = saved(photo, tmp_path / "a.jpg")
    assert (again.blocks.comments, losses) == ((), ["a comment that is damaged"])


def test_comments_too_large_for_a_segment_are_told(tmp_path, pixels):
    photo = Photo(pixels=pixels, blocks=FileBlocks(comments=(b"x" * 70_000, b"short")))
    again, losses = saved(photo, tmp_path / "a.jpg")
    assert again.blocks.comments == (b"short",)
    assert losses == ["comments or IPTC too large for a JPEG"]


def test_a_webp_has_no_profile_of_greys(tmp_path, pixels):
    profile = imagecodecs.cms_profile("gray", gamma=2.2)
    photo = Photo(pixels=pixels[..., :1], icc_profile=profile)
    again, losses = saved(photo, tmp_path / "a.webp")
    assert (again.icc_profile, losses) == (None, ["the colour profile of greys"])
    again, losses = saved(photo, tmp_path / "a.png")
    assert (again.icc_profile, losses) == (profile, [])
