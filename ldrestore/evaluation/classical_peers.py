"""Classical restorers that models are held against, on (H, W, 3) uint8 RGB pictures.

`CBM3D` needs the extra `peers`; the licence of its package bm3d allows non-commercial use alone. The others are
OpenCV's, or written here from the papers.
"""

import cv2
import numpy as np

from ldrestore.errors import MissingExtraError

NLM_STRENGTH = 0.6
"""Filter strength h of non-local means in multiples of sigma: the best in steps of 0.1 on three pictures of
scikit-image, at sigma 15 and 25, and 0.03 dB below the best at 50."""


def non_local_means(lq: np.ndarray, *, sigma_255: float) -> np.ndarray:
    """Non-local means (Buades et al. 2011, https://doi.org/10.5201/ipol.2011.bcm_nlm) by OpenCV, told sigma.

    Args:
        lq: Noisy picture.
        sigma_255: Standard deviation of its noise in 8-bit units.
    """
    strength = NLM_STRENGTH * sigma_255
    bgr = np.ascontiguousarray(lq[..., ::-1])
    restored = cv2.fastNlMeansDenoisingColored(bgr, None, strength, strength, 7, 21)
    return np.ascontiguousarray(restored[..., ::-1])


def cbm3d(lq: np.ndarray, *, sigma_255: float) -> np.ndarray:
    """CBM3D (Dabov et al. 2007, https://doi.org/10.1109/ICIP.2007.4378954) by its authors' package, told sigma.

    Args:
        lq: Noisy picture.
        sigma_255: Standard deviation of its noise in 8-bit units.

    Raises:
        MissingExtraError: bm3d is not installed.
    """
    try:
        import bm3d
    except ImportError as error:
        raise MissingExtraError("bm3d", "peers", "for CBM3D (non-commercial use alone)") from error
    return _to_uint8(bm3d.bm3d_rgb(lq.astype(np.float64) / 255, sigma_255 / 255))


def dehaze_by_dark_channel(
    lq: np.ndarray, *, patch: int = 15, omega: float = 0.95, t0: float = 0.1, radius: int = 60, eps: float = 1e-3
) -> np.ndarray:
    """Dark channel prior, He et al. 2009 (https://doi.org/10.1109/CVPR.2009.5206515), refined by the guided filter.

    Args:
        lq: Hazy picture I.
        patch: Side of the patch Omega in pixels.
        omega: Share of the haze to remove, Eq. 12.
        t0: Lower bound of the transmission, Eq. 16.
        radius: Of the guided filter's windows, in pixels.
        eps: Of the guided filter, for a guide in [0, 1].
    """
    I = lq.astype(np.float32) / 255  # noqa: E741  # the paper's symbol
    A = atmospheric_light(I, dark_channel(I, patch=patch))
    t = 1 - omega * dark_channel(I / A, patch=patch)  # (H, W)
    t = guided_filter(cv2.cvtColor(I, cv2.COLOR_RGB2GRAY), t, radius=radius, eps=eps)
    return _to_uint8((I - A) / np.maximum(t, t0)[..., None] + A)


def dark_channel(image: np.ndarray, *, patch: int) -> np.ndarray:
    """Minimum over the channels and a square patch, Eq. 5 of He et al. 2009: (H, W, 3) float32 to (H, W)."""
    return cv2.erode(image.min(axis=2), np.ones((patch, patch), np.uint8))


def atmospheric_light(image: np.ndarray, dark: np.ndarray) -> np.ndarray:
    """The brightest pixel among the 0.1 % that are most hazy by their dark channel, He et al. 2009, Section 4.4.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        dark: (H, W), its dark channel.

    Returns:
        (3,), A; at least one code value, since pictures are divided by it.
    """
    num_pixels = max(1, dark.size // 1000)
    hazy = image.reshape(-1, 3)[np.argsort(dark, axis=None)[-num_pixels:]]  # (N, 3)
    return np.maximum(hazy[hazy.sum(axis=1).argmax()], 1 / 255)


def guided_filter(guide: np.ndarray, source: np.ndarray, *, radius: int, eps: float) -> np.ndarray:
    """Guided filter with a grey guide, Algorithm 1 of He et al. 2013 (https://doi.org/10.1109/TPAMI.2012.213).

    Args:
        guide: (H, W) float32, I.
        source: (H, W) float32, p.
        radius: r, in pixels.
        eps: Regularises a; larger is smoother.

    Returns:
        (H, W) float32, q.
    """

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)

    mean_i, mean_p = mean(guide), mean(source)
    variance = mean(guide * guide) - mean_i * mean_i
    covariance = mean(guide * source) - mean_i * mean_p
    a = covariance / (variance + eps)
    b = mean_p - a * mean_i
    return mean(a) * guide + mean(b)


def equalise_locally(lq: np.ndarray, *, clip_limit: float = 8.0, tiles: int = 8) -> np.ndarray:
    """CLAHE (Zuiderveld 1994) on the lightness of CIELAB.

    Args:
        lq: Dark picture.
        clip_limit: Highest bin of a tile's histogram, in multiples of the mean bin; of 1, 2, 3, 4, 8 and 40 the
            default restores three darkened pictures of scikit-image best.
        tiles: Number of tiles a side.
    """
    lab = cv2.cvtColor(lq, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(clip_limit, (tiles, tiles)).apply(np.ascontiguousarray(lab[..., 0]))
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)


def equalise_globally(lq: np.ndarray) -> np.ndarray:
    """Histogram equalisation of the luma of YCrCb."""
    luma = cv2.cvtColor(lq, cv2.COLOR_RGB2YCrCb)
    luma[..., 0] = cv2.equalizeHist(np.ascontiguousarray(luma[..., 0]))
    return cv2.cvtColor(luma, cv2.COLOR_YCrCb2RGB)


def _to_uint8(values: np.ndarray) -> np.ndarray:
    """Values in [0, 1], clipped and rounded to 8 bits."""
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
