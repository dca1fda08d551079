import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ldrestore import images
from ldrestore.errors import CorruptImageError, InputError, ShapeError, UnsupportedFormatError
from ldrestore.images.inputs import to_photo, to_photos
from ldrestore.images.padding import pad_to_multiple
from ldrestore.images.photo import Photo
from tests.images.png_files import chunk, shallow_png


def test_every_kind_of_picture_becomes_the_same_photo(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "x.png")
    floats = torch.from_numpy(pixels.transpose(2, 0, 1).copy()) / 255.0
    kinds = [tmp_path / "x.png", str(tmp_path / "x.png"), Image.fromarray(pixels), pixels, Photo(pixels=pixels)]
    for kind in kinds:
        assert np.array_equal(to_photo(kind).pixels, pixels)
    assert np.allclose(to_photo(floats).pixels * 255, pixels, atol=1e-4)


@pytest.mark.parametrize(("num_channels", "colours"), [(1, 1), (2, 1), (3, 3), (4, 3)])
def test_even_numbers_of_channels_end_with_alpha(num_channels, colours):
    photo = to_photo(np.zeros((3, 4, num_channels), np.uint16))
    assert photo.num_channels == colours
    assert (photo.alpha is not None) == (num_channels in (2, 4))


def test_lists_and_batches_are_many():
    batch = torch.zeros(2, 3, 4, 5)
    assert len(to_photos(batch)) == 2
    assert len(to_photos([np.zeros((4, 5)), batch])) == 3
    assert len(to_photos(np.zeros((4, 5, 3)))) == 1


@pytest.mark.parametrize(
    "make", [iter, set, tuple, lambda images: (image for image in images), lambda images: dict.fromkeys(images).keys()]
)
def test_every_iterable_is_many(tmp_path, pixels, make):
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path in paths:
        Image.fromarray(pixels).save(path)
    assert len(to_photos(make(paths))) == 3


@pytest.mark.parametrize("image", [{"a.png": 1}, b"a.png"])
def test_what_is_iterable_but_no_row_of_pictures_is_refused(image):
    with pytest.raises(InputError, match=r"cannot take (dict|bytes) as a picture"):
        to_photos(image)


@pytest.mark.parametrize("kind", [np.float32, np.float64, torch.float32])
def test_floats_outside_the_range_are_clipped_where_asked(kind):
    values = np.array([[-0.5, 0.25, 1.0001]])
    image = torch.tensor(values, dtype=kind)[None] if isinstance(kind, torch.dtype) else values.astype(kind)
    with pytest.raises(InputError, match="or pass clip=True"):
        to_photos([image])
    assert np.array_equal(to_photos([image], clip=True)[0].pixels.ravel(), np.array([0, 0.25, 1], np.float32))
    with pytest.raises(InputError, match=r"got .nan, nan.; replace what is infinite or not a number"):
        to_photo(np.full((2, 2), np.nan), clip=True)
    with pytest.raises(InputError, match=r"got .0, 1\.00000012.; rescale them, or pass clip=True"):
        to_photo(np.array([[0, 1 + 2**-23]], np.float32))
    assert to_photo(np.array([[0, 1 + 4e-16]])).pixels.ravel().tolist() == [0, 1]
    with pytest.raises(InputError, match=r"got .0, 1\.00000006.; rescale them"):
        to_photo(np.array([[0, np.nextafter(1 + 2**-24, 2)]]))


def test_a_pil_image_is_turned_upright(pixels):
    image = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90)
    image.getexif()[0x0112] = 6
    assert np.array_equal(to_photo(image).pixels, pixels)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((3, 4, 5), np.uint8), ShapeError, r"got \(3, 4, 5\)"),
        (np.zeros((0, 4, 3), np.uint8), ShapeError, r"got \(0, 4, 3\)"),
        (np.zeros((3, 4), np.int64), InputError, "got int64"),
        (np.full((3, 4), 1.5), InputError, r"must lie in \[0, 1\], got \[1.5, 1.5\]"),
        (np.full((3, 4), np.nan), InputError, "got .nan, nan"),
        (torch.zeros(5, 4, 4), ShapeError, r"got \(5, 4, 4\)"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), InputError, "floating point"),
        (17, InputError, "cannot take int as a picture"),
    ],
)
def test_what_is_no_picture_is_refused(image, error, message):
    with pytest.raises(error, match=message):
        to_photo(image)


def test_a_photo_checks_its_arrays():
    with pytest.raises(ShapeError, match="pixels must be"):
        Photo(pixels=np.zeros((3, 4), np.uint8))
    with pytest.raises(ShapeError, match="alpha must be"):
        Photo(pixels=np.zeros((3, 4, 3), np.uint8), alpha=np.zeros((3, 4), np.uint16))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "La", "CMYK", "YCbCr", "I;16"])
def test_pil_images_of_every_mode_are_taken(mode):
    image = Image.new("I;16", (5, 4), 65535)
    if mode != "I;16":
        for step in {"PA": ("P", "PA"), "La": ("LA", "La"), "RGBa": ("RGBA", "RGBa")}.get(mode, (mode,)):
            image = (image if image.mode != "I;16" else Image.new("RGB", (5, 4), "white")).convert(step)
    photo = to_photo(image)
    assert photo.pixels.shape == (4, 5, 1 if mode in ("1", "L", "LA", "La", "I;16") else 3)
    assert (photo.alpha is not None) == (mode in ("LA", "La", "PA", "RGBA", "RGBa"))
    assert (photo.pixels == photo.max_value).all()


@pytest.mark.parametrize("mode", ["LAB", "HSV", "F", "I"])
def test_pil_images_of_other_modes_are_refused(mode):
    with pytest.raises(UnsupportedFormatError, match=f"mode {mode} are not supported"):
        to_photo(Image.new(mode, (4, 4)))


def test_the_advice_for_wide_modes_works():
    for mode, advised in (("I", lambda image: np.asarray(image).astype("uint16")), ("F", np.asarray)):
        image = Image.new(mode, (4, 4), 1)
        with pytest.raises(UnsupportedFormatError, match=r"pass numpy\.asarray\(image\)"):
            to_photo(image)
        assert (to_photo(advised(image)).pixels == 1).all()


def test_importing_brings_no_torch():
    code = "import ldrestore.images, ldrestore.images.headers, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert images.pad_to_multiple is pad_to_multiple
    with pytest.raises(AttributeError, match="has no attribute 'padd'"):
        _ = images.padd


def test_a_pil_image_keeps_profile_and_metadata(tmp_path, smooth, profile, exif, xmp):
    Image.fromarray(smooth).save(tmp_path / "a.jpg", icc_profile=profile, exif=exif, xmp=xmp)
    with Image.open(tmp_path / "a.jpg") as image:
        photo = to_photo(image)
    from_file = to_photo(tmp_path / "a.jpg")
    assert (photo.icc_profile, photo.exif, photo.xmp) == (from_file.icc_profile, from_file.exif, from_file.xmp)
    assert np.array_equal(photo.pixels, from_file.pixels)
    made = Image.fromarray(smooth)
    made.getexif()[0x010F] = "Maker"
    assert b"Maker" in to_photo(made).exif


def test_a_truncated_pil_image_is_a_typed_error(tmp_path, smooth):
    Image.fromarray(smooth).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    image = Image.open(io.BytesIO(content[:-100]))
    with pytest.raises(CorruptImageError, match="damaged or cut off"):
        to_photo(image)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_tensors_of_every_float_type_are_taken(dtype):
    photo = to_photo(torch.full((4, 3, 5), 0.5, dtype=dtype, requires_grad=True))
    assert photo.pixels.dtype == np.float32
    assert photo.pixels.shape == (3, 5, 3)
    assert photo.alpha.shape == (3, 5)


@pytest.mark.parametrize("is_loaded", [False, True])
def test_a_pil_image_keeps_what_pillow_has_read_beside_the_pixels(tmp_path, smooth, is_loaded):
    texts = PngInfo()
    texts.add_text("Title", "My cat")
    texts.add(b"gAMA", (100_000).to_bytes(4, "big"))
    Image.fromarray(smooth).save(tmp_path / "a.png", pnginfo=texts, dpi=(300, 300))
    Image.fromarray(smooth).save(tmp_path / "a.jpg", comment=b"hello", dpi=(300, 300))
    for name in ("a.png", "a.jpg"):
        with Image.open(tmp_path / name) as image:
            if is_loaded:
                image.load()
            blocks = to_photo(image).blocks
        assert blocks.resolution.per("inch") == (300, 300)
        if name == "a.png":
            assert blocks.texts == ((b"iTXt", b"Title\0\0\0\0\0My cat"),)
            assert blocks.colour_chunks == ((b"gAMA", (100_000).to_bytes(4, "big")),)
        else:
            assert blocks.comments == (b"hello",)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_the_transparent_shade_of_a_pil_image_is_found_at_every_depth(tmp_path, depth):
    codes = np.arange(2**depth).reshape(1, -1, 1)
    shade = 2**depth - 1
    (tmp_path / "a.png").write_bytes(shallow_png(codes, depth, 0, chunk(b"tRNS", shade.to_bytes(2, "big"))))
    with Image.open(tmp_path / "a.png") as image:
        alpha = to_photo(image).alpha
    assert np.array_equal(alpha[0], [255] * shade + [0])


@pytest.mark.parametrize(("colour", "num_channels"), [(0, 1), (2, 3)])
def test_a_transparent_shade_of_16_bits_survives_pillow(tmp_path, colour, num_channels):
    values = np.zeros((2, 3, num_channels), ">u2")
    values[0] = 0x1234
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    header = struct.pack(">IIBBBBB", 3, 2, 16, colour, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), chunk(b"tRNS", b"\x12\x34" * num_channels), chunk(b"IDAT", zlib.compress(rows))]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b""))
    for photo in (to_photo(tmp_path / "a.png"), to_photo(Image.open(tmp_path / "a.png"))):
        assert (photo.alpha > 0).tolist() == [[False] * 3, [True] * 3]
