"""Pictures taken under water."""

import cv2
import numpy as np

from ldrestore.degradations.transfer import to_encoded, to_linear
from ldrestore.degradations.weather import depth_proxy

WATERS = {
    "I": ((0.235, 0.043, 0.018), 0.03),
    "II": ((0.26, 0.076, 0.062), 0.07),
    "III": ((0.295, 0.116, 0.116), 0.12),
    "1C": ((0.30, 0.13, 0.17), 0.15),
    "3C": ((0.33, 0.20, 0.29), 0.22),
    "5C": ((0.40, 0.31, 0.43), 0.30),
}
"""Jerlov's water types, from the clear ocean to the coast: diffuse attenuation a metre at 600, 525 and 475 nm (Jerlov
1976, Marine Optics, Table XXVII), and scattering a metre, ours, taken as equal for all wavelengths."""


def underwater_parameters(severity: float) -> dict[str, float]:
    """The scene moves away, up to 4.5 m, and down, up to 6 m."""
    return {"distance": 4.5 * severity, "depth": 6.0 * severity}


def underwater(image: np.ndarray, *, distance: float, depth: float, generator: np.random.Generator) -> np.ndarray:
    """Sea between camera and scene, and between scene and surface, in linear light.

    The revised model of Akkaynak and Treibitz 2018, A Revised Underwater Image Formation Model (CVPR),

        I_c = J_c exp(-beta_c^D z) + B_c (1 - exp(-beta_c^B z)),

    with the light at depth d in place of white light, exp(-K_c d); the veiling light B_c is what the water scatters of
    it, b / beta_c^B. Forward scattering blurs, as in McGlamery 1980 and Jaffe 1990. The camera exposes for the
    brightest channel. The water is one of `WATERS`, the distance z a stand-in as in haze.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        distance: Mean distance of the scene in metres, at least 0.
        depth: Metres below the surface, at least 0.
        generator: Source of water, distances and exposure.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    height, width = image.shape[:2]
    diffuse, scattering = WATERS[list(WATERS)[generator.integers(len(WATERS))]]
    attenuation = np.array(diffuse, np.float32) + np.float32(scattering)  # beta^D
    backscatter = np.array(diffuse, np.float32) + np.float32(0.6 * scattering)  # beta^B: some of it comes back in
    away = (distance * depth_proxy(height, width, generator=generator))[..., None]  # z, in metres
    above = np.array(diffuse, np.float32) * np.float32(depth)  # K_c d
    daylight = np.exp(max(above.min() - 80, 0) - above)  # exp(-80) is about the least that float32 holds in full
    daylight /= daylight.max()
    veil = scattering / backscatter * daylight
    veil *= generator.uniform(0.3, 0.55) / veil.max()
    direct = _scattered_forward(to_linear(image), sigma=0.5 * scattering * distance) * daylight
    return to_encoded(direct * np.exp(-attenuation * away) + veil * (1 - np.exp(-backscatter * away)))


def _scattered_forward(light: np.ndarray, *, sigma: float) -> np.ndarray:
    """Blur by light that reaches the camera after small deflections; sigma in pixels."""
    if sigma < 0.05:  # a point
        return light
    return cv2.GaussianBlur(light, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
