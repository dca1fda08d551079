import cv2
import numpy as np
import pytest

from ldrestore.degradations.blur import defocus_blur, disc_kernel, gaussian_blur, motion_blur, motion_kernel
from ldrestore.degradations.transfer import to_linear


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.mark.parametrize("length", [1.0, 4.5, 23.0, 60.0])
@pytest.mark.parametrize("angle", [0.0, 0.6, 2.9])
def test_motion_kernel_sums_to_one(length, angle):
    kernel = motion_kernel(length, angle=angle, bend=0.3)
    assert kernel.shape[0] == kernel.shape[1] and kernel.shape[0] % 2 == 1
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1.0, abs=1e-5)


def test_a_straight_horizontal_path_is_a_row_of_its_length():
    kernel = motion_kernel(9.0, angle=0.0, bend=0.0)
    centre = kernel.shape[0] // 2
    assert kernel[centre].sum() == pytest.approx(1.0, abs=1e-5)
    assert kernel[centre, centre - 3 : centre + 4] == pytest.approx(1 / 9, rel=0.15)
    assert np.count_nonzero(kernel[centre] > 1e-3) in (9, 10, 11)


def test_motion_kernel_is_centred():
    kernel = motion_kernel(21.0, angle=0.7, bend=0.4)
    offsets = np.arange(kernel.shape[0]) - kernel.shape[0] // 2
    assert abs((kernel.sum(axis=0) * offsets).sum()) < 0.2
    assert abs((kernel.sum(axis=1) * offsets).sum()) < 0.2


@pytest.mark.parametrize("radius", [0.0, 0.3, 1.0, 4.2, 11.0])
def test_disc_kernel_is_round_and_sums_to_one(radius):
    kernel = disc_kernel(radius)
    assert kernel.sum() == pytest.approx(1.0, abs=1e-5)
    assert np.allclose(kernel, kernel.T) and np.allclose(kernel, kernel[::-1]) and np.allclose(kernel, kernel[:, ::-1])


def test_disc_kernel_has_the_area_of_its_radius():
    kernel = disc_kernel(6.0)
    assert 1 / kernel.max() == pytest.approx(np.pi * 6.0**2, rel=0.05)


def test_blurs_of_no_extent_change_nothing(picture, generator):
    assert np.abs(defocus_blur(picture, radius=0.0, generator=generator) - picture).max() < 1e-5


@pytest.mark.parametrize("blur", [(motion_blur, {"length": 12.0}), (defocus_blur, {"radius": 4.0})])
def test_lens_blurs_keep_the_linear_light_of_a_point(generator, blur):
    image = np.zeros((65, 65, 3), np.float32)
    image[32, 32] = 1.0
    function, parameters = blur
    spread = to_linear(function(image, **parameters, generator=generator))
    assert spread.sum(axis=(0, 1)) == pytest.approx(1.0, rel=0.01)
    assert spread.max() < 0.2


@pytest.mark.parametrize(
    "blur", [(motion_blur, {"length": 12.0}), (defocus_blur, {"radius": 4.0}), (gaussian_blur, {"sigma": 2.0})]
)
def test_a_picture_of_one_value_stays(grey, generator, blur):
    function, parameters = blur
    assert np.abs(function(grey(0.37), **parameters, generator=generator) - 0.37).max() < 1e-4


def test_gaussian_blur_spreads_a_point_by_its_sigma(generator):
    image = np.zeros((65, 65, 3), np.float32)
    image[32, 32] = 1.0
    profile = gaussian_blur(image, sigma=3.0, generator=generator)[..., 0].sum(axis=0)
    deviation = np.sqrt((profile * (np.arange(65) - 32) ** 2).sum() / profile.sum())
    assert 3.0 * 0.8 < deviation < 3.0 * 1.2


def test_the_blur_is_the_kernel_applied_in_linear_light(picture):
    same_draws = np.random.default_rng(4)
    kernel = motion_kernel(9.0, angle=same_draws.uniform(0, np.pi), bend=same_draws.normal(0, 0.35))
    blurred = motion_blur(picture, length=9.0, generator=np.random.default_rng(4))
    expected = cv2.filter2D(to_linear(picture), -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    assert np.abs(to_linear(blurred) - expected).max() < 1e-4
