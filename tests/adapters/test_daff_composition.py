"""DAFF as a whole: patches, texts, blocks and the way back to the map, held against a literal composition."""

import math

import pytest
import torch
from torch import Tensor

from ldrestore.adapters.daff import DAFF, FeatureFusion, PreparedLQ, halvings_at, repeated
from ldrestore.adapters.stream_blocks import TextAttention
from ldrestore.blocks.rotary import grid_positions, rotary_angles
from ldrestore.errors import ShapeError

SIZES = {"block_out_channels": (8, 16, 24), "lq_channels": 12, "text_dim": 10, "dim": 32, "head_dim": 16}


def daff_of(**options) -> DAFF:
    """All of whose parts have an effect."""
    torch.manual_seed(0)
    daff = DAFF(**{**SIZES, **options}).eval()
    for fusion in daff.fusions.values():
        torch.nn.init.normal_(fusion.proj_out.weight, std=0.1)
    return daff


def maps(height: int = 6, width: int = 4, batch: int = 1, channels: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = [(batch, channels, height, width), (batch, 12, height, width), (batch, 5, 10)]
    hidden, lq, text = (torch.randn(shape, generator=generator) for shape in shapes)
    return hidden, lq, text


def tokens_of(features: Tensor, embed: torch.nn.Conv2d, side: int) -> Tensor:
    """Patches of one map (C, h, w), row by row, through a convolution written as a matrix: (N, D)."""
    weight = embed.weight.flatten(1)
    corners = [(top, left) for top in range(0, features.shape[1], side) for left in range(0, features.shape[2], side)]
    patches = [features[:, top : top + side, left : left + side].flatten() for top, left in corners]
    return torch.stack([weight @ patch + embed.bias for patch in patches])


def map_of(patches: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """(N, C side^2), a channel's values beside each other, to (C, h, w), one value after the other."""
    channels = patches.shape[1] // side**2
    result = torch.empty(channels, grid[0] * side, grid[1] * side)
    for number, patch in enumerate(patches):
        top, left = number // grid[1] * side, number % grid[1] * side
        result[:, top : top + side, left : left + side] = patch.view(channels, side, side)
    return result


def loop_text(attention: TextAttention, tokens: Tensor, words: Tensor) -> Tensor:
    """Each token, each head by itself: (N, D) and (L, text_dim) to (N, D)."""
    width = attention.head_dim
    key, value = (attention.to_key_value.weight @ words.T).T.chunk(2, dim=1)  # (L, D) each
    result = []
    for token in tokens:
        query, parts = attention.to_query.weight @ attention.norm(token), []
        for start in range(0, len(query), width):
            one = slice(start, start + width)
            weights = torch.stack([query[one] @ row[one] for row in key]).div(math.sqrt(width)).softmax(0)
            parts.append(weights @ value[:, one])
        result.append(token + attention.to_out(torch.cat(parts)))
    return torch.stack(result)


def literal(fusion: FeatureFusion, hidden: Tensor, lq: Tensor, text: Tensor, timestep: float) -> Tensor:
    """One picture: (C, h, w) to what is added to it."""
    side = fusion.patch_size
    grid = (hidden.shape[1] // side, hidden.shape[2] // side)
    lq_tokens = tokens_of(fusion.lq_projection(lq[None])[0], fusion.embed_lq, side)[None]
    hq_tokens = start = tokens_of(hidden, fusion.embed_hq, side)[None]
    frequencies = torch.exp(-math.log(10_000) * torch.arange(128) / 128)
    waves = torch.cat([torch.cos(timestep * frequencies), torch.sin(timestep * frequencies)])
    temb = fusion.time_embedding(waves[None])
    angles = None
    if not fusion.is_released:
        positions = [grid_positions(*grid, first=stream, scale=fusion.position_scale) for stream in (0.0, 1.0)]
        angles = rotary_angles(torch.cat(positions), fusion.axes_dims)
    for block in fusion.double_blocks:
        lq_tokens, hq_tokens = block(lq_tokens, hq_tokens, temb, angles)
    tokens = torch.cat([lq_tokens, start if fusion.is_released else hq_tokens], dim=1)
    for block in fusion.single_blocks:
        tokens = block(tokens, temb, angles)
    count = grid[0] * grid[1]
    result = tokens[0, count:]
    if fusion.is_released:
        result = torch.cat([tokens[0, :count], tokens[0, count:]], dim=1)
    vectors = fusion.modulation_out.linear(torch.nn.functional.silu(temb))[0]
    shift, scale = vectors[: result.shape[1]], vectors[result.shape[1] :]
    normed = (result - result.mean(1, keepdim=True)) / (result.var(1, keepdim=True, correction=0) + 1e-6).sqrt()
    aligned = fusion.join(normed * (1 + scale) + shift)
    return map_of(fusion.proj_out(loop_text(fusion.text_attention, aligned, text)), grid, side)


@torch.no_grad()
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"patch_size": 1},
        {"num_double": 2, "num_single": 1, "position_scale": 0.5},
        {"num_double": 0},
        {"num_single": 0},
        {"layout": "released"},
    ],
)
def test_the_whole_is_the_composition_of_its_parts(options) -> None:
    daff, (hidden, lq, text) = daff_of(**options), maps()
    found = daff(hidden, torch.tensor(321.0), daff.prepare(lq, text)["conv_in"], place="conv_in")
    added = literal(daff.fusion_at("conv_in"), hidden[0], lq[0], text[0], 321.0)
    torch.testing.assert_close(found[0], hidden[0] + added, rtol=1e-3, atol=1e-4)
    assert added.abs().max() > 0.1


@torch.no_grad()
def test_pictures_of_a_batch_and_their_timesteps_stay_to_themselves() -> None:
    daff, (hidden, lq, text) = daff_of(), maps(batch=3)
    timesteps = torch.tensor([10, 500, 999])
    together = daff(hidden, timesteps, daff.prepare(lq, text)["conv_in"], place="conv_in")
    for index in range(3):
        one = slice(index, index + 1)
        prepared = daff.prepare(lq[one], text[one])["conv_in"]
        for timestep in (timesteps[one], timesteps[index]):  # (1,) and scalar
            alone = daff(hidden[one], timestep, prepared, place="conv_in")
            torch.testing.assert_close(together[one], alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together[:1], daff(hidden[:1], timesteps[1], prepared, place="conv_in"), atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(5, 4), (6, 3), (7, 5)])
def test_borders_that_patches_do_not_fill_are_continued(height, width) -> None:
    """As if the last row and column of what is projected were there once more; nothing of it is left in the result."""
    daff, (hidden, lq, text) = daff_of(lq="latent", lq_channels=8), maps(height, width)
    lq = lq[:, :8]

    def continued(features: Tensor) -> Tensor:
        if height % 2:
            features = torch.cat([features, features[..., -1:, :]], dim=2)
        return torch.cat([features, features[..., -1:]], dim=3) if width % 2 else features

    found = daff(hidden, torch.tensor(7), daff.prepare(lq, text)["conv_in"], place="conv_in")
    whole = daff(continued(hidden), torch.tensor(7), daff.prepare(continued(lq), text)["conv_in"], place="conv_in")
    torch.testing.assert_close(found, whole[..., :height, :width])


@torch.no_grad()
def test_at_a_lower_place_the_picture_is_averaged_once_a_halving_and_borders_by_what_there_is() -> None:
    daff, (_, lq, text) = daff_of(places=("conv_in", "down_blocks.0", "down_blocks.1", "down_blocks.2")), maps(5, 7)
    prepared = daff.prepare(lq, text)

    def halved(features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        cells = [
            [features[..., y : y + 2, x : x + 2].mean(dim=(-2, -1)) for x in range(0, width, 2)]
            for y in range(0, height, 2)
        ]
        return torch.stack([torch.stack(row, dim=-1) for row in cells], dim=-2)

    reduced = {"conv_in": lq, "down_blocks.0": halved(lq)}
    reduced["down_blocks.1"] = reduced["down_blocks.2"] = halved(halved(lq))  # the last block does not halve
    assert [halvings_at(place, 3) for place in reduced] == [0, 1, 2, 2]
    for place, features in reduced.items():
        expected = daff.fusion_at(place).prepare(features, text)
        assert prepared[place].grid == expected.grid
        torch.testing.assert_close(prepared[place].tokens, expected.tokens, rtol=1e-4, atol=1e-5)
    assert [daff.cells_at(place) for place in reduced] == [2, 4, 8, 8]
    assert [daff.channels_at(place) for place in reduced] == [8, 8, 16, 24]


@torch.no_grad()
def test_a_token_of_a_lower_place_sees_what_lies_over_it() -> None:
    """One value of the damaged picture reaches one token only, at the place that `cells_at` says."""
    daff = daff_of(places=("conv_in", "down_blocks.0"), lq="latent", lq_channels=8, block_out_channels=(8, 8, 16))
    lq = torch.zeros(1, 8, 16, 16)
    before = daff.prepare(lq)
    lq[..., 9, 6] = 1.0
    for place, one in daff.prepare(lq).items():
        changed = (one.tokens != before[place].tokens).any(dim=-1).unflatten(1, one.grid)[0]
        cells = daff.cells_at(place)
        assert changed.nonzero().tolist() == [[9 // cells, 6 // cells]]


def test_positions_of_a_halved_scale_are_those_of_a_grid_half_as_large() -> None:
    wide = daff_of(position_scale=0.5).fusion_at("conv_in")._angles((4, 6), torch.device("cpu"))
    near = daff_of().fusion_at("conv_in")._angles((2, 3), torch.device("cpu"))
    wide, near = wide.view(2, 4, 6, -1), near.view(2, 2, 3, -1)
    torch.testing.assert_close(wide[:, ::2, ::2], near)
    assert not torch.equal(near[0], near[1])  # the streams differ in their first axis


@pytest.mark.parametrize(("head_dim", "axes"), [(64, [8, 28, 28]), (16, [4, 6, 6]), (32, [4, 14, 14])])
def test_a_head_is_shared_among_stream_row_and_column(head_dim, axes) -> None:
    fusion = daff_of(dim=64, head_dim=head_dim).fusion_at("conv_in")
    assert fusion.axes_dims == axes and sum(axes) == head_dim


def test_a_batch_is_filled_by_whole_repetitions() -> None:
    rows = torch.arange(3)[:, None]
    assert repeated(rows, 6).flatten().tolist() == [0, 1, 2, 0, 1, 2]
    assert repeated(rows, 3) is not rows and torch.equal(repeated(rows, 3), rows)
    with pytest.raises(ShapeError, match="prepared for 3 pictures, which do not fit a batch of 4"):
        repeated(rows, 4)


def test_one_text_of_several_is_taken_with_the_same_picture() -> None:
    tokens, words = torch.randn(1, 4, 8), (torch.randn(3, 5, 2, 4), torch.randn(3, 5, 2, 4))
    one = PreparedLQ(tokens, words, (2, 2)).with_text(1)
    assert one.tokens is tokens and one.grid == (2, 2)
    assert torch.equal(one.words[0], words[0][1:2]) and torch.equal(one.words[1], words[1][1:2])
    assert PreparedLQ(tokens, None, (2, 2)).with_text(1).words is None


def test_windows_of_one_size_make_a_batch() -> None:
    prepared = PreparedLQ(torch.arange(24.0).view(1, 24, 1), None, (4, 6))
    windows = [(slice(0, 4), slice(2, 6)), (slice(4, 8), slice(8, 12))]
    cut = prepared.cut(windows, cells=2)
    assert cut.grid == (2, 2)
    assert cut.tokens[..., 0].tolist() == [[1, 2, 7, 8], [16, 17, 22, 23]]
    ragged = prepared.cut([(slice(4, 7), slice(8, 11))], cells=2)  # the picture ends within a token
    assert torch.equal(ragged.tokens, cut.tokens[1:])


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_result_has_the_type_of_the_unets_features(dtype) -> None:
    daff, (hidden, lq, text) = daff_of(), maps()
    prepared = daff.prepare(lq.to(dtype), text.to(dtype))["conv_in"]
    assert prepared.tokens.dtype == torch.float32
    found = daff(hidden.to(dtype), torch.tensor(5), prepared, place="conv_in")
    assert found.dtype == dtype and found.isfinite().all()
    exact = daff(hidden, torch.tensor(5), daff.prepare(lq, text)["conv_in"], place="conv_in")
    torch.testing.assert_close(found.float(), exact, rtol=0.05, atol=0.1)
