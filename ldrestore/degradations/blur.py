"""Blurs: camera motion and defocus in linear light, Gaussian on the code values."""

import cv2
import numpy as np

from ldrestore.degradations.transfer import clipped, to_encoded, to_linear


def motion_blur_parameters(severity: float) -> dict[str, float]:
    """Path length from 1 to 23 pixels."""
    return {"length": 1.0 + 22.0 * severity}


def motion_blur(image: np.ndarray, *, length: float, generator: np.random.Generator) -> np.ndarray:
    """Blur along a bent path of random direction, in linear light.

    The path stands for camera shake during one exposure, as the random trajectories of Kupyn et al. 2018, DeblurGAN
    (https://arxiv.org/abs/1711.07064), here a parabola.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        length: Length of the path in pixels, at least 1.
        generator: Source of direction and bend.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    kernel = motion_kernel(length, angle=generator.uniform(0, np.pi), bend=generator.normal(0, 0.35))
    return _filtered(image, kernel)


def motion_kernel(length: float, *, angle: float, bend: float) -> np.ndarray:
    """Weights of a path: at time t in [-1/2, 1/2] it is at t along the angle and bend (1/12 - t^2) * 2 across it.

    Args:
        length: Unit of both, in pixels.
        angle: Direction in radians.
        bend: How strongly the path is bent; 0 is a straight line.

    Returns:
        (K, K) float32 with K odd, non-negative, sum 1.
    """
    time = np.linspace(-0.5, 0.5, max(64, int(8 * length)))
    along, across = time * length, 2.0 * bend * (1 / 12 - time**2) * length
    x = along * np.cos(angle) - across * np.sin(angle)
    y = along * np.sin(angle) + across * np.cos(angle)
    return path_kernel(x, y)


def path_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weights of a path through these points, each spread over the four pixels around it.

    Args:
        x: (N,) columns from the centre, in pixels.
        y: (N,) rows from the centre.

    Returns:
        (K, K) float32 with K odd, non-negative, sum 1.
    """
    radius = int(np.ceil(max(np.abs(x).max(), np.abs(y).max()))) + 1
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right_share, bottom_share = x - left, y - top
    for row in (0, 1):
        for column in (0, 1):
            weight = np.abs(1 - row - bottom_share) * np.abs(1 - column - right_share)
            np.add.at(kernel, (top + row + radius, left + column + radius), weight)
    return (kernel / kernel.sum()).astype(np.float32)


def defocus_blur_parameters(severity: float) -> dict[str, float]:
    """Radius of the disc from 0.3 to 7.3 pixels."""
    return {"radius": 0.3 + 7.0 * severity}


def defocus_blur(image: np.ndarray, *, radius: float, generator: np.random.Generator) -> np.ndarray:
    """Blur with the disc of an open aperture, in linear light: the circle of confusion of geometrical optics.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        radius: Radius of the disc in pixels, at least 0; varied by up to 10 %.
        generator: Source of the variation.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    return _filtered(image, disc_kernel(radius * generator.uniform(0.9, 1.1)))


def disc_kernel(radius: float) -> np.ndarray:
    """A disc with a soft edge one pixel wide: (K, K) float32 with K odd, sum 1."""
    reach = int(np.ceil(radius)) + 1
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(rows, columns), 0.0, 1.0)
    return (kernel / kernel.sum()).astype(np.float32)


def gaussian_blur_parameters(severity: float) -> dict[str, float]:
    """Standard deviation from 0.2 to 4 pixels."""
    return {"sigma": 0.2 + 3.8 * severity}


def gaussian_blur(image: np.ndarray, *, sigma: float, generator: np.random.Generator) -> np.ndarray:
    """Blur with a slightly anisotropic Gaussian on the code values, a soft lens.

    As Wang et al. 2021, Real-ESRGAN, model it (https://arxiv.org/abs/2107.10833).

    Args:
        image: (H, W, 3) float32 in [0, 1].
        sigma: Standard deviation in pixels, above 0; each axis varies by up to 15 %.
        generator: Source of the variation.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    along, across = sigma * generator.uniform(0.85, 1.15), sigma * generator.uniform(0.85, 1.15)
    blurred = cv2.GaussianBlur(image, (0, 0), sigmaX=along, sigmaY=across, borderType=cv2.BORDER_REFLECT_101)
    return clipped(blurred)


def _filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Correlation with a kernel in linear light, borders reflected."""
    return to_encoded(cv2.filter2D(to_linear(image), -1, kernel, borderType=cv2.BORDER_REFLECT_101))
