"""The instruction condition block of InstructIR, Conde et al. 2024 (https://arxiv.org/abs/2401.16468), Sec. 3.2."""

import torch
from torch import Tensor, nn

from ldrestore.blocks.naf import NAFBlock


class InstructionConditionBlock(nn.Module):
    """Lets a text embedding choose which channels of a feature map are worked on once more.

    The mask m = sigmoid(W t + b) routes the channels, Eq. 1 of Conde et al. 2024; with the learned scale and shift,

        out = block((gamma * x + beta) * m) + x.

    Attribute names are those of the published checkpoints.
    """

    def __init__(self, num_channels: int, *, text_dim: int | None) -> None:
        """Start as the identity: `gamma` and `beta` are zero, and a new NAFBlock hands on what it gets.

        Args:
            num_channels: C of the feature map.
            text_dim: D of the embedding; None for a block that no text steers: its mask is 1 everywhere.
        """
        super().__init__()
        self.fc = None if text_dim is None else nn.Linear(text_dim, num_channels)
        self.block = NAFBlock(num_channels)
        self.beta = nn.Parameter(torch.zeros(1, num_channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, num_channels, 1, 1))

    def forward(self, hidden_states: Tensor, embedding: Tensor | None) -> Tensor:
        """(B, C, H, W), and with text (B, D) or (1, D), to (B, C, H, W)."""
        shift: Tensor = self.beta
        scale: Tensor = self.gamma
        if self.fc is not None:
            mask = torch.sigmoid(self.fc(embedding))[..., None, None]  # (B, C, 1, 1)
            shift, scale = shift * mask, scale * mask
        return hidden_states + self.block(torch.addcmul(shift, hidden_states, scale))
