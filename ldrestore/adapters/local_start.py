"""A start of DAFF in which each token looks at its own place, in both streams.

With random queries and keys a token begins by averaging over the whole picture, and which place of the damaged picture
is its own it has to find out by training. Narrow heads find it late, since normed queries and keys bound what they can
tell apart, and a short run ends before. Here queries and keys begin as one constant vector: turned by their rotary
positions, their product is largest where two tokens lie at the same place. The fusion still begins without an effect,
for its last projection is untouched.
"""

import torch
from torch import Tensor

from ldrestore.adapters.daff import DAFF, FeatureFusion
from ldrestore.adapters.stream_blocks import DoubleStreamBlock, NormedHeads, SingleStreamBlock
from ldrestore.errors import ConfigError

CONTENT = 0.1
"""What is left of the random weights of queries and keys beside the constant vector."""
GATES = {"double": (2, 5), "single": (2,)}
"""Which vectors of a block's modulation are gates; they begin open."""


@torch.no_grad()
def look_at_own_place(daff: DAFF, *, sharpness: float) -> None:
    """Let each token of all blocks begin by looking at its own place.

    Args:
        daff: New; changed in place.
        sharpness: Above 0; factor of queries and of keys. 1 looks at many neighbours, too, 3 at hardly any.

    Raises:
        ConfigError: the layout has no positions, or the sharpness is not positive.
    """
    if sharpness <= 0:
        raise ConfigError(f"fusion.focus must be positive, got {sharpness}; write null for none")
    if daff.config["layout"] == "released":
        raise ConfigError("fusion.focus needs positions, which the released layout has none of; write null")
    for fusion in daff.fusions.values():
        assert isinstance(fusion, FeatureFusion)
        own_place = _own_place(fusion.axes_dims)
        for block in (*fusion.double_blocks, *fusion.single_blocks):
            _begin_block(block, own_place, sharpness=sharpness)


def _own_place(axes_dims: list[int]) -> Tensor:
    """(head_dim,): 1 for the first of each pair of rows and columns, 0 for all else, the streams' share too."""
    pairs = torch.tensor([1.0, 0.0]).repeat(sum(axes_dims) // 2)
    pairs[: axes_dims[0]] = 0
    return pairs


def _begin_block(block: object, own_place: Tensor, *, sharpness: float) -> None:
    """One block of either kind."""
    if isinstance(block, DoubleStreamBlock):
        for half in (block.lq, block.hq):
            _begin_heads(half.to_qkv, half.heads, own_place, sharpness=sharpness)
            _open_gates(half.modulation.linear, GATES["double"], num_vectors=6)
    elif isinstance(block, SingleStreamBlock):
        _begin_heads(block.linear1, block.heads, own_place, sharpness=sharpness)
        _open_gates(block.modulation.linear, GATES["single"], num_vectors=3)


def _begin_heads(linear: torch.nn.Linear, heads: NormedHeads, own_place: Tensor, *, sharpness: float) -> None:
    """Queries and keys, the first 2 D of what a layer gives."""
    width = 2 * linear.in_features
    linear.weight[:width] *= CONTENT
    linear.bias[:width] = own_place.repeat(width // len(own_place))
    for norm in (heads.norm_query, heads.norm_key):
        norm.weight.fill_(sharpness)


def _open_gates(linear: torch.nn.Linear, gates: tuple[int, ...], *, num_vectors: int) -> None:
    """Begin with gates of about 1."""
    rows = linear.bias.view(num_vectors, -1)
    for gate in gates:
        rows[gate] = 1.0
