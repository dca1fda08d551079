"""Distances between all results and all ground truths: FID and KID by torch-fidelity.

FID is that of Heusel et al. 2017 (https://arxiv.org/abs/1706.08500), KID that of Bińkowski et al. 2018
(https://arxiv.org/abs/1801.01401), on features of TensorFlow's Inception, at 299 x 299 by its own resize. Both are
biased, or scatter, on small sets: figures of fewer than 500 pictures are computed with a warning, and only those of one
set by one protocol can be compared.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ldrestore.errors import InputError, MissingExtraError, WeightsUnavailableError
from ldrestore.metrics.measures import MetricOptions

FEWEST = 500
"""Pictures below which a warning is given."""
INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
"""File of the Inception weights, in torch's hub cache."""
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION}"
"""Where they are published."""

Loader = Callable[[], np.ndarray]
"""Reads one picture, (H, W, 3) uint8."""
SetMeasure = Callable[[Sequence[tuple[Loader, Loader]]], float]
"""The value of all pairs of result and ground truth."""


class _Pictures(Dataset[Tensor]):
    """Pictures as torch-fidelity takes them: (3, H, W) uint8, read one at a time."""

    def __init__(self, loaders: Sequence[Loader]) -> None:
        self.loaders = loaders

    def __len__(self) -> int:
        return len(self.loaders)

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.loaders[index]().transpose(2, 0, 1)))


def open_fid(options: MetricOptions) -> SetMeasure:
    """FID.

    Raises:
        MissingExtraError: torch-fidelity is not installed.
        WeightsUnavailableError: the Inception weights are not on this machine.
    """
    return _opened(options, "fid", "frechet_inception_distance")


def open_kid(options: MetricOptions) -> SetMeasure:
    """KID, its mean over subsets of at most 1,000 pictures.

    Raises:
        MissingExtraError: torch-fidelity is not installed.
        WeightsUnavailableError: the Inception weights are not on this machine.
    """
    return _opened(options, "kid", "kernel_inception_distance_mean")


def _opened(options: MetricOptions, name: str, key: str) -> SetMeasure:
    """One of the two, and the key under which torch-fidelity gives it."""
    try:
        from torch_fidelity import calculate_metrics
    except ImportError as error:
        raise MissingExtraError("torch-fidelity", "metrics", f"for {name.upper()}") from error
    weights = _inception(options)

    def measure(pairs: Sequence[tuple[Loader, Loader]]) -> float:
        count = len(pairs)
        if count < 2:
            raise InputError(f"{name.upper()} compares sets of at least two pictures, got {count}")
        if count < FEWEST:
            warnings.warn(f"{name.upper()} of {count} pictures: fewer than {FEWEST} scatter widely", stacklevel=2)
        results, truths = zip(*pairs, strict=True)
        figures: dict[str, Any] = calculate_metrics(
            input1=_Pictures(results),
            input2=_Pictures(truths),
            fid=name == "fid",
            kid=name == "kid",
            kid_subset_size=min(1000, count),
            batch_size=1,  # pictures differ in size
            cuda=options.device.startswith("cuda"),
            feature_extractor_weights_path=str(weights),
            cache=False,
            save_cpu_ram=True,  # reads in this process: its workers would pickle the loaders, where they do not fork
            verbose=False,
        )
        return float(figures[key])

    return measure


def _inception(options: MetricOptions) -> Path:
    """The Inception weights: a user's file, or torch's hub cache; nothing is downloaded unasked.

    Raises:
        WeightsUnavailableError: there are none.
    """
    path = options.weights.get(options.name) or Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION
    if not Path(path).is_file():
        raise WeightsUnavailableError(
            f"no Inception weights at {path}; get {INCEPTION_URL} and put it there, or name it with "
            f"--weights {options.name}=FILE"
        )
    return Path(path)
