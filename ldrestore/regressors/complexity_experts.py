"""Experts of growing cost and the router that gives each picture one of them.

Zamfir et al. 2025, Complexity Experts are Task-Discriminative Learners for Any Image Restoration (MoCE-IR,
https://arxiv.org/abs/2411.18466). Attribute names are those of the release.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.blocks.restormer_block import ChannelNorm
from ldrestore.blocks.routing import Routing, balance_loss, noisy
from ldrestore.blocks.typed_modules import ModulesOf
from ldrestore.errors import ConfigError
from ldrestore.tiling.shared_statistics import MapStatistic, channel_means

RoutingNoise = Literal["never", "training", "released"]
"""When noise is added to the router's logits: never, in training mode alone, or always, as the release does."""


class WindowFourierAttention(nn.Module):
    """Query times key in the frequencies of each window: their circular convolution, gating the values.

    The release multiplies the spectra without a conjugate, so that this is a convolution and no correlation.
    """

    def __init__(self, num_channels: int, *, window: int) -> None:
        """Build it.

        Args:
            num_channels: r of the features.
            window: Side of the windows, in positions.
        """
        super().__init__()
        wide = 2 * num_channels
        self.window = window
        self.q = nn.Conv2d(num_channels, num_channels, 1, bias=False)
        self.q_dwconv = nn.Conv2d(num_channels, num_channels, 3, padding=1, groups=num_channels)
        self.kv = nn.Conv2d(num_channels, wide, 1, bias=False)
        self.kv_dwconv = nn.Conv2d(wide, wide, 7, padding=3, groups=wide)
        self.norm = ChannelNorm(num_channels, "WithBias")
        self.proj_out = nn.Conv2d(num_channels, num_channels, 1)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, r, H, W) to the same shape; sides that windows do not fill are padded with zeros, as in the release."""
        query = self.q_dwconv(self.q(hidden_states))  # (B, r, H, W)
        key, value = self.kv_dwconv(self.kv(hidden_states)).chunk(2, dim=1)
        mixed = window_convolution(query, key, window=self.window)
        return self.proj_out(self.norm(mixed) * value)


def window_convolution(query: Tensor, key: Tensor, *, window: int) -> Tensor:
    """Circular convolution of two maps within each window, channel by channel.

    Args:
        query: (B, C, H, W).
        key: Same shape.
        window: Side of the windows, which start at the top left; what they lack at the other end is zero.

    Returns:
        (B, C, H, W) in the type of the query; half precision, which has no such transform on CPUs, passes by float32.
    """
    height, width = query.shape[-2:]
    full = torch.promote_types(query.dtype, torch.float32)
    spectra = [torch.fft.rfft2(_windows(features.to(full), window)) for features in (query, key)]
    mixed = torch.fft.irfft2(spectra[0] * spectra[1], s=(window, window))  # (B, H/w, W/w, C, w, w)
    joined = mixed.permute(0, 1, 4, 2, 5, 3).flatten(3, 4).flatten(1, 2)  # (B, H', W', C)
    return joined.permute(0, 3, 1, 2)[..., :height, :width].to(query.dtype)


def _windows(features: Tensor, window: int) -> Tensor:
    """(B, C, H, W) to (B, H/w, W/w, C, w, w), padded with zeros."""
    missing = [-size % window for size in features.shape[-2:]]
    if any(missing):  # a pad by nothing would copy
        features = F.pad(features, (0, missing[1], 0, missing[0]))
    return features.unflatten(3, (-1, window)).unflatten(2, (-1, window)).permute(0, 2, 4, 1, 3, 5)


class ComplexityExpert(nn.Module):
    """One expert: in r channels, window attention of what is routed gates what all pictures share.

    W2 (attention(W0 a) * silu(W1 s)) + a.
    """

    def __init__(self, num_channels: int, *, rank: int, window: int) -> None:
        """Build it.

        Args:
            num_channels: C of the features.
            rank: r, channels inside.
            window: See `WindowFourierAttention`.
        """
        super().__init__()
        self.proj = nn.ModuleList(
            [
                nn.Conv2d(num_channels, rank, 1, bias=False),
                nn.Conv2d(num_channels, rank, 1, bias=False),
                nn.Conv2d(rank, num_channels, 1, bias=False),
            ]
        )
        self.body = WindowFourierAttention(rank, window=window)

    def forward(self, routed: Tensor, shared: Tensor) -> Tensor:
        """Refine features by what the shared branch found.

        Args:
            routed: (B, C, H, W), a.
            shared: (B, C, H, W), s.

        Returns:
            (B, C, H, W).
        """
        to_routed, to_shared, to_channels = self.proj
        gated = self.body(to_routed(routed)) * F.silu(to_shared(shared))  # (B, r, H, W)
        return to_channels(gated) + routed


class ComplexityRouter(nn.Module):
    """Scores the experts for each picture by its mean features and by the high frequencies of the latent."""

    def __init__(
        self,
        num_channels: int,
        *,
        frequency_dim: int,
        costs: Sequence[int],
        with_complexity: bool = True,
        noise: RoutingNoise = "training",
        expert: int | None = None,
    ) -> None:
        """Build it.

        Args:
            num_channels: C of the features.
            frequency_dim: D of the embedding of high frequencies.
            costs: Number of parameters of each of the N experts.
            with_complexity: Whether the balance asks for more use of the cheaper experts, or for even use of all.
            noise: See `RoutingNoise`.
            expert: Index of the expert that all pictures take, whatever they look like; None to choose.

        Raises:
            ConfigError: fewer than two experts, no such expert, or no such kind of noise.
        """
        super().__init__()
        if len(costs) < 2:
            raise ConfigError(f"routing needs at least 2 experts, got {len(costs)}")
        if expert is not None and not 0 <= expert < len(costs):
            raise ConfigError(f"expert must lie in [0, {len(costs) - 1}] or be None, got {expert}")
        if noise not in get_args(RoutingNoise):
            raise ConfigError(f"routing_noise must be one of {', '.join(get_args(RoutingNoise))}, got {noise!r}")
        self.with_complexity, self.noise, self.expert = with_complexity, noise, expert
        self.gate = nn.Sequential(
            MapStatistic(channel_means), nn.Flatten(), nn.Linear(num_channels, len(costs), bias=False)
        )
        self.freq_gate = nn.Linear(frequency_dim, len(costs), bias=False)
        self.complexity: Tensor
        self.register_buffer("complexity", torch.tensor(costs) / max(costs))

    def forward(self, routed: Tensor, frequencies: Tensor) -> Routing:
        """Score the experts; each picture by itself.

        Noise is normal with a standard deviation of 1 / N, from torch's global generator as that of a dropout.

        Args:
            routed: (B, C, H, W).
            frequencies: (B, D).

        Returns:
            One row a picture; with a fixed expert the probabilities are 1 for it and 0 for the others.
        """
        logits = (self.gate(routed) + self.freq_gate(frequencies)).float()  # (B, N)
        is_noisy = self.noise == "released" or (self.noise == "training" and self.training)
        drawn = noisy(logits) if is_noisy else logits
        if self.expert is None:
            return Routing(drawn.softmax(dim=-1), logits, drawn)
        fixed = torch.zeros_like(logits)
        fixed[:, self.expert] = 1
        return Routing(fixed, logits, drawn)

    def balance(self, routing: Routing) -> Tensor:
        """The auxiliary loss of one router for one batch, see `balance_loss`; 0 where the expert is fixed."""
        if self.expert is not None:
            return routing.logits.new_zeros(())
        return balance_loss(routing, costs=self.complexity.float() if self.with_complexity else None)


class ExpertLayer(nn.Module):
    """A router and its experts: each picture goes through the one that the router scores highest, and no other.

    Expert i of N has rank C / base^(N - 1 - i) and windows of 2^(i + 2): the cheapest one sees least. At
    inference the release is right for one picture at a time alone; here each picture of a batch takes its own.
    """

    def __init__(
        self,
        num_channels: int,
        *,
        frequency_dim: int,
        num_experts: int = 4,
        rank: int = 2,
        with_complexity: bool = True,
        noise: RoutingNoise = "training",
        expert: int | None = None,
    ) -> None:
        """Build it.

        Args:
            num_channels: C of the features.
            frequency_dim: See `ComplexityRouter`.
            num_experts: N.
            rank: The base by which ranks grow from one expert to the next.
            with_complexity: See `ComplexityRouter`, as the next two.
            noise: When the choice is noisy.
            expert: Index of the expert that all pictures take.

        Raises:
            ConfigError: C is too small for so many experts, or a routing option is out of range.
        """
        super().__init__()
        ranks = [num_channels // rank ** (num_experts - 1 - index) for index in range(num_experts)]
        if min(ranks, default=1) < 1:
            raise ConfigError(
                f"{num_channels} channels give {num_experts} experts the ranks {ranks}; take more channels, "
                "fewer experts or a smaller base"
            )
        self.experts: ModulesOf[nn.ModuleList] = (
            ModulesOf(  # lists of one: the release could put several experts in a row
                nn.ModuleList([ComplexityExpert(num_channels, rank=size, window=2 ** (index + 2))])
                for index, size in enumerate(ranks)
            )
        )
        costs = [sum(parameter.numel() for parameter in expert.parameters()) for expert in self.experts]
        self.routing = ComplexityRouter(
            num_channels,
            frequency_dim=frequency_dim,
            costs=costs,
            with_complexity=with_complexity,
            noise=noise,
            expert=expert,
        )
        self.proj_out = nn.Conv2d(num_channels, num_channels, 1, bias=False)

    def forward(self, routed: Tensor, shared: Tensor, frequencies: Tensor) -> tuple[Tensor, Routing]:
        """Send each picture through its expert.

        Args:
            routed: (B, C, H, W), a.
            shared: (B, C, H, W), s.
            frequencies: (B, D).

        Returns:
            (B, C, H, W), weighted by the probability of the chosen expert, and what the router said.
        """
        routing = self.routing(routed, frequencies)
        weights, chosen = routing.probabilities.max(dim=-1)  # (B,)
        refined = self._through_chosen(chosen, routed, shared)
        return self.proj_out(refined * weights[:, None, None, None].to(refined.dtype)), routing

    def _through_chosen(self, chosen: Tensor, routed: Tensor, shared: Tensor) -> Tensor:
        """One call of each expert that somebody chose, with the pictures that chose it: (B, C, H, W).

        Where tensors hold no values, on the meta device, all take the dearest expert: counts of operations are then an
        upper bound.
        """
        fixed = self.routing.expert  # known without a look at values
        if fixed is None and chosen.is_meta:
            fixed = len(self.experts) - 1
        choices = chosen.tolist() if fixed is None else [fixed] * len(chosen)
        if len(set(choices)) == 1:
            return self.experts[choices[0]][0](routed, shared)
        refined = torch.empty_like(routed)
        for index in sorted(set(choices)):
            rows = torch.tensor([row for row, choice in enumerate(choices) if choice == index], device=routed.device)
            refined.index_copy_(0, rows, self.experts[index][0](routed[rows], shared[rows]))
        return refined
