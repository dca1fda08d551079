"""Exponential moving average of a network's weights, in float32."""

import copy

import torch
from torch import nn

from ldrestore.errors import WeightsError


def decay_at(num_updates: int, decay: float) -> float:
    """Decay of one update, with the warm-up min(decay, (1 + n) / (10 + n)) of TensorFlow's ExponentialMovingAverage.

    Args:
        num_updates: Updates done before this one, n.
        decay: Decay that is reached in the end.
    """
    return min(decay, (1 + num_updates) / (10 + num_updates))


class Ema:
    """A copy of the network whose parameters trail those in training.

    Attributes:
        network: The averaged network, float32, in evaluation mode, without gradients.
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        """Start with the network's weights.

        Args:
            network: The network to average, before it is wrapped for distributed training.
            decay: Share of the old average that one update keeps, in (0, 1).
        """
        self.decay = decay
        self.network = copy.deepcopy(network).float().requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, network: nn.Module, *, num_updates: int) -> None:
        """Move the average towards the network; buffers are copied.

        Args:
            network: The network in training, unwrapped.
            num_updates: Updates done before this one.
        """
        weight = 1 - decay_at(num_updates, self.decay)
        for average, parameter in zip(self.network.parameters(), network.parameters(), strict=True):
            average.lerp_(parameter.detach().to(average.dtype), weight)
        for kept, buffer in zip(self.network.buffers(), network.buffers(), strict=True):
            kept.copy_(buffer)

    def load(self, weights: dict[str, torch.Tensor]) -> None:
        """Take over saved averages.

        Raises:
            WeightsError: keys or shapes do not fit the network.
        """
        try:
            self.network.load_state_dict(weights)
        except RuntimeError as error:
            raise WeightsError(f"the averaged weights do not fit the network: {error}") from error
