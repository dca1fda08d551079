"""Pictures as programs hold them: Pillow's modes, numpy's orders of bytes and memory, torch's types."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from ldrestore.errors import InputError, ShapeError, UnsupportedFormatError
from ldrestore.images.files import read_photo
from ldrestore.images.inputs import to_photo, to_photos
from tests.images.png_files import chunk, shallow_png


def keyed_png(path: Path, depth: int, shade: int) -> Path:
    """A PNG of every shade of a depth, one of them transparent."""
    codes = np.arange(2**depth).reshape(1, -1, 1)
    path.write_bytes(shallow_png(codes, depth, 0, chunk(b"tRNS", shade.to_bytes(2, "big"))))
    return path


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("is_loaded", [True, False])
def test_every_transparent_shade_is_found_before_and_after_pillow_has_loaded_it(
    depth: int, is_loaded: bool, tmp_path: Path
) -> None:
    for shade in range(0, 2**depth, max(1, 2**depth // 16)):
        path = keyed_png(tmp_path / "a.png", depth, shade)
        expected = [0 if code == shade else 255 for code in range(2**depth)]
        assert read_photo(path).alpha.tolist() == [expected]
        with Image.open(path) as image:
            if is_loaded:
                image.load()
            before = dict(image.info)
            assert to_photo(image).alpha.tolist() == [expected], shade
            assert image.info == before


def test_a_loaded_image_whose_file_is_gone_or_another_is_taken_as_it_says(tmp_path: Path) -> None:
    path = keyed_png(tmp_path / "a.png", 8, 85)
    image = Image.open(path)
    image.load()
    for change in (lambda: path.write_bytes(b"short"), path.unlink):
        change()
        assert to_photo(image).alpha[0].tolist() == [0 if code == 85 else 255 for code in range(256)]


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("order", ["<", ">", "="])
def test_arrays_of_either_order_of_bytes_are_the_same_picture(kind: str, order: str) -> None:
    top = 1 if kind.startswith("f") else np.iinfo(kind).max
    values = (np.random.default_rng(0).random((5, 7, 4)) * top).astype(kind)
    photo = to_photo(values.astype(np.dtype(kind).newbyteorder(order)))
    assert photo.pixels.dtype.isnative
    assert np.array_equal(photo.pixels, to_photo(values).pixels)
    assert np.array_equal(photo.alpha, to_photo(values).alpha)


@pytest.mark.parametrize(
    "lay",
    [np.asfortranarray, lambda a: a[::-1][::-1], lambda a: np.flip(np.flip(a, 1).copy(), 1), lambda a: a.copy().view()],
    ids=["columns first", "twice turned", "negative steps", "view"],
)
def test_arrays_however_they_lie_in_memory_are_the_same_picture(lay: Callable[[np.ndarray], np.ndarray]) -> None:
    values = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    photo = to_photo(lay(values))
    assert np.array_equal(photo.pixels, values) and photo.pixels.flags.c_contiguous


def test_an_array_is_not_changed_by_what_is_done_to_its_photo() -> None:
    values = np.random.default_rng(0).random((4, 5, 3)).astype(np.float32) * 1.5
    before = values.copy()
    assert to_photo(values, clip=True).pixels.max() == 1
    assert np.array_equal(values, before)


@pytest.mark.parametrize("kind", [bool, "int8", "int16", "int32", "int64", "uint32", "complex64", "U3", object])
def test_other_types_of_arrays_are_refused_by_name(kind: str | type) -> None:
    with pytest.raises(InputError, match="expected uint8, uint16 or float pixels, got"):
        to_photo(np.zeros((3, 4), np.dtype(kind)))


@pytest.mark.parametrize("shape", [(), (4,), (0, 4), (4, 0, 3), (4, 4, 0), (4, 4, 5), (3, 224, 224), (1, 4, 4, 3, 1)])
def test_arrays_of_other_shapes_are_refused_with_the_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"\(H, W\) or \(H, W, 1 to 4\), got \("):
        to_photo(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(4, 4), (5, 4, 4), (0, 4, 4), (4, 4, 3)])
def test_tensors_of_other_shapes_are_refused_with_the_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"expected a tensor of shape \(C, H, W\) with 1 to 4 channels, got \("):
        to_photo(torch.zeros(shape) if shape != (4, 4, 3) else torch.zeros(8, 4, 3))
    with pytest.raises(InputError, match=r"expected a floating point tensor in \[0, 1\], got torch\.uint8"):
        to_photo(torch.zeros(3, 4, 4, dtype=torch.uint8))


def test_a_tensor_with_gradients_or_in_another_order_is_its_values() -> None:
    lq = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0), requires_grad=True)
    expected = lq.detach().numpy().transpose(1, 2, 0)
    for tensor in (lq, lq.detach().permute(1, 2, 0).contiguous().permute(2, 0, 1), lq.double()):
        assert np.array_equal(to_photo(tensor).pixels, expected)


@pytest.mark.parametrize("mode", ["I", "F", "LAB", "HSV"])
def test_modes_that_have_no_place_are_refused_with_a_way_out_that_works(mode: str, tmp_path: Path) -> None:
    image = Image.new(mode, (4, 3))
    with pytest.raises(UnsupportedFormatError, match=rf"pictures of mode {mode} are not supported; \w+") as caught:
        to_photo(image)
    if mode in ("I", "F"):
        assert "numpy.asarray(image)" in str(caught.value)
        values = np.asarray(image).astype("uint16") if mode == "I" else np.asarray(image)
        assert to_photo(values).pixels.shape == (3, 4, 1)
    else:
        assert to_photo(image.convert("RGB")).pixels.shape == (3, 4, 3)
    with pytest.raises(UnsupportedFormatError):
        to_photos([np.zeros((2, 2), np.uint8), image])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (np.int32, r"TIFF samples of 32 bits \(int32\) are not supported; store 8 or 16 bits, or float"),
        (np.uint32, r"TIFF samples of 32 bits \(uint32\) are not supported; store 8 or 16 bits, or float"),
        (np.float32, r"float pixels must lie in \[0, 1\], got \[0, 255\]; .*--clip of restore"),
    ],
)
def test_files_of_whole_numbers_of_32_bits_and_of_wide_floats_say_what_to_do(
    kind: type, message: str, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.linspace(0, 255, 12).reshape(3, 4).astype(kind))
    with pytest.raises((UnsupportedFormatError, OSError), match=message):
        read_photo(tmp_path / "a.tif")


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_16_bits_of_either_order_in_pillow_stay_16_bits(mode: str) -> None:
    values = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    stored = values.astype(">u2" if mode.endswith("B") else "<u2")
    image = Image.frombytes(mode, (4, 3), stored.tobytes())
    assert np.array_equal(to_photo(image).pixels[..., 0], values)
