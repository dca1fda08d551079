import struct
from contextlib import nullcontext

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from ldrestore.errors import UnsupportedFormatError
from ldrestore.images.cmyk import deep_cmyk_to_srgb, shallow_cmyk_to_srgb
from ldrestore.images.files import read_photo


@pytest.fixture
def inks(rng):
    """(20, 30, 4) uint16, random."""
    return rng.integers(0, 65536, (20, 30, 4)).astype(np.uint16)


def test_without_a_profile_it_is_pillows_complement_with_more_levels(inks):
    deep = deep_cmyk_to_srgb(inks, None, "a")
    shallow = np.asarray(Image.fromarray((inks // 257).astype(np.uint8), mode="CMYK").convert("RGB"))
    assert np.abs(deep / 257 - shallow).max() < 2
    ramp = np.zeros((1, 4096, 4), np.uint16)
    ramp[..., 0] = np.arange(4096) * 16
    assert len(np.unique(deep_cmyk_to_srgb(ramp, None, "a")[..., 0])) == 4096


def profile_of_inks(curve=0.8, num_nodes=9):
    """A profile of inks by ICC.1:2010: an `A2B0` table of 8 bits (10.8) to Lab of (1 - ink) (1 - black), to a power."""
    levels = np.linspace(0, 1, num_nodes)
    nodes = np.stack(np.meshgrid(*[levels] * 4, indexing="ij"), axis=-1).reshape(1, -1, 4)
    rgb = ((1 - nodes[..., :3]) * (1 - nodes[..., 3:])) ** curve
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    colours = Image.fromarray(np.rint(255 * rgb).astype(np.uint8))
    lab = np.frombuffer(to_lab.apply(colours).tobytes(), np.uint8).reshape(-1, 3).copy()
    lab[:, 1:] ^= 0x80  # Pillow's a and b are signed
    identity = bytes(range(256))
    matrix = np.eye(3, dtype=">i4").ravel() * 65536
    head = struct.pack(">4s4xBBBx", b"mft1", 4, 3, num_nodes) + matrix.astype(">i4").tobytes()
    table = head + identity * 4 + lab.tobytes() + identity * 3
    white = struct.pack(">4s4x3i", b"XYZ ", 63190, 65536, 54061)
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"inks\0" + bytes(78)
    tags, body, place = b"", b"", 128 + 4 + 3 * 12
    for name, content in ((b"A2B0", table), (b"wtpt", white), (b"desc", text)):
        content += bytes(-len(content) % 4)
        tags += struct.pack(">4sII", name, place + len(body), len(content))
        body += content
    header = struct.pack(
        ">I4sI4s4s4s12s4s28s3i48s", place + len(body), b"", 0x02400000, b"prtr", b"CMYK", b"Lab ", bytes(12), b"acsp",
        bytes(28), 63190, 65536, 54061, bytes(48),
    )  # fmt: skip
    return header + struct.pack(">I", 3) + tags + body


def test_with_a_profile_16_bits_are_those_of_8_with_more_levels(inks):
    profile = profile_of_inks()
    deep = deep_cmyk_to_srgb(inks, profile, "a")
    shallow = shallow_cmyk_to_srgb(np.rint(inks / 257).astype(np.uint8), profile, "a")
    assert np.abs(deep / 257 - shallow).max() < 3
    assert np.abs(deep / 257 - deep_cmyk_to_srgb(inks, None, "a") / 257).max() > 10
    ramp = np.zeros((1, 4096, 4), np.uint16)
    ramp[..., 0] = np.arange(4096) * 16
    assert len(np.unique(deep_cmyk_to_srgb(ramp, profile, "a")[..., 0])) > 2000


def test_a_profile_of_inks_is_used_and_left_out_in_both_depths(tmp_path, inks):
    profile = profile_of_inks()
    Image.fromarray((inks // 257).astype(np.uint8), mode="CMYK").save(tmp_path / "a.tif", icc_profile=profile)
    tifffile.imwrite(tmp_path / "b.tif", inks, photometric="separated", planarconfig="contig", iccprofile=profile)
    shallow, deep = read_photo(tmp_path / "a.tif"), read_photo(tmp_path / "b.tif")
    assert (shallow.pixels.dtype, deep.pixels.dtype) == (np.uint8, np.uint16)
    assert shallow.icc_profile is None and deep.icc_profile is None
    np.testing.assert_array_equal(deep.pixels, deep_cmyk_to_srgb(inks, profile, "a"))
    np.testing.assert_array_equal(shallow.pixels, shallow_cmyk_to_srgb((inks // 257).astype(np.uint8), profile, "a"))


def test_a_profile_that_is_none_of_inks_is_told(inks):
    rgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with pytest.warns(UserWarning, match="a: the CMYK profile cannot be used"):
        assert deep_cmyk_to_srgb(inks, rgb, "a").dtype == np.uint16


@pytest.mark.parametrize("extra", [None, "unassalpha", "unspecified"])
def test_16_bit_cmyk_files_stay_16_bit(tmp_path, rng, extra):
    values = rng.integers(0, 65536, (9, 7, 4 if extra is None else 5)).astype(np.uint16)
    options = {} if extra is None else {"extrasamples": [extra]}
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="separated", planarconfig="contig", **options)
    if extra == "unspecified":
        with pytest.warns(UserWarning, match="neither colour nor alpha"):
            photo = read_photo(tmp_path / "a.tif")
    else:
        photo = read_photo(tmp_path / "a.tif")
    assert photo.pixels.dtype == np.uint16
    np.testing.assert_array_equal(photo.pixels, deep_cmyk_to_srgb(values[..., :4], None, "a"))
    assert photo.icc_profile is None
    if extra == "unassalpha":
        np.testing.assert_array_equal(photo.alpha, values[..., 4])
    else:
        assert photo.alpha is None


@pytest.mark.parametrize("extra", ["unassalpha", "unspecified"])
def test_8_bit_cmyk_with_another_sample_is_that_without_it(tmp_path, rng, extra):
    values = rng.integers(0, 256, (9, 7, 5)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "plain.tif", values[..., :4], photometric="separated", planarconfig="contig")
    options = {"extrasamples": [extra], "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="separated", **options)
    with nullcontext() if extra == "unassalpha" else pytest.warns(UserWarning, match="neither colour nor alpha"):
        photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(photo.pixels, read_photo(tmp_path / "plain.tif").pixels)
    assert (photo.alpha is None) == (extra == "unspecified")
    if photo.alpha is not None:
        np.testing.assert_array_equal(photo.alpha, values[..., 4])


def test_inks_of_float_are_refused(tmp_path):
    values = np.zeros((9, 7, 4), np.float16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="separated", planarconfig="contig")
    with pytest.raises(UnsupportedFormatError, match="not supported"):
        read_photo(tmp_path / "a.tif")
