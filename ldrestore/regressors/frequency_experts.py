"""The mixture of frequency experts (MoFE) of MMFE-IR, Lee et al. 2026 (https://arxiv.org/abs/2605.11444), Sec. 3.2."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.blocks.transposed_attention import TransposedCrossAttention


class FrequencyExperts(nn.Module):
    """Experts work on the sub-bands of the degraded picture; the features take from their mixture what they need.

        S = sigmoid(W_r E_Answer)                                    Eq. 4
        F'_HF = projection(sum_i S_i * M_i(F_HF)),  M_i = conv, GELU, conv
        out = F + conv1x1(attention(Q = F, K = V = F'_HF))            Eq. 5 and 6, channel attention (MDTA)

    All experts compute, for a sigmoid excludes none. They are held side by side: the first convolutions are one, and
    because the second ones are linear, their weighted sum is one convolution of the weighted hidden channels.
    """

    def __init__(
        self, num_channels: int, *, num_heads: int, num_experts: int, band_channels: int, embedding_width: int
    ) -> None:
        """Build it; nothing in it has a bias. Each expert starts as two convolutions of its own would.

        Args:
            num_channels: C of the features, and of an expert's hidden map.
            num_heads: Heads of the attention.
            num_experts: N.
            band_channels: D, channels of the sub-bands: 9 for LH, HL and HH of a colour picture.
            embedding_width: Length of E_Answer.
        """
        super().__init__()
        wide = num_experts * num_channels
        self.router = nn.Linear(embedding_width, num_experts, bias=False)
        self.experts_in = nn.Conv2d(band_channels, wide, 3, padding=1, bias=False)
        self.experts_out = nn.Conv2d(wide, band_channels, 3, padding=1, bias=False)
        bound = (9 * num_channels) ** -0.5
        nn.init.uniform_(self.experts_out.weight, -bound, bound)
        self.projection = nn.Conv2d(band_channels, num_channels, 1, bias=False)
        self.attn = TransposedCrossAttention(num_channels, num_heads=num_heads)

    def weights_of(self, answer: Tensor) -> Tensor:
        """How strongly each expert is used, Eq. 4: E_Answer (B, width) to (B, N), each in (0, 1)."""
        return torch.sigmoid(self.router(answer))

    def forward(self, hidden_states: Tensor, bands: Tensor, weights: Tensor) -> Tensor:
        """Add to the features what the weighted experts found.

        Args:
            hidden_states: (B, C, H, W).
            bands: (B, D, H, W), of the picture resized so that they have the features' size.
            weights: (B, N), see `weights_of`.

        Returns:
            (B, C, H, W).
        """
        found = F.gelu(self.experts_in(bands))  # (B, N * C, H, W)
        share = weights.repeat_interleave(hidden_states.shape[1], dim=1)[..., None, None]  # (B, N * C, 1, 1)
        mixed = self.experts_out(found * share)  # (B, D, H, W)
        return hidden_states + self.attn(hidden_states, self.projection(mixed))


def guidance_matching(answer: Tensor, weights: Tensor) -> Tensor:
    """MLLM-guided loss, Eq. 7: pictures alike to the guide shall be alike to the router; in float32.

    The paper leaves open how the norm of the matrix is scaled. Here it is the mean over its B x B places, so that the
    loss has the same size for any batch. The guide is the aim: no gradient goes to it. A picture of which the guide
    said nothing (zeros) is like no other, and its places are 0.

    Args:
        answer: (B, width), E_Answer.
        weights: (B, N), S.

    Returns:
        Scalar in [0, 2]; 0 for a batch of one picture.
    """
    aim, found = answer.detach().float(), weights.float()
    alike = F.cosine_similarity(aim[:, None], aim[None], dim=2)  # (B, B)
    routed_alike = F.cosine_similarity(found[:, None], found[None], dim=2)  # (B, B)
    is_told = aim.any(dim=1)  # (B,)
    counts = (is_told[:, None] & is_told).fill_diagonal_(False)  # each is like itself; rounding would say otherwise
    return ((alike - routed_alike).abs() * counts).mean()
