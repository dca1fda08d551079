import io

import pytest
from PIL import Image

from ldrestore.images.exif import EXIF_PREFIX, exif_resolution, has_maker_note, sized_exif, upright_exif
from ldrestore.images.resolution import resolution_of


def orientation_exif(orientation, endian="<"):
    exif = Image.Exif()
    exif.endian = endian
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    return exif.tobytes()


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("has_prefix", [True, False])
def test_only_the_orientation_of_an_exif_block_changes(endian, has_prefix):
    block = orientation_exif(6, endian)
    turned, orientation = upright_exif(block if has_prefix else block.removeprefix(EXIF_PREFIX))
    assert orientation == 6
    assert turned == orientation_exif(1, endian)


def test_camera_data_and_makers_notes_keep_their_places(exif):
    exif += b"notes with absolute offsets"
    turned, _ = upright_exif(exif)
    assert len(turned) == len(exif)
    assert sum(before != after for before, after in zip(exif, turned, strict=True)) == 1


def test_the_thumbnail_of_the_unrestored_picture_is_unlinked(smooth):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    block = bytearray(exif.tobytes())
    block[6 + 8 + 2 + 12 : 6 + 8 + 2 + 16] = (8).to_bytes(4, "little")  # next directory
    turned, orientation = upright_exif(bytes(block))
    assert orientation is None
    loaded = Image.Exif()
    loaded.load(turned)
    assert loaded.get_ifd(0x0001) == {}
    assert turned == exif.tobytes()


@pytest.mark.parametrize(
    "block",
    [b"", b"II", b"XX*\0\x08\0\0\0", b"II*\0\xff\xff\0\0\1\0", b"II*\0\x08\0\0\0\xff\xff", b"II*\0\2\0\0\0" * 9],
)
def test_a_damaged_exif_block_is_refused(block):
    with pytest.raises(ValueError, match="EXIF"):
        upright_exif(EXIF_PREFIX + block)


def test_pillow_reads_the_upright_block(exif, smooth):
    turned, orientation = upright_exif(exif)
    stream = io.BytesIO()
    Image.fromarray(smooth).save(stream, "JPEG", exif=turned)
    loaded = Image.open(stream).getexif()
    assert orientation == 6
    assert loaded[0x0112] == 1
    assert loaded[0x010F] == "Maker"
    assert loaded.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
    assert loaded.get_ifd(0x8825)[2] == (52.0, 30.0, 15.0)


def sized_block(endian, **tags):
    exif = Image.Exif()
    exif.endian = endian
    exif[0x0100], exif[0x0101] = 40, 30
    exif[0x011A], exif[0x011B] = 300.0, 72.0
    exif[0x8769] = {0xA002: 4000, 0xA003: 3000, **tags}
    return exif


@pytest.mark.parametrize("endian", ["<", ">"])
def test_dimensions_become_those_of_the_picture(endian):
    block = sized_block(endian).tobytes()
    loaded = Image.Exif()
    loaded.load(sized_exif(block, width=70_000, height=20))
    assert (loaded[0x0100], loaded[0x0101]) == (70_000, 20)
    assert (loaded.get_ifd(0x8769)[0xA002], loaded.get_ifd(0x8769)[0xA003]) == (70_000, 20)
    assert sized_exif(b"damaged", width=1, height=1) == b"damaged"
    assert sized_exif(orientation_exif(1), width=7, height=7) == orientation_exif(1)


@pytest.mark.parametrize(("orientation", "resolution"), [(3, (300, 72)), (6, (72, 300))])
def test_the_resolutions_of_a_quarter_turn_change_places(orientation, resolution):
    exif = sized_block("<")
    exif[0x0112] = orientation
    turned, _ = upright_exif(exif.tobytes())
    assert exif_resolution(turned) == resolution_of(*resolution, "inch")


def test_a_maker_note_is_found():
    assert has_maker_note(sized_block("<", **{}).tobytes()) is False
    exif = sized_block(">")
    exif[0x8769] = {0x927C: b"note"}
    assert has_maker_note(exif.tobytes())
    assert not has_maker_note(None)
    assert not has_maker_note(b"damaged")
    assert exif_resolution(b"damaged") is None
