"""Metrics of the package pyiqa (https://github.com/chaofengc/IQA-PyTorch), as `iqa:NAME`.

pyiqa is under the PolyForm Noncommercial licence: it is called here and not copied, and its licence is said once. It
gets its weights by itself at the first use of a metric, or is given a user's file. Its names are its own: `psnry` and
`ssim` are of luma in full range, `maniqa` is trained on KonIQ and `maniqa-pipal` on PIPAL.
"""

import contextlib
import functools
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ldrestore.errors import MissingExtraError, UnknownNameError, WeightsError, WeightsUnavailableError
from ldrestore.metrics.compared_pictures import ComparedPictures
from ldrestore.metrics.measures import MetricOptions, ToolboxMeasure, as_tensor
from ldrestore.weights.published_files import read_checkpoint

LICENCE_NOTE = "pyiqa is licensed for non-commercial use alone (PolyForm Noncommercial 1.0.0), and so are its scores"

_FAILURES = (OSError, EOFError, ImportError, LookupError, RuntimeError, ValueError, TypeError, AttributeError)
"""What pyiqa raises where a download, a file or another package is missing."""

_CLIP_ALONE = frozenset({"clipiqa"})
"""Metrics that are CLIP's network with fixed words, and have no other weights."""


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
    tensors = None if weights is None else read_checkpoint(weights)  # refuses a pickle of anything but weights
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it prints what it downloads
            if tensors is None:
                return pyiqa.create_metric(name, device=torch.device(options.device))
            return _network_of_weights(name, tensors, options.device)
    except _FAILURES as error:
        remedy = (
            f"let it reach its weights on the network, or name a file with --weights {options.name}=FILE"
            if weights is None
            else f"{weights} may be of another metric; name a file that pyiqa publishes for it"
        )
        raise WeightsUnavailableError(
            f"pyiqa cannot make {name} ({type(error).__name__}: {_in_short(error)}); {remedy}"
        ) from error


def _network_of_weights(name: str, tensors: dict[str, Tensor], device: str) -> Any:
    """Pyiqa's metric of given weights; nothing is downloaded.

    pyiqa is handed a file that was written here, since it would run whatever code a user's pickle holds. Some of its
    metrics want the weights below "params", even where the file that it publishes has them bare.

    Raises:
        WeightsError: the file does not hold all weights of the metric.
    """
    import pyiqa

    if name in _CLIP_ALONE:
        with _clip_of_weights(tensors):
            return pyiqa.create_metric(name, device=torch.device(device))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights.pth"
        torch.save(tensors, file)
        with _without_backbones():
            place = {"device": torch.device(device), "pretrained_model_path": str(file)}
            try:
                network = pyiqa.create_metric(name, **place)
            except KeyError:
                torch.save({"params": tensors}, file)
                network = pyiqa.create_metric(name, **place)
    missing = sorted(network.net.state_dict().keys() - tensors.keys())
    if missing:
        raise WeightsError(f"the file given for iqa:{name} lacks {len(missing)} weights, such as {missing[0]}")
    return network


@contextlib.contextmanager
def _clip_of_weights(tensors: dict[str, Tensor]) -> Iterator[None]:
    """Let pyiqa build CLIP of given weights; its own reader fails at files of plain state dicts."""
    from pyiqa.archs import clip_model, clipiqa_arch

    def load(name: str, device: str) -> nn.Module:
        network: nn.Module = clip_model.build_model(dict(tensors))
        return network.to(device).float()

    original = clipiqa_arch.load
    clipiqa_arch.load = load
    try:
        yield
    finally:
        clipiqa_arch.load = original


@contextlib.contextmanager
def _without_backbones() -> Iterator[None]:
    """Let timm build networks without their published weights: the user's file holds those of the whole metric."""
    try:
        import timm
    except ImportError:
        yield
        return
    build = timm.create_model
    timm.create_model = functools.partial(_built_bare, build)
    try:
        yield
    finally:
        timm.create_model = build


def _built_bare(build: Any, *arguments: Any, **options: Any) -> Any:
    """A network of timm with random weights, whatever was asked for."""
    return build(*arguments, **(options | {"pretrained": False}))


@functools.cache
def _say_licence() -> None:
    """The licence, once a process."""
    warnings.warn(LICENCE_NOTE, stacklevel=3)


def _in_short(error: BaseException) -> str:
    """What an error says, on one line of at most 160 characters."""
    text = " ".join(str(error).split()) or "no reason given"
    return text if len(text) <= 160 else f"{text[:157]}..."
