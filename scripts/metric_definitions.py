"""Definitions of PSNR, SSIM, VIF and NIQE in other packages: called where installed, else written out.

Each takes a result and its ground truth, (H, W, 3) uint8 RGB. What is written out follows the published description
that it names; no line is taken from anyone's code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from ldrestore.metrics.luma import LumaRange, luma_of
from ldrestore.metrics.measures import as_tensor
from ldrestore.metrics.metric_weights import read_metric_weights
from ldrestore.metrics.niqe import Pristine, niqe
from ldrestore.metrics.psnr import psnr
from ldrestore.metrics.ssim import C1, C2, WANG, ssim

PEAK = 255.0
WRITTEN_OUT = "written out"
"""Stands for a version where the package itself is not run."""
Compute = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One way to compute a metric."""

    metric: str
    """PSNR, SSIM, VIF or NIQE."""
    owner: str
    """Whose it is."""
    call: str
    """How it is called there."""
    what: str
    """What that comes to."""
    package: str | None
    """What is imported and run; None where the definition is written out here."""
    compute: Compute
    """Of a result and its ground truth."""
    border: int = 0
    """Pixels at each side that it leaves out by itself."""


def by_luma(compute: Compute, luma_range: LumaRange, *, is_rounded: bool = False) -> Compute:
    """The same of luma."""

    def computed(result: np.ndarray, gt: np.ndarray) -> float:
        lumas = [luma_of(one, luma_range) for one in (result, gt)]
        return compute(*(np.rint(luma) if is_rounded else luma for luma in lumas))

    return computed


def inside(compute: Compute, border: int) -> Compute:
    """The same without as many pixels at each side."""
    part = slice(border, -border)
    return lambda result, gt: compute(result[part, part], gt[part, part])


def matlab_ssim(result: np.ndarray, gt: np.ndarray) -> float:
    """SSIM as MATLAB documents `ssim`: Gaussian of radius 1.5 in every dimension, edges repeated, mean over all places.

    An (H, W, 3) array is a volume to it, so that the window reaches over the colours; (H, W, 1) is a plane.
    """
    x, y = result.astype(np.float64) / PEAK, gt.astype(np.float64) / PEAK
    mean_x, mean_y = _smooth(x), _smooth(y)
    var_x = _smooth(x * x) - mean_x**2
    var_y = _smooth(y * y) - mean_y**2
    cov = _smooth(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return float((luminance * (2 * cov + C2) / (var_x + var_y + C2)).mean())


def _smooth(volume: np.ndarray) -> np.ndarray:
    """(H, W, C), weighted by a Gaussian of 11 along each axis with edges repeated."""
    weights = WANG.weights()
    planes = cv2.sepFilter2D(volume, cv2.CV_64F, weights, weights, borderType=cv2.BORDER_REPLICATE)
    planes = planes.reshape(volume.shape)
    channels, radius = volume.shape[2], len(weights) // 2
    mixing = np.zeros((channels, channels))
    for channel in range(channels):
        for tap, weight in enumerate(weights):
            mixing[channel, np.clip(channel + tap - radius, 0, channels - 1)] += weight
    return planes @ mixing.T


def opencv_full_luma_psnr(result: np.ndarray, gt: np.ndarray) -> float:
    """PSNR of OpenCV's 8-bit grey pictures."""
    return float(cv2.PSNR(cv2.cvtColor(result, cv2.COLOR_RGB2GRAY), cv2.cvtColor(gt, cv2.COLOR_RGB2GRAY)))


def range_of_gt_psnr(result: np.ndarray, gt: np.ndarray) -> float:
    """PSNR with the ground truth's largest less its smallest value in place of 255."""
    return psnr(result, gt, peak=float(gt.max()) - float(gt.min()))


def skimage_psnr(result: np.ndarray, gt: np.ndarray) -> float:
    """scikit-image's PSNR."""
    from skimage.metrics import peak_signal_noise_ratio

    return float(peak_signal_noise_ratio(gt, result))


def skimage_ssim(**options: Any) -> Compute:
    """scikit-image's SSIM with some options."""

    def computed(result: np.ndarray, gt: np.ndarray) -> float:
        from skimage.metrics import structural_similarity

        return float(structural_similarity(gt, result, channel_axis=2, **options))

    return computed


def torchmetrics_function(name: str, *, scale: float = 1.0, **options: Any) -> Compute:
    """A function of torchmetrics, on tensors in [0, scale]."""

    def computed(result: np.ndarray, gt: np.ndarray) -> float:
        import torchmetrics.functional.image as functions

        return float(getattr(functions, name)(scale * as_tensor(result), scale * as_tensor(gt), **options))

    return computed


def piq_function(name: str, **options: Any) -> Compute:
    """A function of piq, on tensors in [0, 1]."""

    def computed(result: np.ndarray, gt: np.ndarray) -> float:
        import piq

        return float(getattr(piq, name)(as_tensor(result), as_tensor(gt), data_range=1.0, **options))

    return computed


def pyiqa_metric(name: str) -> Compute:
    """A metric of pyiqa as `create_metric(name)` makes it."""
    return lambda result, gt: float(_pyiqa(name)(as_tensor(result), as_tensor(gt)))


@lru_cache(maxsize=8)
def _pyiqa(name: str) -> Any:
    """A metric of pyiqa, opened once."""
    import pyiqa

    return pyiqa.create_metric(name, device="cpu")


def pyiqa_niqe(result: np.ndarray, gt: np.ndarray) -> float:
    """Pyiqa's NIQE, given the published parameters that ours takes too, so that nothing is downloaded."""
    import pyiqa
    from scipy.io import savemat

    pristine = _pristine()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "pristine.mat"
        savemat(path, {"mu_prisparam": pristine.mean[None], "cov_prisparam": pristine.covariance})
        metric = pyiqa.create_metric("niqe", device="cpu", pretrained_model_path=str(path))
        return float(metric(as_tensor(result)))


def niqe_of_limited_luma(result: np.ndarray, gt: np.ndarray) -> float:
    """NIQE of luma in limited range, rounded."""
    grey = np.rint(luma_of(result, "limited"))
    return niqe(np.repeat(grey, 3, axis=2), _pristine())


def niqe_of_grey(result: np.ndarray, gt: np.ndarray) -> float:
    """NIQE of the grey picture that its authors' code takes."""
    return niqe(result, _pristine())


@lru_cache(maxsize=1)
def _pristine() -> Pristine:
    """The published parameters.

    Raises:
        WeightsUnavailableError: they have not been fetched.
    """
    parameters = read_metric_weights("niqe")
    return Pristine(mean=parameters["mean"].numpy(), covariance=parameters["covariance"].numpy())


def _rows(metric: str, *rows: tuple[str, str, str, str | None, Compute]) -> list[Definition]:
    """Definitions of one metric: owner, call, what, package, compute."""
    return [
        Definition(
            metric=metric,
            owner=owner,
            call=call,
            what=what,
            package=package,
            compute=compute,
            border=4 if "crop_border=4" in call else 0,
        )
        for owner, call, what, package, compute in rows
    ]


DEFINITIONS = [
    *_rows(
        "PSNR",
        ("scikit-image", "peak_signal_noise_ratio", "RGB, range of the type: 255", "scikit-image", skimage_psnr),
        (
            "torchmetrics",
            "peak_signal_noise_ratio(data_range=1.0)",
            "RGB",
            "torchmetrics",
            torchmetrics_function("peak_signal_noise_ratio", data_range=1.0),
        ),
        (
            "torchmetrics, older versions",
            "peak_signal_noise_ratio without data_range",
            "RGB, in place of 255 the ground truth’s own range; of this picture that is 255 too",
            None,
            range_of_gt_psnr,
        ),
        ("piq", "psnr", "RGB", "piq", piq_function("psnr")),
        (
            "piq",
            "psnr(convert_to_greyscale=True)",
            "luma, full range",
            "piq",
            piq_function("psnr", convert_to_greyscale=True),
        ),
        ("pyiqa", "psnr", "RGB", "pyiqa", pyiqa_metric("psnr")),
        ("pyiqa", "psnry", "luma, full range", "pyiqa", pyiqa_metric("psnry")),
        ("OpenCV", "PSNR", "RGB", "opencv-python-headless", lambda result, gt: float(cv2.PSNR(result, gt))),
        (
            "OpenCV",
            "PSNR of COLOR_RGB2GRAY",
            "luma, full range, rounded",
            "opencv-python-headless",
            opencv_full_luma_psnr,
        ),
        ("BasicSR", "calculate_psnr(crop_border=0)", "RGB", None, psnr),
        (
            "BasicSR",
            "calculate_psnr(crop_border=0, test_y_channel=True)",
            "luma, limited range",
            None,
            by_luma(psnr, "limited"),
        ),
        (
            "BasicSR",
            "calculate_psnr(crop_border=4, test_y_channel=True)",
            "the same without 4 pixels at each side",
            None,
            inside(by_luma(psnr, "limited"), 4),
        ),
        ("MATLAB", "psnr(A, ref)", "RGB", None, psnr),
        (
            "MATLAB",
            "psnr of rgb2ycbcr(A)(:, :, 1)",
            "luma, limited range, rounded to 8 bits",
            None,
            by_luma(psnr, "limited", is_rounded=True),
        ),
    ),
    *_rows(
        "SSIM",
        (
            "scikit-image",
            "structural_similarity(channel_axis=2)",
            "RGB, 7 × 7 equal weights, variances of a sample",
            "scikit-image",
            skimage_ssim(),
        ),
        (
            "scikit-image",
            "structural_similarity(.., gaussian_weights=True)",
            "RGB, Gaussian, variances of a sample",
            "scikit-image",
            skimage_ssim(gaussian_weights=True),
        ),
        (
            "scikit-image",
            "structural_similarity(.., gaussian_weights=True, use_sample_covariance=False)",
            "RGB, Gaussian 11, σ 1.5",
            "scikit-image",
            skimage_ssim(gaussian_weights=True, use_sample_covariance=False),
        ),
        (
            "torchmetrics",
            "structural_similarity_index_measure(data_range=1.0)",
            "RGB, Gaussian 11, σ 1.5; edges mirrored, all places count",
            "torchmetrics",
            torchmetrics_function("structural_similarity_index_measure", data_range=1.0),
        ),
        ("piq", "ssim", "RGB, Gaussian, of the picture averaged down to about 256 pixels", "piq", piq_function("ssim")),
        (
            "piq",
            "ssim(downsample=False)",
            "RGB, Gaussian 11, σ 1.5",
            "piq",
            piq_function("ssim", downsample=False),
        ),
        ("pyiqa", "ssim", "luma, full range, rounded; Gaussian", "pyiqa", pyiqa_metric("ssim")),
        ("pyiqa", "ssimc", "RGB, Gaussian 11, σ 1.5", "pyiqa", pyiqa_metric("ssimc")),
        ("BasicSR", "calculate_ssim(crop_border=0)", "RGB, Gaussian 11, σ 1.5", None, ssim),
        (
            "BasicSR",
            "calculate_ssim(crop_border=0, test_y_channel=True)",
            "luma, limited range, Gaussian",
            None,
            by_luma(ssim, "limited"),
        ),
        (
            "MATLAB",
            "ssim of rgb2ycbcr(A)(:, :, 1)",
            "luma, limited range, rounded; Gaussian, edges repeated",
            None,
            by_luma(matlab_ssim, "limited", is_rounded=True),
        ),
        (
            "MATLAB",
            "ssim(A, ref) of RGB",
            "a volume: the window reaches over the colours; edges repeated",
            None,
            matlab_ssim,
        ),
    ),
    *_rows(
        "VIF",
        ("piq", "vif_p", "pixel domain, luma in full range", "piq", piq_function("vif_p")),
        (
            "torchmetrics",
            "visual_information_fidelity of [0, 255]",
            "pixel domain, mean over R, G and B",
            "torchmetrics",
            torchmetrics_function("visual_information_fidelity", scale=PEAK),
        ),
        (
            "torchmetrics",
            "visual_information_fidelity of [0, 1]",
            "the same; its noise of variance 2 then drowns both pictures",
            "torchmetrics",
            torchmetrics_function("visual_information_fidelity"),
        ),
        ("pyiqa", "vif", "steerable pyramid, as in the paper", "pyiqa", pyiqa_metric("vif")),
    ),
    *_rows(
        "NIQE",
        ("the authors’ MATLAB code", "computequality", "grey of rgb2gray, rounded", None, niqe_of_grey),
        ("pyiqa", "niqe", "luma in full range, rounded", "pyiqa", pyiqa_niqe),
        ("BasicSR", "calculate_niqe(crop_border=0)", "luma in limited range, rounded", None, niqe_of_limited_luma),
    ),
]
"""In the order of the page."""
