"""The two kinds of blocks in which tokens of the damaged picture and of the noisy latents meet, modulated in time.

UniLDiff, Eq. 1 to 5; the blocks are those of FLUX (Black Forest Labs 2024, facts of the public release alone): layer
norms without weights, a modulation from the timestep embedding, RMS-normed queries and keys, rotary positions, and MLPs
of four times the width with the tanh form of GELU. Tokens of the damaged picture come first.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.blocks.dispatched_attention import DispatchedAttention
from ldrestore.blocks.rotary import rotated

NORM_EPS = 1e-6
"""Added to the variance in all normalisations."""

MLP_RATIO = 4
"""Width inside the MLPs as a multiple of the tokens'."""


class Modulation(nn.Module):
    """A timestep embedding to so many vectors, which shift, scale and gate tokens."""

    def __init__(self, dim: int, *, num_vectors: int) -> None:
        """Build it.

        Args:
            dim: D of the embedding and of the tokens.
            num_vectors: How many vectors.
        """
        super().__init__()
        self.num_vectors = num_vectors
        self.linear = nn.Linear(dim, num_vectors * dim)

    def forward(self, temb: Tensor) -> tuple[Tensor, ...]:
        """(B, D) to `num_vectors` of (B, 1, D)."""
        return self.linear(F.silu(temb))[:, None].chunk(self.num_vectors, dim=-1)


class NormedHeads(nn.Module):
    """Queries, keys and values apart and by heads, queries and keys RMS-normed."""

    def __init__(self, head_dim: int) -> None:
        """Build it.

        Args:
            head_dim: Width of a head.
        """
        super().__init__()
        self.head_dim = head_dim
        self.norm_query = nn.RMSNorm(head_dim, eps=NORM_EPS)
        self.norm_key = nn.RMSNorm(head_dim, eps=NORM_EPS)

    def forward(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, N, 3 D) to query, key and value, (B, N, heads, head_dim) each."""
        query, key, value = qkv.unflatten(-1, (3, -1, self.head_dim)).unbind(2)
        return self.norm_query(query), self.norm_key(key), value


class StreamAttention(DispatchedAttention):
    """Attention that knows where tokens lie."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, angles: Tensor | None) -> Tensor:
        """Attend.

        Args:
            query: (B, N, heads, head_dim).
            key: Same shape.
            value: Same shape.
            angles: (N, head_dim / 2), see `rotary_angles`; None for no positions.

        Returns:
            (B, N, D).
        """
        if angles is not None:
            query, key = rotated(query, angles), rotated(key, angles)
        return self.processor(query, key, value).flatten(2)


class StreamHalf(nn.Module):
    """One stream's own weights in a double-stream block."""

    def __init__(self, dim: int, *, head_dim: int) -> None:
        """Build it; see `DoubleStreamBlock`."""
        super().__init__()
        self.modulation = Modulation(dim, num_vectors=6)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS, elementwise_affine=False)
        self.to_qkv = nn.Linear(dim, 3 * dim)
        self.heads = NormedHeads(head_dim)
        self.to_out = nn.Linear(dim, dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, MLP_RATIO * dim), nn.GELU(approximate="tanh"), nn.Linear(MLP_RATIO * dim, dim)
        )


class DoubleStreamBlock(nn.Module):
    """Each stream has weights of its own and attends to both, Eq. 1 and 2."""

    def __init__(self, dim: int, *, head_dim: int) -> None:
        """Build it.

        Args:
            dim: D of the tokens.
            head_dim: Width of a head; divides D.
        """
        super().__init__()
        self.lq = StreamHalf(dim, head_dim=head_dim)
        self.hq = StreamHalf(dim, head_dim=head_dim)
        self.attention = StreamAttention()

    def forward(
        self, lq_tokens: Tensor, hq_tokens: Tensor, temb: Tensor, angles: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """One block.

        Args:
            lq_tokens: (B, M, D), of the damaged picture.
            hq_tokens: (B, N, D), of the noisy latents.
            temb: (B, D).
            angles: (M + N, head_dim / 2); None for no positions.

        Returns:
            Both streams, in their shapes.
        """
        streams = ((self.lq, lq_tokens), (self.hq, hq_tokens))
        vectors = [half.modulation(temb) for half, _ in streams]
        parts = [
            half.heads(half.to_qkv(torch.addcmul(shift, half.norm(tokens), 1 + scale)))
            for (half, tokens), (shift, scale, *_) in zip(streams, vectors, strict=True)
        ]
        query, key, value = (torch.cat(both, dim=1) for both in zip(*parts, strict=True))
        joint = self.attention(query, key, value, angles).split([lq_tokens.shape[1], hq_tokens.shape[1]], dim=1)
        results = []
        for (half, tokens), (_, _, gate, shift, scale, mlp_gate), one in zip(streams, vectors, joint, strict=True):
            tokens = torch.addcmul(tokens, gate, half.to_out(one))
            inner = half.mlp(torch.addcmul(shift, half.norm(tokens), 1 + scale))
            results.append(_within_range(torch.addcmul(tokens, mlp_gate, inner)))
        return results[0], results[1]


class SingleStreamBlock(nn.Module):
    """Both streams go through the same weights, attention and MLP side by side, Eq. 3 to 5."""

    def __init__(self, dim: int, *, head_dim: int) -> None:
        """Build it.

        Args:
            dim: D of the tokens.
            head_dim: Width of a head; divides D.
        """
        super().__init__()
        self.dim = dim
        self.modulation = Modulation(dim, num_vectors=3)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS, elementwise_affine=False)
        self.linear1 = nn.Linear(dim, (3 + MLP_RATIO) * dim)
        self.heads = NormedHeads(head_dim)
        self.attention = StreamAttention()
        self.activation = nn.GELU(approximate="tanh")
        self.linear2 = nn.Linear((1 + MLP_RATIO) * dim, dim)

    def forward(self, tokens: Tensor, temb: Tensor, angles: Tensor | None) -> Tensor:
        """(B, M + N, D) to the same shape; see `DoubleStreamBlock`."""
        shift, scale, gate = self.modulation(temb)
        inner = self.linear1(torch.addcmul(shift, self.norm(tokens), 1 + scale))
        qkv, hidden = inner.split([3 * self.dim, MLP_RATIO * self.dim], dim=-1)
        attended = self.attention(*self.heads(qkv), angles)
        joined = self.linear2(torch.cat([attended, self.activation(hidden)], dim=-1))
        return _within_range(torch.addcmul(tokens, gate, joined))


class TextAttention(DispatchedAttention):
    """Tokens take from the words of a prompt what concerns them: a light cross-attention, residual."""

    def __init__(self, dim: int, *, head_dim: int, text_dim: int) -> None:
        """Build it.

        Args:
            dim: D of the tokens.
            head_dim: Width of a head; divides D.
            text_dim: Width of the words' embeddings.
        """
        super().__init__()
        self.head_dim = head_dim
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.to_query = nn.Linear(dim, dim, bias=False)
        self.to_key_value = nn.Linear(text_dim, 2 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim)

    def prepare(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the words, which do not depend on the timestep: (B, L, text_dim) to (B, L, heads, d)."""
        key, value = self.to_key_value(text).unflatten(-1, (2, -1, self.head_dim)).unbind(2)
        return key, value

    def forward(self, tokens: Tensor, words: tuple[Tensor, Tensor]) -> Tensor:
        """(B, N, D) and what `prepare` gave to (B, N, D)."""
        query = self.to_query(self.norm(tokens)).unflatten(-1, (-1, self.head_dim))
        return tokens + self.to_out(self.processor(query, *words).flatten(2))


def _within_range(tokens: Tensor) -> Tensor:
    """Tokens that half precision can hold, as FLUX clips them; others are as they were."""
    if tokens.dtype != torch.float16:
        return tokens
    limit = torch.finfo(torch.float16).max
    return tokens.clamp(-limit, limit)
