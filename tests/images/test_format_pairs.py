"""From each format to each: turned once, and all that lies beside the pixels carried, or told once a kind."""

import struct
import warnings
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ldrestore.errors import MetadataLossWarning
from ldrestore.images.files import read_photo
from ldrestore.images.headers import read_header
from ldrestore.images.metadata import FileBlocks
from ldrestore.images.orientation import upright
from ldrestore.images.photo import Photo
from ldrestore.images.photoshop import SEGMENT_HEADER, resources_of_iptc
from ldrestore.images.resolution import Unit, resolution_of
from tests.images.png_files import chunk

TARGETS = (".png", ".tif", ".jpg", ".webp", ".bmp")
IPTC = b"\x1c\x02\x19\0\5beach\x1c\x02\x50\0\7grandma"
GEO = ((33550, 12, 3, (0.5, 0.5, 0.0)), (33922, 12, 6, (0.0, 0.0, 0.0, 7.5, 47.25, 0.0)), (34735, 3, 4, (1, 1, 0, 0)))


def saved(photo: Photo, path: Path) -> tuple[Photo, list[str]]:
    """The written file read again, and the first words of what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        photo.save(path, quality=100)
    return read_photo(path), [str(warning.message).split(",")[0].split(":")[0].split(" (")[0] for warning in caught]


def turned_file(folder: Path, suffix: str, stored: np.ndarray, orientation: int) -> Path:
    """A file of stored pixels whose EXIF says how they are turned."""
    exif, path = Image.Exif(), folder / f"turned{suffix}"
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    if suffix == ".heic":
        heif = pytest.importorskip("pillow_heif").from_pillow(Image.fromarray(stored))
        heif.save(path, quality=100, exif=exif.tobytes(), chroma=444)
    else:
        options = {"lossless": True} if suffix == ".webp" else {"quality": 100, "subsampling": 0}
        Image.fromarray(stored).save(path, exif=exif, **options if suffix in (".webp", ".jpg") else {})
    return path


@pytest.mark.parametrize("source", [".jpg", ".png", ".tif", ".webp", ".heic"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_upright_in_every_target_and_stays_so(
    source: str, orientation: int, tmp_path: Path
) -> None:
    stored = np.zeros((24, 40, 3), np.uint8)
    stored[:12], stored[:, :20, 1], stored[3:9, 25:37, 2] = (200, 20, 20), 180, 240
    path = turned_file(tmp_path, source, stored, orientation)
    photo, expected = read_photo(path), upright(stored, orientation)
    header = read_header(path)
    assert (header.height, header.width) == expected.shape[:2]
    for target in TARGETS:
        again, _ = saved(photo, tmp_path / f"out{target}")
        assert again.pixels.shape == expected.shape
        assert np.abs(again.pixels.astype(int) - expected).mean() < 4, target
        if target != ".bmp":
            loaded = Image.Exif()
            loaded.load(again.exif)
            assert (loaded.get(0x0112, 1), loaded[0x010F]) == (1, "Maker")


def source_file(folder: Path, kind: str, pixels: np.ndarray) -> Path:
    """A file as other programs write it, with what its format holds."""
    path = folder / f"source{kind}"
    image = Image.fromarray(pixels)
    if kind == ".png":
        info = PngInfo()
        info.add_text("Title", "My cat")
        info.add_text("Comment", "by grandma", zip=True)
        info.add_itxt("Author", "Großmutter")
        for name, value in ((b"gAMA", struct.pack(">I", 100_000)), (b"cHRM", struct.pack(">8I", *range(1, 9)))):
            info.add(name, value)
        image.save(path, pnginfo=info, dpi=(600, 600))
    elif kind == ".jpg":
        segment = SEGMENT_HEADER + resources_of_iptc(IPTC)
        extra = b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment
        image.save(path, dpi=(600, 600), comment=b"by grandma", extra=extra)
    elif kind == ".tif":
        tags = [(33723, 7, len(IPTC), IPTC, True), (270, 2, 7, "My cat\0", True), *((*tag, True) for tag in GEO)]
        size = {"resolution": (600, 600), "resolutionunit": "INCH"}
        tifffile.imwrite(path, pixels, photometric="rgb", metadata=None, extratags=tags, **size)
    elif kind == ".webp":
        exif = Image.Exif()
        exif[282], exif[283], exif[296], exif[270] = 600.0, 600.0, 2, "My cat"
        image.save(path, exif=exif, lossless=True)
    else:
        image.save(path, dpi=(600, 600))
    return path


TOLD = {
    ".png": {
        ".tif": {"PNG texts", "PNG's description of the colours"},
        ".jpg": {"PNG texts", "PNG's description of the colours"},
        ".webp": {"PNG texts", "PNG's description of the colours"},
        ".bmp": {"PNG texts", "PNG's description of the colours"},
    },
    ".jpg": {".png": {"IPTC data"}, ".tif": {"comments"}, ".webp": {"IPTC data", "comments"}},
    ".tif": {
        ".png": {"IPTC data", "tags of GeoTIFF"},
        ".jpg": {"tags of GeoTIFF"},
        ".webp": {"IPTC data", "tags of GeoTIFF"},
        ".bmp": {"IPTC data", "tags of GeoTIFF", "EXIF data"},
    },
    ".webp": {".bmp": {"EXIF data"}},
}
TOLD[".jpg"][".bmp"] = TOLD[".jpg"][".webp"]


@pytest.mark.parametrize("source", TARGETS)
@pytest.mark.parametrize("target", TARGETS)
def test_what_lies_in_a_file_of_each_format_is_carried_into_each_or_told(
    source: str, target: str, pixels: np.ndarray, tmp_path: Path
) -> None:
    photo = read_photo(source_file(tmp_path, source, pixels))
    again, losses = saved(photo, tmp_path / f"out{target}")
    assert len(losses) == len(set(losses))
    assert set(losses) == TOLD.get(source, {}).get(target, set())
    assert again.blocks.resolution is not None
    assert again.blocks.resolution.per("inch") == (600, 600)
    kept = {".jpg": ("iptc", "comments"), ".tif": ("iptc", "geo_tags"), ".png": ("texts", "colour_chunks")}
    for name in set(kept.get(source, ())) & set(kept.get(target, ())):
        assert (
            getattr(again.blocks, name) == getattr(photo.blocks, name) != FileBlocks.__dataclass_fields__[name].default
        )
    if source in (".tif", ".webp") and target != ".bmp":
        loaded = Image.Exif()
        loaded.load(again.exif)
        assert loaded[270] == "My cat"


def test_a_comment_goes_from_jpeg_to_png_and_back_whatever_its_encoding(pixels: np.ndarray, tmp_path: Path) -> None:
    comments = (b"plain", "Großmutter".encode(), "Großmutter".encode("latin-1"))
    photo = Photo(pixels=pixels, blocks=FileBlocks(comments=comments))
    png, losses = saved(photo, tmp_path / "a.png")
    assert losses == [] and [kind for kind, _ in png.blocks.texts] == [b"tEXt", b"iTXt", b"tEXt"]
    assert saved(png, tmp_path / "b.jpg")[0].blocks.comments == comments


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iTXt packed"])
def test_a_pngs_comment_of_every_kind_becomes_one_of_jpeg(kind: bytes, pixels: np.ndarray, tmp_path: Path) -> None:
    value = {
        b"tEXt": b"Comment\0by grandma",
        b"zTXt": b"Comment\0\0" + zlib.compress(b"by grandma"),
        b"iTXt": b"Comment\0\0\0de\0Kommentar\0by grandma",
        b"iTXt packed": b"Comment\0\1\0de\0Kommentar\0" + zlib.compress(b"by grandma"),
    }[kind]
    photo = Photo(pixels=pixels, blocks=FileBlocks(texts=((kind[:4], value),)))
    again, losses = saved(photo, tmp_path / "a.jpg")
    assert (again.blocks.comments, losses) == ((b"by grandma",), [])


@pytest.mark.parametrize(("x", "y"), [(10, 11), (3, 1), (1, 3), (59, 54), (65_535, 65_534), (1, 65_535)])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_the_shape_of_a_pixel_is_kept_to_the_digit(
    x: int, y: int, suffix: str, pixels: np.ndarray, tmp_path: Path
) -> None:
    photo = Photo(pixels=pixels, blocks=FileBlocks(resolution=resolution_of(x, y, "none")))
    stored = saved(photo, tmp_path / f"a{suffix}")[0].blocks.resolution
    assert stored is not None and stored.unit == "none"
    assert stored.x / stored.y == Fraction(x, y)


@pytest.mark.parametrize("unit", ["inch", "centimetre", "metre"])
@pytest.mark.parametrize("suffix", TARGETS)
def test_a_resolution_along_each_side_keeps_its_side(
    unit: Unit, suffix: str, pixels: np.ndarray, tmp_path: Path
) -> None:
    photo = Photo(pixels=pixels, blocks=FileBlocks(resolution=resolution_of(12_000, 6_000, unit)))
    stored = saved(photo, tmp_path / f"a{suffix}")[0].blocks.resolution
    assert stored is not None
    expected = photo.blocks.resolution
    assert expected is not None
    for found, value in zip(stored.per("inch"), expected.per("inch"), strict=True):
        assert float(found) == pytest.approx(float(value), rel=0.004)  # a JPEG holds whole numbers


HDR = [(b"mDCV", bytes(range(24))), (b"cLLI", bytes(range(8)))]


@pytest.mark.parametrize("kind", HDR, ids=["mDCV", "cLLI"])
def test_the_brightness_of_a_display_is_carried_or_told(
    kind: tuple[bytes, bytes], pixels: np.ndarray, tmp_path: Path
) -> None:
    photo = Photo(pixels=pixels, blocks=FileBlocks(colour_chunks=(kind,)))
    for suffix in (".jpg", ".tif", ".webp", ".bmp"):
        assert saved(photo, tmp_path / f"a{suffix}")[1] == ["PNG's description of the colours"]
    again, losses = saved(photo, tmp_path / "a.png")
    assert (again.blocks.colour_chunks, losses) == ((kind,), [])


@pytest.mark.parametrize("kind", [b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI"])
@pytest.mark.parametrize("length", [0, 3, 40])
def test_a_description_of_the_wrong_length_is_told_and_the_result_can_be_read(
    kind: bytes, length: int, pixels: np.ndarray, tmp_path: Path
) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[:33] + chunk(kind, bytes(length)) + content[33:])
    with pytest.warns(UserWarning, match=rf"damaged metadata are left out \(a chunk b'{kind.decode()}' of the wrong"):
        photo = read_photo(tmp_path / "a.png")
    assert photo.blocks.colour_chunks == ()
    photo.save(tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as again:
        assert np.array_equal(np.asarray(again), pixels)


def test_a_text_of_unknown_compression_is_told_and_the_result_can_be_read(pixels: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    odd = chunk(b"zTXt", b"Title\0\7garbage") + chunk(b"tEXt", b"Author\0me")
    (tmp_path / "a.png").write_bytes(content[:33] + odd + content[33:])
    with pytest.warns(UserWarning, match="a text chunk whose compression is unknown"):
        photo = read_photo(tmp_path / "a.png")
    photo.save(tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as again:
        again.load()
        assert again.text == {"Author": "me"}


POINTS = {
    "sRGB": (3127, 3290, 6400, 3300, 3000, 6000, 1500, 600),
    "Adobe": (3127, 3290, 6400, 3300, 2100, 7100, 1500, 600),
}


def described_tiff(
    path: Path, pixels: np.ndarray, name: str, tags: tuple[int, ...], profile: bytes | None = None
) -> Path:
    """A TIFF that says by numbers what its colours are."""
    pairs = [number for value in POINTS[name] for number in (value, 10_000)]
    values = {318: (318, 5, 2, pairs[:4], True), 319: (319, 5, 6, pairs[4:], True), 301: (301, 3, 256, [0] * 256, True)}
    extra = [values[tag] for tag in tags] + ([(34675, 7, len(profile), profile, True)] if profile else [])
    tifffile.imwrite(path, pixels, photometric="rgb", metadata=None, extratags=extra)
    return path


@pytest.mark.parametrize(
    ("name", "tags", "is_told"),
    [
        ("sRGB", (318, 319), False),
        ("sRGB", (318,), False),
        ("sRGB", (319,), False),
        ("sRGB", (301,), True),
        ("Adobe", (318, 319), True),
        ("Adobe", (319,), True),
        ("Adobe", (318,), False),
    ],
)
def test_other_colours_that_a_tiff_describes_by_numbers_are_told_and_usual_ones_not(
    name: str, tags: tuple[int, ...], is_told: bool, pixels: np.ndarray, profile: bytes, tmp_path: Path
) -> None:
    path = described_tiff(tmp_path / "a.tif", pixels, name, tags)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        photo = read_photo(path)
    found = [str(warning.message) for warning in caught if warning.category is MetadataLossWarning]
    assert ["a TIFF's description of the colours" in text for text in found] == [True] * is_told
    assert np.array_equal(photo.pixels, pixels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a profile says it all
        assert read_photo(described_tiff(tmp_path / "b.tif", pixels, name, tags, profile)).icc_profile == profile


def test_damaged_numbers_cost_neither_the_picture_nor_its_resolution(pixels: np.ndarray, tmp_path: Path) -> None:
    extra = [(318, 5, 2, [1, 0, 0, 0], True), (319, 3, 1, 7, True)]
    size = {"resolution": (300, 300), "resolutionunit": "INCH"}
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", metadata=None, extratags=extra, **size)
    with pytest.warns(MetadataLossWarning, match="a TIFF's description of the colours"):
        photo = read_photo(tmp_path / "a.tif")
    assert photo.blocks.resolution == resolution_of(300, 300, "inch")
