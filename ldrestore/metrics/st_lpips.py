"""ST-LPIPS, a perceptual distance that tolerates small shifts, Ghildyal and Liu 2022 (https://arxiv.org/abs/2207.13686).

Network and weights are those of the package stlpips-pytorch, whose AlexNet was trained anew: its figures are not those
of LPIPS.
"""

import numpy as np
import torch

from ldrestore.errors import MissingExtraError
from ldrestore.metrics.compared_pictures import ComparedPictures
from ldrestore.metrics.measures import Measure, MetricOptions


class ShiftTolerantDistance:
    """ST-LPIPS with AlexNet, of one or several pictures against a clean one."""

    def __init__(self, device: str = "cpu") -> None:
        """Load the network.

        Args:
            device: Where it computes.

        Raises:
            MissingExtraError: stlpips-pytorch is not installed.
        """
        try:
            from stlpips_pytorch.stlpips import LPIPS
        except ImportError as error:
            raise MissingExtraError("stlpips-pytorch", "metrics", "for ST-LPIPS") from error
        self.network = LPIPS(net="alex", variant="shift_tolerant", verbose=False).to(device)
        self.device = device

    @torch.no_grad()
    def __call__(self, images: list[np.ndarray], gt: np.ndarray) -> list[float]:
        """The distance of each picture from the clean one, 0 for the same.

        Args:
            images: Pictures of gt's size, (H, W, 3) uint8.
            gt: (H, W, 3) uint8.
        """
        both = (self._to_tensor(images), self._to_tensor([gt]))  # the features of gt are computed once and broadcast
        return self.network(*both).flatten().tolist()

    def _to_tensor(self, images: list[np.ndarray]) -> torch.Tensor:
        """(N, 3, H, W) in [-1, 1]."""
        stacked = torch.from_numpy(np.stack(images)).to(self.device, torch.float32)  # (N, H, W, 3)
        return stacked.permute(0, 3, 1, 2) / 127.5 - 1


def open_st_lpips(options: MetricOptions) -> Measure:
    """ST-LPIPS as a metric.

    Raises:
        MissingExtraError: stlpips-pytorch is not installed.
    """
    distance = ShiftTolerantDistance(options.device)

    def measure(pictures: ComparedPictures) -> float:
        return distance([pictures.result], pictures.gt)[0]

    return measure
