import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from ldrestore.images.exif import EXIF_PREFIX, sized_exif
from ldrestore.images.exif_directories import ASCII, LONG, MAIN, SHORT, Field, exif_block, exif_fields
from ldrestore.images.files import read_photo
from ldrestore.images.metadata import FileBlocks
from ldrestore.images.photo import Photo
from ldrestore.images.resolution import resolution_of

CAMERA, GPS, INTEROP = 0x8769, 0x8825, 0xA005
DIRECTORIES = {
    MAIN: (Field(0x010F, ASCII, b"Jorg\0"),),
    CAMERA: (Field(0x829A, 5, struct.pack("<II", 1, 125)), Field(0xA002, LONG, (8).to_bytes(4, "little"))),
    INTEROP: (Field(0x0001, ASCII, b"R98\0"), Field(0x1001, LONG, (8).to_bytes(4, "little"))),
    GPS: (Field(0x0002, ASCII, b"48.2082\0"),),
}
KINDS = {
    1: b"\1",
    2: b"abc\0",
    3: b"\1\0",
    4: b"\1\0\0\0",
    5: struct.pack("<II", 1, 0),
    6: b"\xff",
    7: b"\xff\xfe\1",
    8: b"\xff\xff",
    9: b"\xff\xff\xff\xff",
    10: struct.pack("<ii", -1, -3),
    11: struct.pack("<f", -1.5),
    12: struct.pack("<d", float("nan")),
}


def photo_of(block, *, has_resolution=False):
    blocks = FileBlocks(resolution=resolution_of(300, 300, "inch")) if has_resolution else FileBlocks()
    return Photo(pixels=np.full((4, 8, 3), 90, np.uint8), exif=block, blocks=blocks)


def test_a_block_has_its_fields_again():
    assert exif_fields(exif_block(DIRECTORIES)) == DIRECTORIES


def test_pillow_reads_the_block():
    exif = Image.Exif()
    exif.load(exif_block(DIRECTORIES))
    assert exif[0x010F] == "Jorg"
    assert float(exif.get_ifd(CAMERA)[0x829A]) == 1 / 125
    assert exif.get_ifd(INTEROP)[0x0001] == "R98"
    assert exif.get_ifd(GPS)[0x0002] == "48.2082"


def test_big_endian_values_change_their_order():
    field = struct.pack(">HHI", 0x829A, 5, 1) + struct.pack(">I", 26)
    block = b"MM\0*" + struct.pack(">IH", 8, 1) + field + bytes(4) + struct.pack(">II", 1, 125)
    assert exif_fields(block) == {MAIN: (Field(0x829A, 5, struct.pack("<II", 1, 125)),)}


def test_fields_that_lie_outside_and_pointers_into_nothing_are_left_out():
    outside = struct.pack("<HHII", 0x010F, ASCII, 40, 1000)
    dangling = struct.pack("<HHII", CAMERA, LONG, 1, 5000)
    unknown = struct.pack("<HHII", 0x0110, 99, 1, 0)
    block = b"II*\0" + struct.pack("<IH", 8, 3) + outside + unknown + dangling + bytes(4)
    assert exif_fields(block) == {}
    with pytest.raises(ValueError, match="no TIFF header"):
        exif_fields(b"Exif\0\0nothing")


@pytest.mark.parametrize("directory", [MAIN, CAMERA, GPS])
@pytest.mark.parametrize("suffix", ["tif", "webp"])
def test_any_type_of_any_tag_costs_no_picture(tmp_path, directory, suffix):
    tags = {MAIN: (0x010E, 0x4746, 0x9C9B), CAMERA: (0x9000, 0xA302, 0x829A), GPS: (0, 2, 5, 29)}[directory]
    for tag in tags:
        for kind, value in KINDS.items():
            block = exif_block({MAIN: (Field(0x0110, ASCII, b"X\0"),), directory: (Field(tag, kind, value),)})
            photo_of(block, has_resolution=True).save(tmp_path / f"a.{suffix}", overwrite=True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # reading may leave such EXIF data out, and says so
                again = read_photo(tmp_path / f"a.{suffix}")
            assert again.pixels.shape == (4, 8, 3)
            assert again.blocks.resolution == resolution_of(300, 300, "inch")


def test_a_tiff_has_the_directories_and_no_pointer_into_nothing(tmp_path):
    photo_of(exif_block(DIRECTORIES)).save(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as image:
        exif = image.getexif()
        assert exif.get_ifd(GPS)[0x0002] == "48.2082"
        assert dict(exif.get_ifd(INTEROP))[0x0001] == "R98"
    without = {name: fields for name, fields in DIRECTORIES.items() if name != INTEROP}
    photo_of(exif_block(without)).save(tmp_path / "b.tif")
    with Image.open(tmp_path / "b.tif") as image:
        assert INTEROP not in image.getexif().get_ifd(CAMERA)


def test_texts_in_a_webp_keep_their_bytes(tmp_path):
    artist = "Jörg Müller".encode() + b"\0"
    photo_of(exif_block({MAIN: (Field(0x013B, ASCII, artist),)}), has_resolution=True).save(tmp_path / "a.webp")
    (field,) = (field for field in exif_fields(read_photo(tmp_path / "a.webp").exif)[MAIN] if field.tag == 0x013B)
    assert field.value == artist


def test_the_related_size_of_interoperability_becomes_the_pictures():
    fields = exif_fields(sized_exif(exif_block(DIRECTORIES), width=16, height=8))
    assert Field(0x1001, LONG, (16).to_bytes(4, "little")) in fields[INTEROP]
    assert Field(0xA002, LONG, (16).to_bytes(4, "little")) in fields[CAMERA]


def test_the_prefix_may_be_missing():
    assert exif_fields(exif_block(DIRECTORIES).removeprefix(EXIF_PREFIX)) == DIRECTORIES
    assert exif_fields(exif_block({MAIN: (Field(0x0112, SHORT, b"\1\0"),)})) == {MAIN: (Field(0x0112, SHORT, b"\1\0"),)}


def test_fields_that_share_their_bytes_do_not_grow_a_block():
    entries = b"".join(struct.pack("<HHII", tag, 7, 20_000, 8) for tag in range(0x9000, 0x9000 + 2000))
    block = b"II*\0" + struct.pack("<IH", 8, 2000) + entries + bytes(4)
    assert len(exif_block(exif_fields(block))) < 3 * len(block)
