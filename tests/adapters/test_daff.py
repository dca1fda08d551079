"""DAFF against a literal version of its equations, token by token and head by head."""

import math

import pytest
import torch
from torch.nn import functional as F

from ldrestore.adapters.daff import DAFF, RELEASED_SIZES
from ldrestore.adapters.stream_blocks import DoubleStreamBlock, SingleStreamBlock
from ldrestore.blocks.rotary import grid_positions, rotary_angles, rotated
from ldrestore.errors import ConfigError, ShapeError

SMALL = {"block_out_channels": (8, 16), "lq_channels": 12, "text_dim": 10, "dim": 32, "head_dim": 16}


def small_daff(**options):
    torch.manual_seed(0)
    return DAFF(**{**SMALL, **options})


def awake(daff):
    """The same with a last projection that is not zero."""
    torch.manual_seed(1)
    for fusion in daff.fusions.values():
        torch.nn.init.normal_(fusion.proj_out.weight, std=0.05)
    return daff


def inputs(height=6, width=4, batch=1):
    torch.manual_seed(2)
    return torch.randn(batch, 8, height, width), torch.randn(batch, 12, height, width), torch.randn(batch, 5, 10)


def loop_attention(query, key, value):
    """softmax(q k / sqrt(d)) v for (N, heads, d), one query and one head at a time: (N, heads * d)."""
    out = torch.zeros_like(query)
    for head in range(query.shape[1]):
        for i in range(len(query)):
            scores = torch.stack([query[i, head] @ key[j, head] for j in range(len(key))]) / math.sqrt(query.shape[2])
            out[i, head] = sum(weight * value[j, head] for j, weight in enumerate(scores.softmax(0)))
    return out.flatten(1)


def loop_norm(token):
    return (token - token.mean()) / torch.sqrt(token.var(correction=0) + 1e-6)


def loop_rms(vector, weight):
    return vector / torch.sqrt(vector.square().mean() + 1e-6) * weight


def loop_heads(block, qkv, angles):
    """Queries, keys, values of (N, 3 D), normed and turned: (N, heads, d) each."""
    parts = qkv.view(len(qkv), 3, -1, block.head_dim)
    query, key = parts[:, 0].clone(), parts[:, 1].clone()
    for i in range(len(qkv)):
        for head in range(query.shape[1]):
            query[i, head] = loop_rms(parts[i, 0, head], block.norm_query.weight)
            key[i, head] = loop_rms(parts[i, 1, head], block.norm_key.weight)
    return rotated(query[None], angles)[0], rotated(key[None], angles)[0], parts[:, 2]


def modulated(modulation, temb, count):
    return (modulation.linear.weight @ F.silu(temb) + modulation.linear.bias).view(count, -1)


@torch.no_grad()
def test_a_double_stream_block_is_equations_1_and_2():
    torch.manual_seed(0)
    block, temb = DoubleStreamBlock(32, head_dim=16), torch.randn(32)
    streams = {"lq": torch.randn(4, 32), "hq": torch.randn(4, 32)}
    angles = rotary_angles(torch.cat([grid_positions(2, 2, first=f) for f in (0.0, 1.0)]), (4, 6, 6))
    heads = {}
    for index, (name, tokens) in enumerate(streams.items()):
        half = getattr(block, name)
        shift, scale = modulated(half.modulation, temb, 6)[:2]
        rows = torch.stack([half.to_qkv(loop_norm(token) * (1 + scale) + shift) for token in tokens])
        heads[name] = loop_heads(half.heads, rows, angles[4 * index : 4 * index + 4])
    joint = loop_attention(*(torch.cat([heads["lq"][i], heads["hq"][i]]) for i in range(3)))
    results = block(streams["lq"][None], streams["hq"][None], temb[None], angles)
    for index, (name, tokens) in enumerate(streams.items()):
        half = getattr(block, name)
        _, _, gate, shift, scale, mlp_gate = modulated(half.modulation, temb, 6)
        for i, token in enumerate(tokens):
            gated = token + gate * half.to_out(joint[4 * index + i])
            expected = gated + mlp_gate * half.mlp(loop_norm(gated) * (1 + scale) + shift)
            torch.testing.assert_close(results[index][0, i], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_single_stream_block_is_equations_3_to_5():
    torch.manual_seed(0)
    block, temb, tokens = SingleStreamBlock(32, head_dim=16), torch.randn(32), torch.randn(6, 32)
    angles = rotary_angles(torch.cat([grid_positions(1, 3, first=f) for f in (0.0, 1.0)]), (4, 6, 6))
    shift, scale, gate = modulated(block.modulation, temb, 3)
    inner = torch.stack([block.linear1(loop_norm(token) * (1 + scale) + shift) for token in tokens])
    attended = loop_attention(*loop_heads(block.heads, inner[:, :96], angles))
    result = block(tokens[None], temb[None], angles)[0]
    for i, token in enumerate(tokens):
        joined = torch.cat([attended[i], F.gelu(inner[i, 96:], approximate="tanh")])
        expected = token + gate * (block.linear2.weight @ joined + block.linear2.bias)
        torch.testing.assert_close(result[i], expected, rtol=1e-4, atol=1e-5)


def test_it_begins_as_the_identity_to_the_bit():
    daff, (hidden, lq, text) = small_daff(), inputs()
    aligned = daff(hidden, torch.tensor(999), daff.prepare(lq, text)["conv_in"], place="conv_in")
    assert torch.equal(aligned, hidden)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_double": 0},
        {"num_single": 0},
        {"layout": "released", "patch_size": 1},
        {"lq": "latent", "lq_channels": 8},
        {"text_dim": None},
    ],
)
def test_each_ablation_depends_on_timestep_and_damaged_picture(options):
    daff, (hidden, lq, text) = awake(small_daff(**options)), inputs()
    lq = lq[:, : options.get("lq_channels", 12)]

    def aligned(lq, timestep):
        return daff(hidden, torch.tensor(timestep), daff.prepare(lq, text)["conv_in"], place="conv_in")

    base = aligned(lq, 500)
    assert base.shape == hidden.shape
    assert not torch.allclose(base, hidden)
    assert not torch.allclose(base, aligned(lq, 20))
    assert not torch.allclose(base, aligned(lq.flip(-1), 500))


def test_the_text_has_an_effect_and_may_be_left_out():
    daff, (hidden, lq, text) = awake(small_daff()), inputs()
    with_text, other, without = (
        daff(hidden, torch.tensor(500), daff.prepare(lq, words)["conv_in"], place="conv_in")
        for words in (text, text.flip(1) * 2, None)
    )
    assert not torch.allclose(with_text, other)
    assert not torch.allclose(with_text, without)


def test_the_projection_learns_at_the_first_step_and_all_else_at_the_second():
    daff, (hidden, lq, text) = small_daff(), inputs()
    optimizer = torch.optim.SGD(daff.parameters(), lr=0.1)
    for step in range(2):
        optimizer.zero_grad()
        aligned = daff(hidden, torch.tensor(500), daff.prepare(lq, text)["conv_in"], place="conv_in")
        (aligned - hidden - 1).square().mean().backward()
        moved = {name for name, value in daff.named_parameters() if value.grad is not None and value.grad.any()}
        everything = {name for name, _ in daff.named_parameters()}
        behind = {name for name in everything if "proj_out" in name}
        assert moved == (behind if step == 0 else everything)
        optimizer.step()


def test_odd_sizes_and_larger_ones_than_any_before_work():
    daff = awake(small_daff(position_scale=0.5))
    for height, width in ((5, 7), (12, 8), (1, 1)):
        hidden, lq, text = inputs(height, width)
        assert daff(hidden, torch.tensor(5), daff.prepare(lq, text)["conv_in"], place="conv_in").shape == hidden.shape


def test_a_picture_serves_both_halves_of_guidance():
    daff, (hidden, lq, text) = awake(small_daff()), inputs()
    words = torch.cat([torch.zeros_like(text), text])
    prepared = daff.prepare(lq, words)["conv_in"]
    both = daff(hidden.expand(2, -1, -1, -1), torch.tensor(5), prepared, place="conv_in")
    alone = daff(hidden, torch.tensor(5), daff.prepare(lq, text)["conv_in"], place="conv_in")
    torch.testing.assert_close(both[1:], alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(both[0], both[1])


def test_several_places_have_widths_and_sizes_of_their_own():
    daff, (_, lq, text) = awake(small_daff(places=("conv_in", "down_blocks.0", "down_blocks.1"))), inputs(8, 6)
    prepared = daff.prepare(lq, text)
    assert {place: one.grid for place, one in prepared.items()} == {
        "conv_in": (4, 3),
        "down_blocks.0": (2, 2),
        "down_blocks.1": (2, 2),
    }
    deep = torch.randn(1, 16, 4, 3)
    assert daff(deep, torch.tensor(5), prepared["down_blocks.1"], place="down_blocks.1").shape == deep.shape


def test_half_precision_stays_finite():
    daff, (hidden, lq, text) = awake(small_daff()).half(), inputs()
    prepared = daff.prepare(lq.half() * 5e3, text.half())["conv_in"]
    assert daff(hidden.half() * 100, torch.tensor(5), prepared, place="conv_in").isfinite().all()


@torch.no_grad()
def test_tokens_beyond_half_precision_are_clipped():
    torch.manual_seed(0)
    single, double = SingleStreamBlock(32, head_dim=16), DoubleStreamBlock(32, head_dim=16)
    for linear in (single.modulation.linear, double.hq.modulation.linear):
        linear.bias[-32:] = 1000.0  # the last gate
    for linear in (single.linear2, double.hq.mlp[2]):
        linear.bias.fill_(1000.0)
    tokens, temb = torch.randn(1, 4, 32).half(), torch.randn(1, 32).half()
    hidden = double.half()(tokens, tokens, temb, None)[1]
    for clipped in (hidden, single.half()(tokens, temb, None)):
        assert (clipped == torch.finfo(torch.float16).max).all()


def test_it_saves_and_loads(tmp_path):
    daff = awake(small_daff(places=("conv_in", "down_blocks.0")))
    daff.save_pretrained(tmp_path)
    loaded = DAFF.from_pretrained(tmp_path)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in daff.state_dict().items())
    assert loaded.places == daff.places


def test_released_sizes_build():
    with torch.device("meta"):
        daff = DAFF(layout="released", **RELEASED_SIZES)
    count = sum(parameter.numel() for parameter in daff.parameters())
    assert 40e6 < count < 80e6


def test_what_cannot_be_built_or_fed_is_refused():
    for options, message in (
        ({"lq": "pixels"}, "lq must be one of features, latent"),
        ({"layout": "mine"}, "layout must be one of ours, released"),
        ({"places": ()}, "places is empty"),
        ({"places": ("up_blocks.0",)}, "no place 'up_blocks.0'.*conv_in, down_blocks.0, down_blocks.1"),
        ({"num_double": 0, "num_single": 0}, "DAFF needs a block"),
        ({"head_dim": 24}, "head_dim must be a multiple of 16"),
        ({"lq": "latent"}, 'lq="latent" takes what conv_in makes'),
    ):
        with pytest.raises(ConfigError, match=message):
            small_daff(**options)
    daff, (hidden, lq, text) = small_daff(), inputs()
    with pytest.raises(ShapeError, match=r"expected lq of shape \(B, 12, h, w\), got \(1, 8, 6, 4\)"):
        daff.prepare(hidden)
    with pytest.raises(ShapeError, match=r"features of \(3, 2\) patches"):
        daff(hidden[..., :2], torch.tensor(5), daff.prepare(lq, text)["conv_in"], place="conv_in")
