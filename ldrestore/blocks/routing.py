"""What routers of experts have in common: what they say of a batch, and the loss that keeps all experts in use.

Riquelme et al. 2021, Scaling Vision with Sparse Mixture of Experts (https://arxiv.org/abs/2106.05974).
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Routing(NamedTuple):
    """What one router said about a batch, in float32."""

    probabilities: Tensor
    """(B, N), with noise where there is any; the expert of the largest is taken."""
    logits: Tensor
    """(B, N), without noise."""
    noisy_logits: Tensor
    """(B, N)."""


def noisy(logits: Tensor) -> Tensor:
    """Logits (B, N) with normal noise of standard deviation 1 / N, from torch's global generator as a dropout's."""
    return logits + torch.randn_like(logits) / logits.shape[1]


def balance_loss(routing: Routing, *, costs: Tensor | None = None, correction: int = 1, top_k: int = 1) -> Tensor:
    """Mean of the importance loss and the load loss: how unevenly the experts are used over a batch.

    The two losses of V-MoE: the squared coefficients of variation of the experts' summed probabilities, without noise,
    and of the probabilities that each would be among the chosen if its noise were drawn anew.

    Args:
        routing: Of the whole batch.
        costs: (N,), by which the importance of each expert is multiplied, so that even importance means more pictures
            for cheap experts, as in MoCE-IR; None for a balance without costs.
        correction: Subtracted from N in the variance: 1 for the unbiased one, 0 for that of the population.
        top_k: Experts that are chosen for each of the B.

    Returns:
        Scalar, float32, at least 0.
    """
    importance = routing.logits.softmax(dim=-1).sum(dim=0)  # (N,)
    if costs is not None:
        importance = importance * costs
    lowest_chosen = routing.noisy_logits.topk(top_k, dim=-1).values[:, -1:]  # what fresh noise would have to beat
    load = torch.special.ndtr((routing.logits - lowest_chosen) * routing.logits.shape[1]).mean(dim=0)  # (N,)
    return 0.5 * (_squared_variation(importance, correction) + _squared_variation(load, correction))


def _squared_variation(amounts: Tensor, correction: int) -> Tensor:
    """Squared coefficient of variation of (N,)."""
    return amounts.var(correction=correction) / amounts.mean().square()
