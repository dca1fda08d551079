"""Metrics without trained parts by the package piq (https://github.com/photosynthesis-team/piq), as `piq:NAME`."""

from typing import Any

import torch

from ldrestore.errors import MissingExtraError, UnknownNameError
from ldrestore.metrics.compared_pictures import ComparedPictures
from ldrestore.metrics.measures import MetricOptions, ToolboxMeasure, as_tensor

PIQ_FUNCTIONS = {
    "iw_ssim": "information_weighted_ssim",
    "vif": "vif_p",
    "fsim": "fsim",
    "sr_sim": "srsim",
    "gmsd": "gmsd",
    "ms_gmsd": "multi_scale_gmsd",
    "vsi": "vsi",
    "dss": "dss",
    "haarpsi": "haarpsi",
    "mdsi": "mdsi",
    "ssim": "ssim",
    "ms_ssim": "multi_scale_ssim",
    "psnr": "psnr",
}
"""Our name, and piq's function; RGB of the whole picture in [0, 1], piq's other settings."""
_DISTANCES = frozenset({"gmsd", "ms_gmsd", "mdsi"})
"""Those of which less is better."""


def open_piq(options: MetricOptions) -> ToolboxMeasure:
    """A metric of piq.

    Raises:
        UnknownNameError: piq has none of that name that needs no trained part.
        MissingExtraError: piq is not installed.
    """
    name = options.name.partition(":")[2]
    name = next((ours for ours, theirs in PIQ_FUNCTIONS.items() if theirs == name), name)
    if name not in PIQ_FUNCTIONS:
        raise UnknownNameError("metric of piq", name, PIQ_FUNCTIONS)
    try:
        import piq
    except ImportError as error:
        raise MissingExtraError("piq", "metrics", f"for piq:{name}") from error
    function: Any = getattr(piq, PIQ_FUNCTIONS[name])

    @torch.inference_mode()
    def measure(pictures: ComparedPictures) -> float:
        x, y = (as_tensor(picture, options.device) for picture in (pictures.result, pictures.gt))
        return float(function(x, y, data_range=1.0))

    return ToolboxMeasure(function=measure, lower_is_better=name in _DISTANCES)
