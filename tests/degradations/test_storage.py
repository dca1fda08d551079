import io

import cv2
import numpy as np
import pytest
from PIL import Image

from ldrestore.degradations.storage import KERNELS, downscale, jpeg, jpeg_parameters
from ldrestore.errors import ShapeError


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def test_jpeg_is_what_pillow_writes_and_reads(picture, generator):
    file = io.BytesIO()
    code_values = np.rint(picture * 255).astype(np.uint8)
    Image.fromarray(code_values).save(file, "JPEG", quality=30, subsampling="4:2:0")
    with Image.open(file) as image:
        expected = np.asarray(image)
    assert np.array_equal(np.rint(jpeg(picture, quality=30, generator=generator) * 255), expected)


def test_jpeg_draws_nothing(picture, generator):
    state = generator.bit_generator.state
    jpeg(picture, quality=30, generator=generator)
    assert generator.bit_generator.state == state


def test_jpeg_quality_runs_from_95_through_20():
    qualities = [jpeg_parameters(severity)["quality"] for severity in (0, 0.5, 1)]
    assert qualities == pytest.approx([95, 20, 6])


@pytest.mark.parametrize("kernel", KERNELS)
def test_each_kernel_keeps_size_and_loses_detail(picture, generator, kernel):
    small = downscale(picture, factor=3.0, kernel=kernel, generator=generator)
    assert small.shape == picture.shape
    assert np.abs(np.diff(small, axis=1)).mean() < np.abs(np.diff(picture, axis=1)).mean()


@pytest.mark.parametrize("kernel", KERNELS)
def test_factor_one_changes_nothing(picture, generator, kernel):
    assert np.abs(downscale(picture, factor=1.0, kernel=kernel, generator=generator) - picture).max() < 1e-5


def test_area_averages_blocks(picture, generator):
    even = picture[:, :60]
    blocks = even.reshape(24, 2, 30, 2, 3).mean(axis=(1, 3))
    expected = np.clip(cv2.resize(blocks, (60, 48), interpolation=cv2.INTER_CUBIC), 0, 1)
    assert np.abs(downscale(even, factor=2.0, kernel="area", generator=generator) - expected).max() < 1e-5


def test_random_is_one_of_the_named_kernels(picture):
    named = [downscale(picture, factor=2.0, kernel=kernel, generator=np.random.default_rng(0)) for kernel in KERNELS]
    found = set()
    for seed in range(20):
        drawn = downscale(picture, factor=2.0, kernel="random", generator=np.random.default_rng(seed))
        found.add(next(index for index, one in enumerate(named) if np.array_equal(one, drawn)))
    assert len(found) >= 3


def test_a_factor_beyond_the_size_leaves_one_value(picture, generator):
    flat = downscale(picture, factor=64.0, kernel="area", generator=generator)
    assert np.ptp(flat, axis=(0, 1)).max() < 1e-5


@pytest.mark.parametrize("shape", [(1, 65_501, 3), (65_501, 1, 3)])
def test_what_is_too_long_for_jpeg_is_refused_before_the_codec_says_nothing_of_use(generator, shape) -> None:
    with pytest.raises(
        ShapeError, match=r"JPEG holds at most 65500 pixels a side, got .*; degrade parts of the picture"
    ):
        jpeg(np.zeros(shape, np.float32), quality=50, generator=generator)


@pytest.mark.parametrize("shape", [(1, 65_500, 3), (1, 1, 3), (9, 17, 3)])
def test_every_size_that_jpeg_holds_comes_back_in_its_size(generator, shape) -> None:
    assert jpeg(np.full(shape, 0.5, np.float32), quality=50, generator=generator).shape == shape
