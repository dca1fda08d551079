import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image, TiffImagePlugin

from ldrestore.errors import CorruptImageError, ImageNotFoundError, UnsupportedFormatError
from ldrestore.images.files import read_photo
from ldrestore.images.headers import read_header, read_size
from tests.images.png_files import chunk


def picture(path, *, orientation=1, mode="RGB"):
    """A picture 30 wide and 20 high as stored, with an orientation where its format holds one."""
    image = Image.fromarray(np.zeros((20, 30, 3), np.uint8)).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    if path.suffix == ".heic":
        pillow_heif = pytest.importorskip("pillow_heif")
        pillow_heif.from_pillow(image).save(path)
    else:
        image.save(path, **({} if path.suffix == ".bmp" else {"exif": exif}))
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".bmp", ".heic"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_header_tells_the_size_of_the_upright_picture(tmp_path, suffix, orientation):
    path = picture(tmp_path / f"a{suffix}", orientation=orientation)
    assert read_size(path) == read_photo(path).pixels.shape[1::-1]


@pytest.mark.parametrize("stated", ['tiff:Orientation="6"', "tiff:Orientation = '6'", "<tiff:Orientation>6</"])
@pytest.mark.parametrize("kind", ["a.jpg", "a.png", "behind.png", "a.webp", "rgb.tif", "palette.tif", "big.tif"])
def test_an_orientation_that_only_xmp_states_turns_header_and_pixels(tmp_path, kind, stated):
    packet = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:Description {stated}/></x:xmpmeta>".encode()
    path = tmp_path / kind
    image = Image.fromarray(np.zeros((20, 30, 3), np.uint8))
    if kind == "big.tif":
        tags = [(700, 1, len(packet), packet, True)]
        tifffile.imwrite(path, np.asarray(image), photometric="rgb", byteorder=">", bigtiff=True, extratags=tags)
    elif path.suffix == ".tif":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[700] = packet
        image.convert("P" if kind == "palette.tif" else "RGB").save(path, tiffinfo=tags)
    elif path.suffix == ".png":
        image.save(path)
        content, place = path.read_bytes(), 33 if kind == "a.png" else -12  # behind IHDR, or before IEND
        text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)
        path.write_bytes(content[:place] + text + content[place:])
    else:
        image.save(path, xmp=packet)
    assert read_size(path) == (20, 30)
    assert read_photo(path).pixels.shape == (30, 20, 3)


def test_exif_counts_before_xmp_in_the_header_too(tmp_path, xmp):
    exif = Image.Exif()
    exif[0x0112] = 1
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif, xmp=xmp)
    assert read_size(tmp_path / "a.jpg") == read_photo(tmp_path / "a.jpg").pixels.shape[1::-1] == (30, 20)


@pytest.mark.parametrize(
    ("suffix", "mode", "options"),
    [
        (".png", "RGBA", {}),
        (".png", "LA", {}),
        (".png", "L", {"transparency": 3}),
        (".png", "P", {"transparency": 3}),
        (".png", "1", {"transparency": 0}),
        (".png", "I;16", {}),
        (".tif", "RGBA", {}),
        (".tif", "LA", {}),
        (".tif", "RGBX", {}),
        (".tif", "CMYK", {}),
        (".tif", "P", {}),
        (".webp", "RGBA", {}),
        (".bmp", "RGBA", {}),
        (".jpg", "CMYK", {}),
        (".heic", "RGBA", {}),
    ],
)
@pytest.mark.filterwarnings("ignore:channels that are neither colour nor alpha")
def test_the_header_tells_of_alpha(tmp_path, suffix, mode, options):
    path = tmp_path / f"a{suffix}"
    image = Image.fromarray(np.full((20, 30, 3), 3, np.uint8)).convert("L" if mode == "I;16" else mode).convert(mode)
    if image.mode in ("RGBA", "LA"):
        image.putpixel((0, 0), (9,) * (len(image.mode) - 1) + (0,))
    if suffix == ".heic":
        pytest.importorskip("pillow_heif").from_pillow(image).save(path)
    else:
        image.save(path, **options)
    assert read_header(path).has_alpha == (read_photo(path).alpha is not None)


def test_pixels_that_are_cut_off_do_not_matter(tmp_path):
    path = picture(tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:-30])
    assert read_size(path) == (30, 20)


def test_what_is_no_picture_is_refused_by_name(tmp_path):
    (tmp_path / "a.png").write_bytes(b"some text that is no picture")
    (tmp_path / "b.png").write_bytes(b"")
    path = picture(tmp_path / "c.jpg")
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UnsupportedFormatError, match=r"a\.png"):
        read_size(tmp_path / "a.png")
    for name in ("b.png", "c.jpg"):
        with pytest.raises(CorruptImageError, match=name):
            read_size(tmp_path / name)
    with pytest.raises(ImageNotFoundError, match=r"d\.png"):
        read_size(tmp_path / "d.png")


def test_notes_on_damaged_tags_do_not_reach_the_terminal(tmp_path):
    tags = [(42113, 2, 0, "-9999", True)]  # a missing value that no byte can have
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), np.uint8), photometric="minisblack", extratags=tags)
    code = "import sys; from ldrestore.images.headers import read_size; print(read_size(sys.argv[1]))"
    printed = subprocess.run([sys.executable, "-c", code, tmp_path / "a.tif"], capture_output=True, text=True)
    assert (printed.stdout, printed.stderr) == ("(5, 4)\n", "")


def test_a_width_of_many_numbers_is_damage(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((6, 9, 3), np.uint8), photometric="rgb", byteorder="<")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    place = content.index(b"\x00\x01\x04\x00\x01\x00\x00\x00")  # ImageWidth, one long number
    content[place + 4], content[place + 8] = 5, 8
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(CorruptImageError, match=r"a\.tif: the file is damaged"):
        read_header(tmp_path / "a.tif")
