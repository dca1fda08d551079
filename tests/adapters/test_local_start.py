import pytest
import torch
from torch import Tensor

from ldrestore.adapters.daff import DAFF
from ldrestore.adapters.local_start import look_at_own_place
from ldrestore.adapters.stream_blocks import StreamAttention, rotated
from ldrestore.errors import ConfigError

SIDE = 6
"""Tokens along a side."""


def new_daff(**options: object) -> DAFF:
    """Of one place, as torch draws it."""
    torch.manual_seed(0)
    sizes = {"block_out_channels": (8, 16), "lq_channels": 16, "text_dim": None, "dim": 64, "head_dim": 64}
    return DAFF(**{**sizes, "patch_size": 1, **options}).eval()


def attention_of(daff: DAFF) -> tuple[list[Tensor], Tensor]:
    """How much each token of the latents takes from each of the damaged picture's, by block; and what comes out."""
    fusion = daff.fusions["conv_in"]
    found = []

    def keep(_: StreamAttention, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        query, key = (rotated(one, inputs[3]) for one in inputs[:2])
        weights = torch.einsum("bnhd,bmhd->bhnm", query, key).div(query.shape[-1] ** 0.5).softmax(-1)[0].mean(0)
        found.append(weights[SIDE**2 :, : SIDE**2])

    for module in fusion.modules():
        if isinstance(module, StreamAttention):
            module.register_forward_hook(keep)
    torch.manual_seed(1)
    hidden_states = torch.randn(1, 8, SIDE, SIDE)
    with torch.no_grad():
        prepared = fusion.prepare(torch.randn(1, 16, SIDE, SIDE))
        output = fusion(hidden_states, torch.tensor(500), prepared)
    assert torch.equal(output, hidden_states)  # as ever, it begins without an effect
    return found, output


def share_of_own_place(weights: Tensor) -> float:
    """Of what is taken from the damaged picture, that from the token's own place."""
    return float(weights.diagonal().mean() / weights.sum(1).mean())


def test_each_token_begins_by_looking_at_its_own_place_in_every_block() -> None:
    plain, _ = attention_of(new_daff())
    daff = new_daff()
    look_at_own_place(daff, sharpness=3.0)
    focused, _ = attention_of(daff)
    assert len(plain) == len(focused) == 3  # one block of both streams, two of one
    for before, after in zip(plain, focused, strict=True):
        assert share_of_own_place(before) < 0.1
        assert share_of_own_place(after) > 0.4
        assert (after.argmax(1) == torch.arange(SIDE**2)).all()


def test_both_streams_are_looked_at_alike() -> None:
    daff = new_daff()
    look_at_own_place(daff, sharpness=3.0)
    for weights in attention_of(daff)[0]:
        assert abs(float(weights.sum(1).mean()) - 0.5) < 0.1


def test_a_sharper_look_takes_less_from_neighbours() -> None:
    shares = []
    for sharpness in (1.0, 2.0, 4.0):
        daff = new_daff()
        look_at_own_place(daff, sharpness=sharpness)
        shares.append(share_of_own_place(attention_of(daff)[0][0]))
    assert shares == sorted(shares) and shares[-1] > 2 * shares[0]


def test_gates_begin_open_and_gradients_reach_queries_once_the_projection_moves() -> None:
    daff = new_daff()
    look_at_own_place(daff, sharpness=2.0)
    fusion = daff.fusions["conv_in"]
    torch.nn.init.normal_(fusion.proj_out.weight, std=0.1)
    block = fusion.double_blocks[0]
    _, _, gate, _, _, mlp_gate = block.hq.modulation(torch.zeros(1, 64))
    assert torch.equal(gate, torch.ones_like(gate)) and torch.equal(mlp_gate, gate)
    output = fusion(torch.randn(1, 8, SIDE, SIDE), torch.tensor(500), fusion.prepare(torch.randn(1, 16, SIDE, SIDE)))
    output.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in block.hq.parameters())


def test_what_has_no_positions_or_no_sharpness_is_refused() -> None:
    released = new_daff(layout="released", num_double=1, num_single=1)
    with pytest.raises(ConfigError, match=r"fusion\.focus needs positions, which the released layout has none of"):
        look_at_own_place(released, sharpness=2.0)
    with pytest.raises(ConfigError, match=r"fusion\.focus must be positive, got 0; write null for none"):
        look_at_own_place(new_daff(), sharpness=0)
