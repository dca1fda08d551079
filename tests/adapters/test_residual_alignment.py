"""Residual self-attention in DAFF's place: what it computes, what it does not look at, and how it begins."""

import pytest
import torch
from torch import Tensor

from ldrestore.adapters.residual_alignment import QuickGELU, ResidualAlignment
from ldrestore.errors import ConfigError, ShapeError


def alignment_of(is_new: bool = False, **options) -> ResidualAlignment:
    torch.manual_seed(0)
    alignment = ResidualAlignment(**{"num_channels": 8, "lq_channels": 12, "num_heads": 2, **options}).eval()
    if not is_new:
        torch.nn.init.normal_(alignment.proj_out.weight, std=0.2)
        torch.nn.init.normal_(alignment.proj_out.bias)
    return alignment


def maps(height: int = 5, width: int = 3, batch: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(batch, 8, height, width, generator=generator)
    return hidden, torch.randn(batch, 12, height, width, generator=generator)


def aligned(alignment: ResidualAlignment, hidden: Tensor, lq: Tensor, timestep: int = 500) -> Tensor:
    prepared = alignment.prepare(lq)["conv_in"]
    return alignment(hidden, torch.tensor(timestep), prepared, place="conv_in")


@torch.no_grad()
@pytest.mark.parametrize("num_layers", [1, 2])
def test_it_is_joined_channels_through_the_blocks_position_by_position(num_layers) -> None:
    alignment, (hidden, lq) = alignment_of(lq_projection_layers=num_layers), maps()
    features = alignment.lq_projection(lq)[0]
    joined = [torch.cat([hidden[0, :, y, x], features[:, y, x]]) for y in range(5) for x in range(3)]
    tokens = torch.stack(joined)[None]
    for block in alignment.blocks:
        tokens = block(tokens)
    found = aligned(alignment, hidden, lq)[0]
    for number, token in enumerate(tokens[0]):
        y, x = divmod(number, 3)
        expected = hidden[0, :, y, x] + alignment.proj_out.weight @ token + alignment.proj_out.bias
        torch.testing.assert_close(found[:, y, x], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_projection_of_one_layer_is_norm_silu_and_convolution() -> None:
    alignment, (_, lq) = alignment_of(lq_projection_layers=1), maps()
    norm, _, last = alignment.lq_projection
    size = 12 // norm.num_groups
    normed = torch.empty_like(lq)
    for group in range(norm.num_groups):
        part = lq[:, group * size : (group + 1) * size]
        normed[:, group * size : (group + 1) * size] = (part - part.mean()) / (part.var(correction=0) + 1e-6).sqrt()
    assert 1 < norm.num_groups < 12
    expected = last(normed * normed.sigmoid())
    torch.testing.assert_close(alignment.lq_projection(lq), expected, rtol=1e-4, atol=1e-5)


def test_it_begins_as_the_identity_and_only_the_projection_learns_at_first() -> None:
    alignment, (hidden, lq) = alignment_of(is_new=True), maps()
    assert torch.equal(aligned(alignment, hidden, lq), hidden)
    everything = {name for name, _ in alignment.named_parameters()}
    optimizer = torch.optim.SGD(alignment.parameters(), lr=0.1)
    for expected in ({"proj_out.weight", "proj_out.bias"}, everything):
        optimizer.zero_grad()
        (aligned(alignment, hidden, lq) - hidden - 1).square().mean().backward()
        moved = {name for name, one in alignment.named_parameters() if one.grad is not None and one.grad.any()}
        missing = {name for name in expected - moved if "norm" not in name}
        assert not missing and moved <= expected
        optimizer.step()


@torch.no_grad()
def test_neither_the_timestep_nor_the_text_nor_the_place_of_a_position_counts() -> None:
    alignment, (hidden, lq) = alignment_of(), maps()
    expected = aligned(alignment, hidden, lq, timestep=1)
    assert torch.equal(aligned(alignment, hidden, lq, timestep=999), expected)
    with_text = alignment.prepare(lq, torch.randn(1, 5, 10))["conv_in"]
    assert with_text.words is None
    assert torch.equal(alignment(hidden, torch.tensor(1), with_text, place="conv_in"), expected)
    order = torch.randperm(15, generator=torch.Generator().manual_seed(2))
    prepared = alignment.prepare(lq)["conv_in"]
    shuffled = prepared._replace(tokens=prepared.tokens[:, order])
    elsewhere = alignment(hidden.flatten(2)[..., order].view_as(hidden), torch.tensor(1), shuffled, place="conv_in")
    torch.testing.assert_close(elsewhere.flatten(2), expected.flatten(2)[..., order], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_each_picture_of_a_batch_has_its_own_damaged_picture_and_guidance_the_same_twice() -> None:
    alignment, (hidden, lq) = alignment_of(), maps(batch=2)
    together = aligned(alignment, hidden, lq)
    for index in range(2):
        one = slice(index, index + 1)
        torch.testing.assert_close(together[one], aligned(alignment, hidden[one], lq[one]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together, aligned(alignment, hidden, lq.flip(0)), atol=1e-2)
    twice = aligned(alignment, hidden.repeat(2, 1, 1, 1), lq)
    torch.testing.assert_close(twice, together.repeat(2, 1, 1, 1), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_features_in_half_precision_come_back_in_it() -> None:
    alignment, (hidden, lq) = alignment_of(), maps()
    found = aligned(alignment, hidden.half(), lq.half())
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), aligned(alignment, hidden, lq), rtol=0.02, atol=0.02)


def test_quick_gelu_is_near_gelu_and_exact_at_known_values() -> None:
    x = torch.linspace(-6, 6, 101)
    torch.testing.assert_close(QuickGELU()(x), torch.nn.functional.gelu(x), rtol=0, atol=0.021)
    assert QuickGELU()(torch.zeros(1)) == 0
    torch.testing.assert_close(QuickGELU()(torch.tensor([1.0])), torch.tensor([0.8457958]))


def test_it_saves_and_loads_with_its_sizes(tmp_path) -> None:
    alignment, (hidden, lq) = alignment_of(num_blocks=3, lq_projection_layers=1), maps()
    alignment.save_pretrained(tmp_path)
    loaded = ResidualAlignment.from_pretrained(tmp_path)
    assert (len(loaded.blocks), loaded.places, loaded.channels_at("conv_in")) == (3, ("conv_in",), 8)
    assert torch.equal(aligned(loaded, hidden, lq), aligned(alignment, hidden, lq))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_heads must divide twice the channels, 16, got 3"):
        alignment_of(num_heads=3)
    alignment, (hidden, lq) = alignment_of(), maps()
    with pytest.raises(ShapeError, match=r"expected lq of shape \(B, 12, h, w\), got \(1, 8, 5, 3\)"):
        alignment.prepare(hidden)
    with pytest.raises(ShapeError, match=r"the damaged picture's size \(5, 3\), got \(5, 2\)"):
        aligned(alignment, hidden[..., :2], lq)
    with pytest.raises(ShapeError, match="prepared for 2 pictures, which do not fit a batch of 3"):
        aligned(alignment, hidden.repeat(3, 1, 1, 1), lq.repeat(2, 1, 1, 1))
