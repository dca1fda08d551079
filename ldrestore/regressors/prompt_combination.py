"""Prompts as key and value from which a picture's features choose a few: the pools of DATPRL-IR.

Dong et al. 2026 (https://arxiv.org/abs/2603.01725), the prompt composition mechanism. Attribute names are those of the
published checkpoints.
"""

import math
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.errors import ConfigError
from ldrestore.tiling.shared_statistics import MapStatistic

_MIN_TEMPERATURE, _MAX_TEMPERATURE = 0.1, 2.0
"""The learned temperature is clamped to these."""

SELECTION_NOISE = 0.1
"""Standard deviation of what is added in training to the similarities before the nearest are taken."""


class Combination(NamedTuple):
    """What a pool gives to a batch of queries."""

    prompt: Tensor
    """(B, D), the representation, PR."""
    weights: Tensor
    """(B, N), how strongly each prompt is used: zero for those not chosen, each row sums to 1."""
    indices: Tensor
    """(B, K), which prompts are chosen, the nearest first."""
    cosines: Tensor
    """(B, N), similarity of the query to each key."""
    similarities: Tensor
    """(B, N), the cosines divided by the temperature."""


class PromptCombination(nn.Module):
    """A pool of N prompts; a query takes the softmax combination of the K nearest, PR = sum of alpha_j V_j.

    A value is several tokens. Their combination is flattened and brought to one vector by a linear map, layer
    normalisation and GELU, as released.
    """

    def __init__(self, *, num_prompts: int, dim: int, top_k: int, num_tokens: int = 2) -> None:
        """Draw the prompts as the release does: half of them uniformly, half as random directions, all with noise.

        Args:
            num_prompts: N.
            dim: D of queries, keys, tokens and the representation.
            top_k: K, 1 to `num_prompts`.
            num_tokens: M, tokens a value.

        Raises:
            ConfigError: `top_k` out of range.
        """
        super().__init__()
        if not 1 <= top_k <= num_prompts:
            raise ConfigError(f"top_k must lie in [1, {num_prompts}], the number of prompts, got {top_k}")
        self.top_k = top_k
        keys = _diverse_rows(num_prompts, 1, dim, bound=math.sqrt(6 / (1 + dim)))[:, 0]
        self.prompt_keys = nn.Parameter(keys)  # (N, D)
        self.prompt_values = nn.Parameter(_diverse_rows(num_prompts, num_tokens, dim, bound=math.sqrt(3 / dim)))
        self.temperature = nn.Parameter(torch.tensor(1.0))
        self.value_aggregation = nn.Sequential(nn.Linear(num_tokens * dim, dim), nn.LayerNorm(dim), nn.GELU())

    def forward(self, query: Tensor) -> Combination:
        """Combine the nearest prompts; in training, noise lets others be tried, and the weights are without noise.

        Args:
            query: (B, D).
        """
        cosines = F.normalize(query, dim=-1) @ F.normalize(self.prompt_keys, dim=-1).T  # (B, N)
        similarities = cosines / self.temperature.clamp(_MIN_TEMPERATURE, _MAX_TEMPERATURE)
        contested = similarities + SELECTION_NOISE * torch.randn_like(similarities) if self.training else similarities
        indices = contested.topk(self.top_k, dim=-1).indices  # (B, K)
        chosen = similarities.gather(1, indices).softmax(dim=-1)
        weights = chosen.new_zeros(similarities.shape).scatter(1, indices, chosen)  # CUDA autocast widens softmax
        combined = weights @ self.prompt_values.flatten(1)  # (B, M * D)
        return Combination(self.value_aggregation(combined), weights, indices, cosines, similarities)

    def chosen_tokens(self, combination: Combination) -> tuple[Tensor, Tensor]:
        """The tokens of the chosen prompts, not combined.

        Returns:
            (B, K * M, D), and the share of each, (B, K * M), which sum to 1: the weight of its prompt over M.
        """
        values = self.prompt_values[combination.indices]  # (B, K, M, D)
        num_tokens = values.shape[2]
        shares = combination.weights.gather(1, combination.indices) / num_tokens  # (B, K)
        return values.flatten(1, 2), shares.repeat_interleave(num_tokens, dim=1)


class QueryMapper(nn.Module):
    """Features to the query of a pool: two convolutions, each on a small grid of averages."""

    def __init__(self, num_channels: int, *, dim: int, grid: int) -> None:
        """Build it.

        Args:
            num_channels: C of the features, a multiple of 4.
            dim: D of the query.
            grid: Height and width of the first grid; the second has half.
        """
        super().__init__()
        self.mapper = nn.Sequential(
            MapStatistic(partial(F.adaptive_avg_pool2d, output_size=grid)),
            nn.Conv2d(num_channels, num_channels // 2, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(grid // 2),
            nn.Conv2d(num_channels // 2, num_channels // 4, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(num_channels // 4, dim),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) to (B, D)."""
        return self.mapper(features)


def _diverse_rows(num_prompts: int, num_tokens: int, dim: int, *, bound: float) -> Tensor:
    """(N, M, D): uniform in [-bound, bound] or of length 1, and noise of deviation 0.5 on all prompts but the first."""
    half = num_prompts // 2
    uniform = (2 * torch.rand(half, num_tokens, dim) - 1) * bound
    directions = F.normalize(torch.randn(num_prompts - half, num_tokens, dim), dim=-1)
    noise = 0.5 * torch.randn(num_prompts, num_tokens, dim)
    is_noisy = torch.arange(num_prompts)[:, None, None] > 0
    return torch.cat([uniform, directions]) + noise * is_noisy
