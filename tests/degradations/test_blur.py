import cv2
import numpy as np
import pytest

from ldrestore.degradations.blur import (
    defocus_blur,
    defocus_blur_parameters,
    disc_kernel,
    gaussian_blur,
    motion_blur,
    motion_blur_parameters,
    motion_kernel,
    path_kernel,
)
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


def test_each_point_of_a_path_is_shared_by_the_four_pixels_around_it() -> None:
    kernel = path_kernel(np.array([0.25]), np.array([-0.5]))
    centre = kernel.shape[0] // 2
    expected = {(0, 0): 0.375, (0, 1): 0.125, (-1, 0): 0.375, (-1, 1): 0.125}
    for (row, column), weight in expected.items():
        assert kernel[centre + row, centre + column] == pytest.approx(weight)
    assert np.count_nonzero(kernel) == 4


def test_the_centre_of_a_kernel_is_the_mean_of_its_path() -> None:
    generator = np.random.default_rng(3)
    x, y = generator.normal(0, 4, 50), generator.normal(1, 3, 50)
    kernel = path_kernel(x, y)
    offsets = np.arange(kernel.shape[0]) - kernel.shape[0] // 2
    assert (kernel.sum(axis=0) * offsets).sum() == pytest.approx(x.mean(), abs=1e-4)
    assert (kernel.sum(axis=1) * offsets).sum() == pytest.approx(y.mean(), abs=1e-4)


def test_a_bent_path_bows_across_its_direction() -> None:
    """A parabola of mean 0: bend length / 6 before the straight line in its middle, behind it at its ends."""
    kernel = motion_kernel(40.0, angle=0.0, bend=0.5)
    centre = kernel.shape[0] // 2
    rows = (kernel * (np.arange(kernel.shape[0]) - centre)[:, None]).sum(axis=0) / np.maximum(kernel.sum(axis=0), 1e-9)
    assert rows[centre] == pytest.approx(0.5 * 40 / 6, abs=0.3)
    assert rows[centre - 19] == pytest.approx(0.5 * 40 / 6 - 2 * 0.5 * 19**2 / 40, abs=0.3)


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.2, 2.6])
def test_a_straight_path_spreads_along_its_angle_alone(angle: float) -> None:
    """Variance length^2 / 12 along it, that of the sharing across."""
    kernel = motion_kernel(24.0, angle=angle, bend=0.0)
    rows, columns = np.mgrid[: kernel.shape[0], : kernel.shape[1]] - kernel.shape[0] // 2
    along = columns * np.cos(angle) + rows * np.sin(angle)
    across = rows * np.cos(angle) - columns * np.sin(angle)
    assert (kernel * along**2).sum() == pytest.approx(24.0**2 / 12, rel=0.05)
    assert (kernel * across**2).sum() < 0.5


@pytest.mark.parametrize("severity", [0.0, 0.5, 1.0])
def test_the_mean_light_of_a_picture_in_a_black_frame_stays(picture, severity: float) -> None:
    framed = np.pad(picture, ((40, 40), (40, 40), (0, 0)))
    for blur, parameters in ((motion_blur, motion_blur_parameters), (defocus_blur, defocus_blur_parameters)):
        blurred = blur(framed, **parameters(severity), generator=np.random.default_rng(2))
        assert to_linear(blurred).sum(axis=(0, 1)) == pytest.approx(to_linear(framed).sum(axis=(0, 1)), rel=2e-3)


def test_a_larger_disc_leaves_less_contrast(picture, generator) -> None:
    deviations = [defocus_blur(picture, radius=radius, generator=np.random.default_rng(0)).std() for radius in range(7)]
    assert deviations == sorted(deviations, reverse=True)
