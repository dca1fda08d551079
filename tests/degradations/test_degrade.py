import os
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from ldrestore.degradations import degrade, list_degradations
from ldrestore.errors import ImageNotFoundError, InputError, ShapeError, UnknownNameError
from ldrestore.images.photo import Photo

RECIPE = "gaussian_noise(sigma_255=20)"


@pytest.fixture
def pixels(picture):
    """(48, 61, 3) uint8."""
    return np.rint(picture * 255).astype(np.uint8)


def test_the_folder_offers_degrade_and_the_list(pixels):
    for name in list_degradations():
        assert degrade(pixels, name).shape == pixels.shape


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
def test_arrays_keep_type_and_shape(picture, dtype):
    white = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    image = (picture * white).astype(dtype)
    noisy = degrade(image, RECIPE)
    assert noisy.dtype == dtype and noisy.shape == image.shape
    assert (noisy.astype(np.float64) - image).std() / white * 255 == pytest.approx(20, rel=0.05)


@pytest.mark.parametrize("shape", [(48, 61), (48, 61, 1), (48, 61, 4), (48, 61, 2), (2, 48, 61, 3)])
def test_arrays_of_every_layout_come_back_in_it(shape):
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    noisy = degrade(image, RECIPE)
    assert noisy.shape == shape and not np.array_equal(noisy, image)
    if shape[-1] in (2, 4):
        assert np.array_equal(noisy[..., -1], image[..., -1])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "CMYK"])
def test_pil_comes_back_in_its_mode(pixels, mode):
    image = Image.fromarray(pixels).convert(mode)
    noisy = degrade(image, RECIPE)
    assert (noisy.mode, noisy.size) == (mode, image.size)
    if "A" in mode:
        assert np.array_equal(np.asarray(noisy)[..., -1], np.asarray(image)[..., -1])


def test_deep_grey_pil_keeps_its_depth(picture):
    image = Image.fromarray(np.rint(picture[..., 0] * 65535).astype(np.uint16))
    noisy = degrade(image, RECIPE)
    assert noisy.mode == "I;16"
    assert len(np.unique(np.asarray(noisy))) > 256


@pytest.mark.parametrize(("mode", "result"), [("P", "RGB"), ("1", "L")])
def test_pil_modes_that_cannot_hold_the_result_come_back_wider(pixels, mode, result):
    assert degrade(Image.fromarray(pixels).convert(mode), RECIPE).mode == result


def test_a_grey_picture_stays_grey_in_rain(pixels):
    noisy = degrade(Image.fromarray(pixels).convert("L"), "rain")
    assert noisy.mode == "L"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("shape", [(3, 20, 23), (1, 20, 23), (2, 3, 20, 23)])
def test_tensors_keep_type_and_shape(dtype, shape):
    image = torch.full(shape, 0.5, dtype=dtype)
    noisy = degrade(image, RECIPE)
    assert noisy.dtype == dtype and noisy.shape == image.shape
    assert not torch.equal(noisy, image)


def test_the_pictures_of_a_batch_draw_from_seeds_in_a_row():
    batch = degrade(torch.full((3, 3, 8, 8), 0.5), RECIPE, seed=5)
    for index in range(3):
        assert torch.equal(batch[index], degrade(torch.full((3, 8, 8), 0.5), RECIPE, seed=5 + index))
    assert not torch.equal(batch[0], batch[1])


def test_a_path_gives_pil(pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    results = [degrade(given, RECIPE) for given in (tmp_path / "a.png", str(tmp_path / "a.png"), pixels)]
    assert isinstance(results[0], Image.Image)
    assert all(np.array_equal(np.asarray(one), np.asarray(results[2])) for one in results)


def test_a_photo_keeps_what_lies_beside_its_pixels(pixels):
    alpha = pixels[..., 0]
    noisy = degrade(Photo(pixels=pixels, alpha=alpha, xmp=b"packet"), RECIPE)
    assert isinstance(noisy, Photo) and noisy.xmp == b"packet"
    assert np.array_equal(noisy.alpha, alpha) and noisy.pixels.dtype == np.uint8


def test_the_input_is_not_changed(pixels):
    before = pixels.copy()
    degrade(pixels, "rain+raindrop+jpeg")
    assert np.array_equal(pixels, before)


def test_the_seed_and_nothing_else_decides(pixels):
    np.random.seed(1)
    one = degrade(pixels, "rain+gaussian_noise", seed=4)
    np.random.seed(2)
    assert np.array_equal(one, degrade(pixels, "rain+gaussian_noise", seed=4))
    assert not np.array_equal(one, degrade(pixels, "rain+gaussian_noise", seed=5))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"recipe": "fog"}, UnknownNameError, "unknown degradation 'fog'"),
        ({"severity": 2}, InputError, "severity must lie in"),
        ({"seed": -1}, InputError, "seed must not be negative, got -1"),
        ({"seed": 1.5}, InputError, "seed must be a whole number, got 1.5"),
        ({"seed": "1"}, InputError, "seed must be a whole number, got '1'"),
        ({"seed": None}, InputError, "seed must be a whole number, got None"),
        ({"severity": "0.5"}, InputError, r"severity must lie in \[0, 1\], got '0.5'"),
        ({"image": np.zeros((1, 65_501, 3), np.uint8), "recipe": "jpeg"}, ShapeError, "JPEG holds at most 65500"),
        ({"image": "nowhere.png"}, ImageNotFoundError, "nowhere.png: no such file"),
        ({"image": np.zeros((0, 4, 4, 3), np.uint8)}, ShapeError, "a batch of at least one picture"),
        ({"image": np.full((4, 4, 3), 2.0)}, InputError, r"must lie in \[0, 1\]"),
        ({"image": 5}, InputError, "cannot take int as a picture"),
    ],
)
def test_a_wrong_call_is_refused(pixels, arguments, error, message):
    with pytest.raises(error, match=message):
        degrade(**{"image": pixels, "recipe": RECIPE, **arguments})


def test_a_wrong_recipe_is_found_before_the_picture_is_read():
    with pytest.raises(UnknownNameError):
        degrade("nowhere.png", "fog")


def test_colours_under_full_transparency_change_nothing_that_is_seen():
    alpha = np.full((32, 32), 255, np.uint8)
    alpha[8:20, 8:20] = 0
    degraded = []
    for hidden in (0, 255):
        pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        pixels[alpha == 0] = hidden
        photo = degrade(Photo(pixels=pixels, alpha=alpha), "gaussian_blur(sigma=2)")
        assert (photo.pixels[alpha == 0] == hidden).all()
        degraded.append(photo.pixels[alpha > 0])
    np.testing.assert_array_equal(*degraded)


@pytest.mark.parametrize("recipe", ["haze", "rain+jpeg", "low_light+gaussian_noise(sigma_255=8)"])
def test_a_grey_picture_is_the_mean_of_the_three_channels_that_are_degraded(picture, recipe: str) -> None:
    grey = np.ascontiguousarray(picture[..., 0])
    in_colour = degrade(np.repeat(grey[..., None], 3, axis=2), recipe, seed=3)
    assert degrade(grey, recipe, seed=3) == pytest.approx(in_colour.mean(axis=2), abs=1e-6)
    assert np.array_equal(degrade(grey[..., None], recipe, seed=3)[..., 0], degrade(grey, recipe, seed=3))


@pytest.mark.parametrize("recipe", ["rain", "motion_blur", "poisson_noise", "haze+low_light"])
def test_every_depth_is_the_same_picture_rounded(picture, recipe: str) -> None:
    codes = np.rint(picture * 255).astype(np.uint8)
    exact = degrade(codes.astype(np.float64) / 255, recipe, seed=1)
    assert np.array_equal(degrade(codes, recipe, seed=1), np.rint(exact.astype(np.float32) * np.float32(255)))
    deep = degrade(codes.astype(np.uint16) * 257, recipe, seed=1)
    assert np.abs(deep.astype(np.float64) - exact * 65535).max() < 0.51


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (2, 2)])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_the_smallest_pictures_come_back_in_their_size(size: tuple[int, int], mode: str) -> None:
    image = Image.new(mode, size, (128,) * len(mode) if len(mode) > 1 else 128)
    for name in list_degradations():
        degraded = degrade(image, name, severity=1.0)
        assert (degraded.mode, degraded.size) == (mode, size)


def test_views_and_other_orders_of_memory_are_taken(pixels) -> None:
    expected = degrade(pixels[::-1, ::2].copy(), "rain+jpeg")
    assert np.array_equal(degrade(pixels[::-1, ::2], "rain+jpeg"), expected)
    assert np.array_equal(degrade(np.asfortranarray(pixels[::-1, ::2]), "rain+jpeg"), expected)


def test_another_process_makes_the_same_picture_of_every_degradation(pixels) -> None:
    """With another seed of hashes, other threads of OpenCV, and the degradations in another order."""
    names = [*list_degradations(), *(f"{name}_wide" for name in ("haze", "rain", "real_noise", "motion_blur"))]
    code = (
        "import sys, zlib, cv2, numpy as np; from ldrestore.degradations import degrade; cv2.setNumThreads(3);"
        "pixels = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(48, 61, 3);"
        "print(*(zlib.crc32(degrade(pixels, name, seed=7, severity=0.7)) for name in sys.argv[1:]))"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code, *reversed(names)],
        input=pixels.tobytes(),
        env={**os.environ, "PYTHONHASHSEED": "77"},
        capture_output=True,
        timeout=100,
        check=True,
    )
    sums = [zlib.crc32(degrade(pixels, name, seed=7, severity=0.7)) for name in reversed(names)]
    assert [int(word) for word in outcome.stdout.split()] == sums


@pytest.mark.parametrize("name", list_degradations())
def test_the_order_of_calls_changes_nothing(pixels, name: str) -> None:
    small = pixels[:20, :24]
    first = degrade(small, name, seed=2)
    degrade(small, "mid6/snow_noise_blur", seed=5)
    degrade(small, name, seed=3)
    assert np.array_equal(degrade(small, name, seed=2), first)
