import io

import pytest
from PIL import Image

from ldrestore.images.exif import EXIF_PREFIX, upright_exif


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
