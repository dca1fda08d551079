"""Learned prompts that a picture's features choose from, and the gate by which they enter the features.

The idea of DATPRL-IR's task prompt pool and adaptive gated fusion at small size: keys and values, the nearest few
combined, injected where the features ask for it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.blocks.zero_layers import start_at_zero
from ldrestore.errors import ConfigError

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.1, 2.0
"""The learned temperature lies between these, as in DATPRL-IR; there it is clamped, where its gradient ends."""


class PromptPool(nn.Module):
    """Prompts as key and value; a query takes the softmax combination of the `top_k` nearest by cosine."""

    def __init__(self, *, num_prompts: int, dim: int, top_k: int) -> None:
        """Draw the keys at random, orthogonal where there is room.

        Args:
            num_prompts: How many prompts the pool holds.
            dim: D of queries, keys and values.
            top_k: How many prompts one picture takes, 1 to `num_prompts`.

        Raises:
            ConfigError: `top_k` out of range.
        """
        super().__init__()
        if not 1 <= top_k <= num_prompts:
            raise ConfigError(f"top_k must lie in [1, {num_prompts}], the number of prompts, got {top_k}")
        self.top_k = top_k
        keys = nn.init.orthogonal_(torch.empty(num_prompts, dim, dtype=torch.float32))  # its QR knows no half precision
        self.keys = nn.Parameter(keys.to(torch.get_default_dtype()))
        self.values = nn.Parameter(torch.randn(num_prompts, dim))
        self.temperature_logit = nn.Parameter(torch.full((1,), -1.3))  # begins at a temperature of 0.5

    def forward(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """Combine the nearest prompts.

        Args:
            query: (B, D).

        Returns:
            The prompt (B, D), and the weight of each prompt of the pool (B, P), which sum to 1 and are zero for all
            but `top_k`.
        """
        similarity = F.normalize(query, dim=-1) @ F.normalize(self.keys, dim=-1).T  # (B, P)
        nearest = similarity.topk(self.top_k, dim=-1)  # (B, K)
        chosen = (nearest.values / self.temperature()).softmax(dim=-1)
        weights = chosen.new_zeros(similarity.shape).scatter(1, nearest.indices, chosen)  # CUDA autocast widens softmax
        return weights @ self.values, weights

    def temperature(self) -> Tensor:
        """By which similarities are divided: (1,), between `MIN_TEMPERATURE` and `MAX_TEMPERATURE`."""
        return MIN_TEMPERATURE + (MAX_TEMPERATURE - MIN_TEMPERATURE) * self.temperature_logit.sigmoid()


class GatedInjection(nn.Module):
    """Scale and shift features by a prompt, as far as a gate of features and prompt lets it.

    h + g * (scale(p) * h + shift(p)), g = sigmoid(W h + V p). Scale and shift start at zero: nothing changes at first.
    """

    def __init__(self, num_channels: int, *, dim: int) -> None:
        """Build the gate and the two maps.

        Args:
            num_channels: C of the features.
            dim: D of the prompt.
        """
        super().__init__()
        self.gate_features = nn.Conv2d(num_channels, num_channels, 1)
        self.gate_prompt = nn.Linear(dim, num_channels, bias=False)
        self.scale_and_shift = nn.Linear(dim, 2 * num_channels)
        start_at_zero(self.scale_and_shift)

    def forward(self, hidden_states: Tensor, prompt: Tensor) -> Tensor:
        """Inject one prompt a picture.

        Args:
            hidden_states: (B, C, H, W).
            prompt: (B, D).

        Returns:
            (B, C, H, W).
        """
        bias = self.gate_prompt(prompt)[..., None, None]  # (B, C, 1, 1)
        gate = torch.sigmoid(self.gate_features(hidden_states) + bias)
        scale, shift = self.scale_and_shift(prompt)[..., None, None].chunk(2, dim=1)  # (B, C, 1, 1) each
        return torch.addcmul(hidden_states, gate, torch.addcmul(shift, scale, hidden_states))
