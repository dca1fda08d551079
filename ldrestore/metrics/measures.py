"""What opens the metrics that are computed here: each takes options and gives a function of compared pictures."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ldrestore.errors import ScoreError, ShapeError
from ldrestore.metrics.compared_pictures import ComparedPictures
from ldrestore.metrics.dists import Dists
from ldrestore.metrics.lpips import Lpips
from ldrestore.metrics.metric_weights import read_metric_weights
from ldrestore.metrics.ms_ssim import ms_ssim
from ldrestore.metrics.niqe import Pristine, niqe
from ldrestore.metrics.psnr import psnr
from ldrestore.metrics.ssim import ssim

Measure = Callable[[ComparedPictures], float]
"""One picture's value."""

_SCALE = 255.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolboxMeasure:
    """A metric of another package, with what only that package knows of it."""

    function: Measure
    """What computes it."""
    lower_is_better: bool
    """Which way is better."""
    needs_gt: bool = True
    """Whether it looks at the ground truth."""

    def __call__(self, pictures: ComparedPictures) -> float:
        """One picture's value."""
        return self.function(pictures)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricOptions:
    """What opening a metric may need."""

    name: str
    """Of the metric, with its prefix."""
    weights: Mapping[str, Path] = field(default_factory=dict)
    """Name of a metric to a file of weights that is taken in place of the cache's."""
    device: str = "cpu"
    """Where networks compute."""


def open_psnr(options: MetricOptions) -> Measure:
    """PSNR in the protocol's colour; infinite for equal pictures."""
    return lambda pictures: psnr(*pictures.for_distortion(), peak=_SCALE)


def open_ssim(options: MetricOptions) -> Measure:
    """SSIM in the protocol's colour and window."""
    return lambda pictures: ssim(*pictures.for_distortion(), peak=_SCALE, window=pictures.protocol.ssim_window)


def open_ms_ssim(options: MetricOptions) -> Measure:
    """MS-SSIM in the protocol's colour and window."""
    return lambda pictures: ms_ssim(*pictures.for_distortion(), peak=_SCALE, window=pictures.protocol.ssim_window)


def open_lpips(options: MetricOptions) -> Measure:
    """LPIPS of AlexNet.

    Raises:
        WeightsUnavailableError: its weights have not been fetched.
    """
    return _distance(Lpips("alex", read_metric_weights("lpips", options.weights)), options.device)


def open_lpips_vgg(options: MetricOptions) -> Measure:
    """LPIPS of VGG16.

    Raises:
        WeightsUnavailableError: its weights have not been fetched.
    """
    return _distance(Lpips("vgg", read_metric_weights("lpips_vgg", options.weights)), options.device)


def open_dists(options: MetricOptions) -> Measure:
    """DISTS.

    Raises:
        WeightsUnavailableError: its weights have not been fetched.
    """
    return _distance(Dists(read_metric_weights("dists", options.weights)), options.device)


def open_niqe(options: MetricOptions) -> Measure:
    """NIQE of the result.

    Raises:
        WeightsUnavailableError: its parameters have not been fetched.
    """
    parameters = read_metric_weights("niqe", options.weights)
    pristine = Pristine(mean=parameters["mean"].numpy(), covariance=parameters["covariance"].numpy())
    return lambda pictures: niqe(pictures.result, pristine)


def value_of(name: str, measure: Measure, pictures: ComparedPictures) -> float:
    """One picture's value of one metric.

    Other packages refuse pictures, such as small ones, by errors of any kind: here they are of one.

    Args:
        name: Of the metric.
        measure: What computes it.
        pictures: What it looks at.

    Raises:
        ScoreError: the metric refuses the pictures, or gives no number.
    """
    height, width = pictures.result.shape[:2]
    try:
        value = measure(pictures)
    except (ValueError, RuntimeError, AssertionError) as error:
        refusal = "" if isinstance(error, ShapeError) else f"pictures of {width}x{height} are refused: "
        raise ScoreError(f"{name}: {refusal}{error}") from error
    if math.isnan(value):
        raise ScoreError(f"{name}: is not a number for pictures of {width}x{height}; leave the picture out of its mean")
    return value


def as_tensor(picture: np.ndarray, device: str = "cpu") -> Tensor:
    """(H, W, 3) on a scale of 255 to (1, 3, H, W) float32 in [0, 1]."""
    values = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], dtype=np.float32)
    return torch.from_numpy(values).to(device) / _SCALE


def _distance(network: nn.Module, device: str) -> Measure:
    """A network's distance as a measure."""
    network = network.to(device)

    @torch.inference_mode()
    def measure(pictures: ComparedPictures) -> float:
        return network(as_tensor(pictures.result, device), as_tensor(pictures.gt, device)).item()

    return measure
