import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from ldrestore.errors import CorruptImageError, MetadataLossWarning
from ldrestore.images.exif import EXIF_PREFIX, upright_exif
from ldrestore.images.files import read_photo
from ldrestore.images.metadata import Metadata
from ldrestore.images.orientation import upright
from ldrestore.images.photo import Photo
from ldrestore.images.png_writing import write_deep_png
from tests.images.png_files import chunk, shallow_png

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def plain_png(values, *extra, data=None):
    """A PNG of 16 bits without filters, written out by the specification."""
    height, width, num_channels = values.shape
    rows = values.astype(">u2").reshape(height, -1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)) if data is None else data
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[num_channels], 0, 0, 0)
    chunks = (chunk(b"IHDR", header), *extra, chunk(b"IDAT", data), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def deep(rng, num_channels, size=(9, 7)):
    return rng.integers(0, 65536, (*size, num_channels)).astype(np.uint16)


@pytest.mark.parametrize("num_channels", [1, 2, 3, 4])
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_16_bits_are_read_to_the_bit_and_turned(tmp_path, rng, num_channels, orientation):
    values = deep(rng, num_channels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    block = chunk(b"eXIf", exif.tobytes().removeprefix(EXIF_PREFIX))
    (tmp_path / "a.png").write_bytes(plain_png(values, block, chunk(b"gAMA", struct.pack(">I", 100000))))
    photo = read_photo(tmp_path / "a.png")
    expected = upright(values, orientation)
    assert photo.pixels.dtype == np.uint16
    np.testing.assert_array_equal(photo.pixels, expected[..., : photo.num_channels])
    if num_channels in (2, 4):
        np.testing.assert_array_equal(photo.alpha, expected[..., -1])


@pytest.mark.parametrize("num_channels", [1, 3])
def test_one_transparent_colour_of_16_bits_becomes_alpha(tmp_path, rng, num_channels):
    values = deep(rng, num_channels)
    key = chunk(b"tRNS", values[2, 3].astype(">u2").tobytes())
    (tmp_path / "a.png").write_bytes(plain_png(values, key))
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.pixels, values)
    np.testing.assert_array_equal(photo.alpha, np.where((values == values[2, 3]).all(axis=2), 0, 65535))


@pytest.mark.parametrize("num_channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (9, 7), (600, 3)])
def test_other_decoders_read_what_is_written(tmp_path, rng, num_channels, size):
    values = deep(rng, num_channels, size)
    stream = io.BytesIO()
    write_deep_png(values, stream, metadata=Metadata())
    decoded = cv2.imdecode(np.frombuffer(stream.getvalue(), np.uint8), cv2.IMREAD_UNCHANGED)
    order = {1: [0], 2: [0, 0, 0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[num_channels]
    np.testing.assert_array_equal(decoded.reshape(*size, -1), values[..., order])
    image = Image.open(stream)
    image.load()
    assert image.size == size[::-1]


def test_floats_become_16_bits_rounded_to_nearest(tmp_path):
    values = (np.array([[0.0, 0.4, 0.6, 65534.4, 65534.6, 65535]]) / 65535).astype(np.float32)[..., None]
    Photo(pixels=values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").pixels.ravel(), [0, 0, 1, 65534, 65535, 65535])


@pytest.mark.parametrize("num_channels", [1, 3])
def test_profile_exif_and_xmp_survive_16_bits(tmp_path, rng, num_channels, profile, exif, xmp):
    photo = Photo(pixels=deep(rng, num_channels), alpha=deep(rng, 1)[..., 0], icc_profile=profile, exif=exif, xmp=xmp)
    photo.save(tmp_path / "a.png")
    image = Image.open(io.BytesIO((tmp_path / "a.png").read_bytes()))
    image.load()
    assert image.info["icc_profile"] == profile
    assert image.info["exif"] == exif
    assert image.info["XML:com.adobe.xmp"] == xmp.decode()
    again = read_photo(tmp_path / "a.png")  # the fixtures state orientation 6
    assert again.icc_profile == profile
    assert again.exif == upright_exif(exif)[0]
    assert again.xmp == xmp.replace(b'"6"', b'"1"')
    np.testing.assert_array_equal(again.pixels, upright(photo.pixels, 6))
    np.testing.assert_array_equal(again.alpha, upright(photo.alpha, 6))


def test_a_compressed_packet_after_the_pixels_is_found(tmp_path, rng, xmp):
    packet = chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp))
    other = chunk(b"iTXt", b"Comment\0\0\0\0\0hello")
    content = plain_png(deep(rng, 3))
    (tmp_path / "a.png").write_bytes(content[:-12] + packet + other + content[-12:])
    assert read_photo(tmp_path / "a.png").xmp == xmp.replace(b'"6"', b'"1"')


@pytest.mark.parametrize(
    "damaged",
    [
        (b"iCCP", b"name\0\0no zlib"),
        (b"iCCP", b"name"),
        (b"eXIf", b"II*\0\xff\xff\xff\xff"),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0"),
        (b"iCCP", b"bomb\0\0" + zlib.compress(bytes(2**27))),
    ],
)
def test_damaged_metadata_are_said_and_left_out(tmp_path, rng, damaged):
    values = deep(rng, 3)
    (tmp_path / "a.png").write_bytes(plain_png(values, chunk(*damaged)))
    with pytest.warns(UserWarning, match=r"a\.png: damaged metadata are left out"):
        photo = read_photo(tmp_path / "a.png")
    assert (photo.icc_profile, photo.exif, photo.xmp) == (None, None, None)
    np.testing.assert_array_equal(photo.pixels, values)


def test_of_an_animated_deep_png_the_first_frame_is_read_with_a_warning(tmp_path, rng):
    values = deep(rng, 3)
    (tmp_path / "a.png").write_bytes(plain_png(values, chunk(b"acTL", struct.pack(">II", 5, 0))))
    with pytest.warns(UserWarning, match="has 5 frames"):
        photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.pixels, values)


@pytest.mark.parametrize("length", [0, 5, -20, -1])
def test_pixel_data_that_end_early_are_refused(tmp_path, rng, length, capfd):
    values = deep(rng, 3)
    rows = values.astype(">u2").reshape(9, -1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))[:length]
    (tmp_path / "a.png").write_bytes(plain_png(values, data=data))
    with pytest.raises(CorruptImageError, match="damaged"):
        read_photo(tmp_path / "a.png")


def test_a_wrong_checksum_and_a_missing_end_are_refused(tmp_path, rng):
    content = plain_png(deep(rng, 3))
    for damaged in (content[:-1], content[:-12], content[:60] + b"x" + content[61:]):
        (tmp_path / "a.png").write_bytes(damaged)
        with pytest.raises(CorruptImageError, match="damaged or cut off at byte"):
            read_photo(tmp_path / "a.png")


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("spare_bits", [0, 0xFF00])
def test_one_transparent_shade_of_every_depth_becomes_alpha(tmp_path, rng, depth, spare_bits):
    codes = rng.integers(0, 2**depth, (6, 9, 1))
    codes[0, :2, 0] = 0, 2**depth - 1
    for shade in {0, 1, 2**depth - 1}:
        key = chunk(b"tRNS", struct.pack(">H", shade | spare_bits))
        (tmp_path / "a.png").write_bytes(shallow_png(codes, depth, 0, key))
        photo = read_photo(tmp_path / "a.png")
        np.testing.assert_array_equal(photo.pixels, codes * (255 // (2**depth - 1)))
        np.testing.assert_array_equal(photo.alpha, np.where(codes[..., 0] == shade, 0, 255))


def test_one_transparent_colour_of_8_bits_becomes_alpha(tmp_path, rng):
    codes = rng.integers(0, 256, (6, 9, 3))
    codes[4, 4] = codes[1, 2]
    codes[2, 2] = codes[1, 2] ^ (0, 0, 1)
    key = chunk(b"tRNS", struct.pack(">3H", *codes[1, 2]))
    (tmp_path / "a.png").write_bytes(shallow_png(codes, 8, 2, key))
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.pixels, codes)
    np.testing.assert_array_equal(photo.alpha, np.where((codes == codes[1, 2]).all(axis=2), 0, 255))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_transparent_entries_of_palettes_of_every_depth_become_alpha(tmp_path, rng, depth):
    codes = rng.integers(0, 2, (6, 9, 1))
    palette = chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60]))
    (tmp_path / "a.png").write_bytes(shallow_png(codes, depth, 3, palette, chunk(b"tRNS", b"\x80")))
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.pixels, np.where(codes == 0, (10, 20, 30), (40, 50, 60)))
    np.testing.assert_array_equal(photo.alpha, np.where(codes[..., 0] == 0, 128, 255))


@pytest.mark.parametrize("depth", [8, 16])
def test_a_damaged_chunk_beside_the_pixels_is_said_and_left_out(tmp_path, rng, depth):
    damaged = bytearray(chunk(b"tEXt", b"Title\0My cat"))
    damaged[-1] ^= 1
    values = rng.integers(0, 2**depth, (6, 9, 3)).astype(np.uint16)
    content = plain_png(values, bytes(damaged)) if depth == 16 else shallow_png(values, 8, 2, bytes(damaged))
    (tmp_path / "a.png").write_bytes(content)
    with pytest.warns(UserWarning, match=r"a\.png: damaged metadata are left out \(a chunk b'tEXt' is damaged"):
        photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.pixels, values)
    assert photo.blocks.texts == ()


@pytest.mark.parametrize("kind", [b"tRNS", b"PLTE", b"IDAT"])
def test_a_damaged_chunk_of_the_pixels_is_refused(tmp_path, rng, kind):
    content = shallow_png(rng.integers(0, 2, (6, 9, 1)), 8, 3, chunk(b"PLTE", bytes(6)), chunk(b"tRNS", bytes(1)))
    place = content.index(kind)
    (tmp_path / "a.png").write_bytes(content[: place + 4] + b"~" + content[place + 5 :])
    with pytest.raises(CorruptImageError, match="damaged or cut off at byte"):
        read_photo(tmp_path / "a.png")


def test_a_text_that_would_fill_memory_is_carried_as_it_lies(tmp_path, rng):
    bomb = (b"zTXt", b"Bomb\0\0" + zlib.compress(bytes(2**27)))
    (tmp_path / "a.png").write_bytes(shallow_png(rng.integers(0, 256, (6, 9, 3)), 8, 2, chunk(*bomb)))
    photo = read_photo(tmp_path / "a.png")
    photo.save(tmp_path / "b.png")
    assert read_photo(tmp_path / "b.png").blocks.texts == (bomb,)


def raw_profile(name, data):
    """A block as ImageMagick writes it as text."""
    text = b"\n%s\n %d\n%s\n" % (name, len(data), data.hex().encode())
    return chunk(b"zTXt", b"Raw profile type %s\0\0" % name + zlib.compress(text))


def test_blocks_that_imagemagick_writes_as_text_are_understood(tmp_path, rng):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    resource = b"8BIM\x04\x04\0\0\0\0\0\x03abc\0"
    texts = [raw_profile(name, data) for name, data in ((b"exif", exif.tobytes()), (b"iptc", resource))]
    (tmp_path / "a.png").write_bytes(shallow_png(rng.integers(0, 256, (6, 9, 3)), 8, 2, *texts))
    photo = read_photo(tmp_path / "a.png")
    assert (photo.height, photo.width) == (9, 6)
    assert b"Maker" in photo.exif
    assert (photo.blocks.iptc, photo.blocks.texts) == (b"abc", ())


def test_segments_app1_that_imagemagick_writes_as_text_are_exif_or_xmp(tmp_path, rng, xmp):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    packet = raw_profile(b"APP1", b"http://ns.adobe.com/xap/1.0/\0" + xmp)
    texts = (packet, raw_profile(b"APP1", b"Exif\0\0" + exif.tobytes()))
    (tmp_path / "a.png").write_bytes(shallow_png(rng.integers(0, 256, (6, 9, 3)), 8, 2, *texts))
    photo = read_photo(tmp_path / "a.png")
    assert photo.xmp == xmp.replace(b'Orientation="6"', b'Orientation="1"')
    assert (photo.height, photo.width) == (9, 6)
    assert b"Maker" in photo.exif
    photo.save(tmp_path / "b.png")
    assert read_photo(tmp_path / "b.png").xmp == photo.xmp


@pytest.mark.parametrize(("colour_type", "key"), [(0, b""), (0, b"\0"), (0, b"\0\7\0\7"), (2, b"\0\0"), (2, bytes(8))])
def test_a_transparent_colour_of_the_wrong_length_is_none_and_told(tmp_path, rng, colour_type, key):
    codes = rng.integers(0, 256, (6, 9, 3 if colour_type == 2 else 1))
    codes[0, 0] = 0
    (tmp_path / "a.png").write_bytes(shallow_png(codes, 8, colour_type, chunk(b"tRNS", key)))
    with pytest.warns(UserWarning, match="wrong length"):
        photo = read_photo(tmp_path / "a.png")
    assert photo.alpha is None
    np.testing.assert_array_equal(photo.pixels, codes)


def test_a_transparent_colour_behind_the_pixels_is_none_and_told(tmp_path, rng):
    codes = rng.integers(0, 256, (6, 9, 1))
    content = shallow_png(codes, 8, 0)
    (tmp_path / "a.png").write_bytes(content[:-12] + chunk(b"tRNS", b"\0\7") + content[-12:])
    with pytest.warns(UserWarning, match="behind the pixels"):
        assert read_photo(tmp_path / "a.png").alpha is None


@pytest.mark.parametrize("colour_type", [4, 6])
def test_a_transparent_colour_beside_alpha_says_nothing(tmp_path, rng, colour_type):
    codes = rng.integers(0, 256, (6, 9, 4 if colour_type == 6 else 2))
    (tmp_path / "a.png").write_bytes(shallow_png(codes, 8, colour_type, chunk(b"tRNS", bytes(codes[0, 0, :1]))))
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").alpha, codes[..., -1])


def test_credentials_that_hold_for_other_pixels_are_told(tmp_path, rng):
    codes = rng.integers(0, 256, (6, 9, 3))
    (tmp_path / "a.png").write_bytes(shallow_png(codes, 8, 2, chunk(b"caBX", b"\0\0\0\x08jumb")))
    with pytest.warns(MetadataLossWarning, match="content credentials"):
        read_photo(tmp_path / "a.png").save(tmp_path / "b.png")
    assert b"jumb" not in (tmp_path / "b.png").read_bytes()
