"""Visual prompt pools and the visual prompt modulator of MPerceiver.

Ai et al. 2024, "Multimodal Prompt Perceiver: Empower Adaptiveness, Generalizability and Fidelity for All-in-One Image
Restoration", Eq. 4: f <- RB(f + sum_i p_i MHCA(f, V_i, V_i)). As released, f and V_i are normalised before the
attention, prompts are 512 wide at every scale, and norm and attention are the same for all degradations i.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.blocks.degradation_rows import draw_rows, grown_rows
from ldrestore.blocks.dispatched_attention import DispatchedAttention
from ldrestore.blocks.timed_residual import TimedResidualBlock
from ldrestore.errors import ShapeError

MAX_ANSWERS = 2**24
"""Numbers that the answers of all degradations take up at once; beyond it positions ask in turns."""


class PreparedPrompts(NamedTuple):
    """What a pool is to the attention; it depends on neither picture nor timestep."""

    keys: Tensor
    """(N, M, heads, D)."""
    values: Tensor
    """(N, M, heads, D)."""


class AveragedProjection(nn.Module):
    """sum_i p_i (W x_i + b), from the average sum_i p_i x_i and the sum of the p_i; begins as a linear layer does."""

    def __init__(self, in_features: int, out_features: int) -> None:
        """Draw W and b."""
        super().__init__()
        linear = nn.Linear(in_features, out_features)
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, average: Tensor, total: Tensor) -> Tensor:
        """(B, L, C) and (B, 1, 1) to (B, L, out_features)."""
        return F.linear(average, self.weight) + total * self.bias


class PromptCrossAttention(DispatchedAttention):
    """sum_i p_i MHCA(q, V_i, V_i): each position asks every degradation's prompts, and the answers are averaged by P.

    The output projection is linear, so it is applied once, after the average.
    """

    def __init__(self, num_channels: int, *, prompt_dim: int = 512, num_heads: int = 8, head_dim: int = 64) -> None:
        """Build the projections; queries, keys and values have no bias.

        Args:
            num_channels: C of what asks.
            prompt_dim: Width of the prompts.
            num_heads: Attention heads.
            head_dim: D of a head.
        """
        super().__init__()
        self.num_heads = num_heads
        inner = num_heads * head_dim
        self.to_q = nn.Linear(num_channels, inner, bias=False)
        self.to_k = nn.Linear(prompt_dim, inner, bias=False)
        self.to_v = nn.Linear(prompt_dim, inner, bias=False)
        self.to_out = nn.ModuleList([AveragedProjection(inner, num_channels)])

    def prepare(self, prompts: Tensor) -> PreparedPrompts:
        """Keys and values of a pool: (N, M, prompt_dim), normalised."""
        heads = (self.num_heads, -1)
        return PreparedPrompts(self.to_k(prompts).unflatten(-1, heads), self.to_v(prompts).unflatten(-1, heads))

    def forward(self, hidden_states: Tensor, probabilities: Tensor, prompts: PreparedPrompts) -> Tensor:
        """(B, L, C), (B, N) and the N pools' keys and values to (B, L, C)."""
        query = self.to_q(hidden_states)  # (B, L, heads * D)
        B, L, inner = query.shape
        shares = probabilities.to(query.dtype)
        # Answers are N times as large as features. Gradients need all of them; without, a part at a time is enough.
        num_at_once = L if torch.is_grad_enabled() else max(1, MAX_ANSWERS // (B * len(prompts.keys) * inner))
        parts = [self._mixed_answers(part, shares, prompts) for part in query.split(num_at_once, dim=1)]
        mixed = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)  # (B, L, heads * D)
        return self.to_out[0](mixed, shares.sum(dim=1)[:, None, None])

    def _mixed_answers(self, query: Tensor, shares: Tensor, prompts: PreparedPrompts) -> Tensor:
        """(B, L, heads * D) and (B, N) to the answers, averaged: (B, L, heads * D)."""
        B, L, _ = query.shape
        N = len(prompts.keys)
        # All pictures' queries are one sequence, since they meet the same prompts: it is expanded and never copied.
        query = query.reshape(1, B * L, self.num_heads, -1).expand(N, -1, -1, -1)  # (N, B * L, heads, D)
        answers = self.processor(query, prompts.keys, prompts.values)  # (N, B * L, heads, D)
        answers = answers.reshape(N, B, -1).transpose(0, 1)  # (B, N, L * heads * D)
        return (shares.unsqueeze(1) @ answers).view(B, L, -1)


def add_prompts(
    features: Tensor,
    probabilities: Tensor,
    *,
    norm: nn.LayerNorm,
    attention: PromptCrossAttention,
    prompts: PreparedPrompts,
) -> Tensor:
    """The inner part of Eq. 4: f + sum_i p_i MHCA(LN(f), LN(V_i), LN(V_i)).

    Args:
        features: (B, C, H, W).
        probabilities: (B, N), P; sums to 1 for each picture.
        norm: LN of the features.
        attention: MHCA.
        prompts: What `attention.prepare` makes of the normalised pool.

    Returns:
        (B, C, H, W).

    Raises:
        ShapeError: P does not belong to the features and the pool.
    """
    expected = (len(features), len(prompts.keys))
    if probabilities.shape != expected:
        raise ShapeError(f"expected probabilities of shape (B, N) = {expected}, got {tuple(probabilities.shape)}")
    positions = features.permute(0, 2, 3, 1)  # (B, H, W, C)
    tokens = positions.flatten(1, 2)  # (B, H * W, C)
    answer = attention(norm(tokens), probabilities, prompts).view(positions.shape)
    return features + answer.permute(0, 3, 1, 2)


class VisualPromptModulator(nn.Module):
    """Visual prompt pool and modulator of one scale, Eq. 4.

    P says which degradations' prompts count. Without `temb_dim` the residual block takes no timestep, as in a decoder.
    """

    def __init__(
        self,
        channels: int,
        *,
        num_degradations: int,
        out_channels: int,
        temb_dim: int | None = None,
        prompt_dim: int = 512,
        num_prompts: int = 24,
        num_heads: int = 8,
        head_dim: int = 64,
        num_groups: int = 32,
    ) -> None:
        """Draw the pool and build attention and residual block.

        Args:
            channels: C of the features.
            num_degradations: N.
            out_channels: C of the result.
            temb_dim: D of the timestep embedding, if there is one.
            prompt_dim: Width of the prompts; the paper's is C, the release's 512.
            num_prompts: M, prompts a degradation.
            num_heads: Heads of the attention.
            head_dim: Width of a head.
            num_groups: Groups of the residual block's normalisations.
        """
        super().__init__()
        self.visual_prompt = nn.Parameter(draw_rows(num_degradations, num_prompts, prompt_dim))
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(prompt_dim)
        self.prompt_attn = PromptCrossAttention(channels, prompt_dim=prompt_dim, num_heads=num_heads, head_dim=head_dim)
        self.fea_tran = TimedResidualBlock(
            channels, out_channels=out_channels, temb_dim=temb_dim, num_groups=num_groups
        )

    def prepare(self) -> PreparedPrompts:
        """Keys and values of the pool; they stay the same as long as the weights do."""
        return self.prompt_attn.prepare(self.norm2(self.visual_prompt))

    def forward(
        self,
        features: Tensor,
        probabilities: Tensor,
        temb: Tensor | None = None,
        *,
        prompts: PreparedPrompts | None = None,
    ) -> Tensor:
        """Modulate features.

        Args:
            features: (B, C, H, W).
            probabilities: (B, N), P.
            temb: (B, D), where the modulator takes a timestep.
            prompts: What `prepare` gave; the result is the same to the bit without.

        Returns:
            (B, out_channels, H, W).

        Raises:
            ShapeError: P does not belong to the features and the pool.
            InputError: an embedding where none is taken, or the other way round.
        """
        prompts = self.prepare() if prompts is None else prompts
        prompted = add_prompts(features, probabilities, norm=self.norm1, attention=self.prompt_attn, prompts=prompts)
        return self.fea_tran(prompted, temb)

    def grow(self, num_new: int, *, generator: torch.Generator | None = None) -> None:
        """Add prompts of further degradations, see `grown_rows`."""
        self.visual_prompt = grown_rows(self.visual_prompt, num_new, generator=generator)
