"""Metrics of the package pyiqa (https://github.com/chaofengc/IQA-PyTorch), as `iqa:NAME`.

pyiqa is under the PolyForm Noncommercial licence: it is called here and not copied, and its licence is said once. It
gets its weights by itself at the first use of a metric. Its names are its own: `psnry` and `ssim` are of luma in full
range, `maniqa` is trained on KonIQ and `maniqa-pipal` on PIPAL.
"""

import contextlib
import functools
import sys
import warnings
from typing import Any

import torch

from ldrestore.errors import MissingExtraError, UnknownNameError, WeightsUnavailableError
from ldrestore.metrics.compared_pictures import ComparedPictures
from ldrestore.metrics.measures import MetricOptions, ToolboxMeasure, as_tensor
from ldrestore.weights.published_files import read_checkpoint

LICENCE_NOTE = "pyiqa is licensed for non-commercial use alone (PolyForm Noncommercial 1.0.0), and so are its scores"

_FAILURES = (OSError, ImportError, LookupError, RuntimeError, ValueError, TypeError, AttributeError)
"""What pyiqa raises where a download, a file or another package is missing."""


def open_iqa(options: MetricOptions) -> ToolboxMeasure:
    """A metric of pyiqa; of RGB, with the ground truth where the metric takes one.

    Raises:
        UnknownNameError: pyiqa has none of that name.
        WeightsError: a user's file holds something else than weights.
        MissingExtraError: pyiqa is not installed.
        WeightsUnavailableError: pyiqa cannot get its weights, or lacks another package.
    """
    network = _network(options)
    needs_gt = network.metric_mode == "FR"

    @torch.inference_mode()
    def measure(pictures: ComparedPictures) -> float:
        both = (pictures.result, pictures.gt) if needs_gt else (pictures.result,)
        return float(network(*(as_tensor(picture, options.device) for picture in both)))

    return ToolboxMeasure(function=measure, lower_is_better=bool(network.lower_better), needs_gt=needs_gt)


def _network(options: MetricOptions) -> Any:
    """Pyiqa's metric, with a user's weights where they are given."""
    name = options.name.partition(":")[2]
    try:
        import pyiqa
    except ImportError as error:
        raise MissingExtraError("pyiqa", "iqa", f"for iqa:{name} (non-commercial)") from error
    known = pyiqa.list_models()
    if name not in known:
        raise UnknownNameError("metric of pyiqa", name, known)
    _say_licence()
    weights = options.weights.get(options.name)
    given = {}
    if weights is not None:
        read_checkpoint(weights)  # refuses a pickle that holds anything but weights, which pyiqa would run
        given["pretrained_model_path"] = str(weights)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it prints what it downloads
            return pyiqa.create_metric(name, device=torch.device(options.device), **given)
    except _FAILURES as error:
        remedy = (
            f"let it reach its weights on the network, or name a file with --weights {options.name}=FILE"
            if weights is None
            else f"{weights} may be of another metric; name a file that pyiqa publishes for it"
        )
        raise WeightsUnavailableError(
            f"pyiqa cannot make {name} ({type(error).__name__}: {_in_short(error)}); {remedy}"
        ) from error


@functools.cache
def _say_licence() -> None:
    """The licence, once a process."""
    warnings.warn(LICENCE_NOTE, stacklevel=3)


def _in_short(error: BaseException) -> str:
    """What an error says, on one line of at most 160 characters."""
    text = " ".join(str(error).split()) or "no reason given"
    return text if len(text) <= 160 else f"{text[:157]}..."
