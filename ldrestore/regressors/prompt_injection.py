"""The transformer block of Restormer into whose attention a prompt enters: the adaptive gated fusion of DATPRL-IR.

Dong et al. 2026 (https://arxiv.org/abs/2603.01725): F^e = CrossAttn(alpha F, (1 - alpha) PR), with a learned alpha a
layer. Attribute names are those of the published checkpoints.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ldrestore.blocks.restormer_block import ChannelNorm, GatedFeedForward
from ldrestore.blocks.transposed_attention import TransposedAttention
from ldrestore.blocks.zero_layers import start_at_zero

InjectorKind = Literal["released", "spatial"]
"""How a prompt enters, see `PromptedTransformerBlock`."""


class Prompt(NamedTuple):
    """What guides the blocks."""

    representation: Tensor
    """(B, D), one vector a picture."""
    tokens: Tensor
    """(B, T, D), from which positions choose; the representation is the first."""
    shares: Tensor
    """(B, T), positive: how likely each token is before a position has asked."""


class PromptedTransformerBlock(nn.Module):
    """Transposed attention of the features with the prompt, then the gated feed-forward; both are residual.

    The prompt enters what the attention sees, x w_f + P, and not the residual, which is the plain x. The two weights
    w_f and w_p are the softmax of two learned numbers.

    - "released": cross-attention in which every position has the same single key, the representation. A softmax over
      one key is 1 whatever the query says, so P is one vector a picture, W_o (w_p W_v LN(p)), the same at every
      position, and queries and keys have no effect and no gradient. It is computed as that vector. W_q and W_k are
      carried, frozen, so that published weights load whole.
    - "spatial": ours, in the same layout. The keys are the representation and the tokens of the prompts that the
      picture has chosen, so that each position chooses among them, beginning with the picture's own shares:
      softmax(q k / sqrt(C) + log share). A gate of its own, 2 sigmoid(u x + b), lets in as much as a position needs; it
      starts at 1. With the representation as the only key and the gate at its start it computes what "released" does.
    """

    def __init__(self, num_channels: int, *, num_heads: int, prompt_dim: int, injector: InjectorKind) -> None:
        """Build it.

        Args:
            num_channels: C of the feature map.
            num_heads: See `TransposedAttention`.
            prompt_dim: D of the prompt.
            injector: See the class.
        """
        super().__init__()
        self.feature_weight = nn.Parameter(torch.full((1,), 0.5))
        self.prompt_weight = nn.Parameter(torch.full((1,), 0.5))
        self.norm1 = ChannelNorm(num_channels, "WithBias")
        self.attn = TransposedAttention(num_channels, num_heads=num_heads)
        self.norm2 = ChannelNorm(num_channels, "WithBias")
        self.ffn = GatedFeedForward(num_channels)
        self.cross_attn_q = nn.Linear(num_channels, num_channels)
        self.cross_attn_k = nn.Linear(prompt_dim, num_channels)
        self.cross_attn_v = nn.Linear(prompt_dim, num_channels)
        self.cross_attn_out = nn.Linear(num_channels, num_channels)
        self.prompt_norm = nn.LayerNorm(prompt_dim)
        self.is_spatial = injector == "spatial"
        if self.is_spatial:
            self.injection_gate = nn.Linear(num_channels, 1)
            start_at_zero(self.injection_gate)
        else:  # no gradient ever reaches them, see above
            self.cross_attn_q.requires_grad_(False)
            self.cross_attn_k.requires_grad_(False)

    def forward(self, hidden_states: Tensor, prompt: Prompt) -> Tensor:
        """(B, C, H, W) to the same shape."""
        hidden_states = hidden_states + self.attn(self.norm1(self._prompted(hidden_states, prompt)))
        return hidden_states + self.ffn(self.norm2(hidden_states))

    def _prompted(self, hidden_states: Tensor, prompt: Prompt) -> Tensor:
        """What the attention sees: (B, C, H, W), x w_f + P."""
        term = self.spatial_term(hidden_states, prompt) if self.is_spatial else self.constant_term(prompt)
        return torch.addcmul(term.to(hidden_states), hidden_states, self._weights()[0].to(hidden_states))

    def constant_term(self, prompt: Prompt) -> Tensor:
        """P of the released injector: (B, C, 1, 1)."""
        value = self.cross_attn_v(self.prompt_norm(prompt.representation)) * self._weights()[1]  # (B, C)
        return self.cross_attn_out(value)[..., None, None]

    def spatial_term(self, hidden_states: Tensor, prompt: Prompt) -> Tensor:
        """P of the spatial injector: (B, C, H, W), channels last.

        The projections of queries and results are folded into the few keys and values, so that a position costs 2 T C
        multiplications instead of 2 C^2 more.
        """
        feature_weight, prompt_weight = self._weights()
        tokens = self.prompt_norm(prompt.tokens)  # (B, T, D)
        keys = self.cross_attn_k(tokens) * (feature_weight * prompt_weight / math.sqrt(hidden_states.shape[1]))
        results = self.cross_attn_out(self.cross_attn_v(tokens) * prompt_weight)  # (B, T, C)
        biases = keys @ self.cross_attn_q.bias + prompt.shares.log()  # (B, T)
        positions = hidden_states.permute(0, 2, 3, 1)  # (B, H, W, C)
        features = positions.flatten(1, 2)  # (B, H * W, C)
        scores = features @ (keys @ self.cross_attn_q.weight).mT + biases.unsqueeze(1)  # (B, H * W, T)
        gate = 2 * torch.sigmoid(self.injection_gate(features))  # (B, H * W, 1)
        attention = (scores.softmax(dim=-1) * gate).to(results)
        return (attention @ results).view(positions.shape).permute(0, 3, 1, 2)

    def _weights(self) -> Tensor:
        """w_f and w_p: (2, 1), which sum to 1."""
        return torch.stack([self.feature_weight, self.prompt_weight]).softmax(dim=0)
