import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.blocks.restormer_block import (
    ChannelNorm,
    Downsample,
    GatedFeedForward,
    NormKind,
    TransformerBlock,
    Upsample,
)


def test_the_norm_with_a_bias_is_layer_norm_over_the_channels():
    norm, features = ChannelNorm(6, "WithBias"), torch.randn(2, 6, 3, 4)
    expected = F.layer_norm(features.movedim(1, -1), (6,), eps=1e-5).movedim(-1, 1)
    torch.testing.assert_close(norm(features), expected, rtol=1e-4, atol=1e-5)


def test_the_norm_without_a_bias_keeps_the_mean_and_scales_with_nothing():
    norm, features = ChannelNorm(6, "BiasFree"), 3 + torch.randn(2, 6, 3, 4)
    spread = torch.sqrt(features.var(dim=1, correction=0, keepdim=True) + 1e-5)
    torch.testing.assert_close(norm(features), features / spread, rtol=1e-4, atol=1e-5)


def test_the_feed_forward_gates_by_the_gelu_of_the_first_half():
    torch.manual_seed(0)
    forward, features = GatedFeedForward(4, expansion=2.66), torch.randn(1, 4, 5, 5)
    hidden = forward.dwconv(forward.project_in(features))
    assert hidden.shape[1] == 2 * int(4 * 2.66)
    torch.testing.assert_close(forward(features), forward.project_out(F.gelu(hidden[:, :10]) * hidden[:, 10:]))


def test_a_block_adds_attention_and_then_the_feed_forward():
    torch.manual_seed(0)
    block, features = TransformerBlock(4, num_heads=2), torch.randn(1, 4, 6, 6)
    attended = features + block.attn(block.norm1(features))
    torch.testing.assert_close(block(features), attended + block.ffn(block.norm2(attended)))


@pytest.mark.parametrize(("layer", "shape"), [(Downsample(8), (1, 16, 2, 3)), (Upsample(8), (1, 4, 8, 12))])
def test_scaling_trades_size_for_channels(layer, shape):
    assert layer(torch.randn(1, 8, 4, 6)).shape == shape


def randomised(module: nn.Module) -> nn.Module:
    """The module with weights that no start value hides."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def literal_depthwise(features: Tensor, convolution: nn.Conv2d) -> Tensor:
    """3 x 3 around each place of each channel, zeros beyond the map."""
    padded = F.pad(features, (1, 1, 1, 1))
    height, width = features.shape[-2:]
    out = torch.zeros_like(features)
    for channel in range(features.shape[1]):
        for down in range(3):
            for right in range(3):
                weight = convolution.weight[channel, 0, down, right]
                out[:, channel] += weight * padded[:, channel, down : down + height, right : right + width]
        if convolution.bias is not None:
            out[:, channel] += convolution.bias[channel]
    return out


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("expansion", "hidden"), [(2.66, 15), (2.0, 12), (1.1, 6)])
def test_the_feed_forward_is_equation_2(bias: bool, expansion: float, hidden: int) -> None:
    forward, features = randomised(GatedFeedForward(6, expansion=expansion, bias=bias)), torch.randn(2, 6, 3, 4)
    assert forward.project_out.in_channels == hidden
    wide = torch.einsum("oc,bchw->bohw", forward.project_in.weight[..., 0, 0], features)
    wide = wide + forward.project_in.bias[:, None, None] if bias else wide
    wide = literal_depthwise(wide, forward.dwconv)
    gelu = wide[:, :hidden] * (1 + torch.erf(wide[:, :hidden] / 2**0.5)) / 2  # the exact one, not that by tanh
    expected = torch.einsum("oc,bchw->bohw", forward.project_out.weight[..., 0, 0], gelu * wide[:, hidden:])
    expected = expected + forward.project_out.bias[:, None, None] if bias else expected
    torch.testing.assert_close(forward(features), expected, rtol=1e-4, atol=1e-5)


def test_downsampling_puts_the_four_pixels_of_a_block_into_channels_row_by_row() -> None:
    layer, features = randomised(Downsample(4)), torch.randn(1, 4, 6, 4)
    convolved, found = layer.body[0](features), layer(features)
    for channel in range(2):
        for place, (down, right) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            assert torch.equal(found[:, 4 * channel + place], convolved[:, channel, down::2, right::2])


def test_upsampling_is_downsampling_the_other_way_round() -> None:
    layer, features = randomised(Upsample(4)), torch.randn(1, 4, 3, 2)
    convolved, found = layer.body[0](features), layer(features)
    for channel in range(2):
        for place, (down, right) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            assert torch.equal(found[:, channel, down::2, right::2], convolved[:, 4 * channel + place])


def test_without_a_bias_a_brighter_picture_normalises_to_the_same_but_for_the_smallest_number() -> None:
    norm, features = randomised(ChannelNorm(6, "BiasFree")), torch.randn(2, 6, 3, 4)
    torch.testing.assert_close(norm(1000 * features), norm(features), rtol=1e-3, atol=1e-3)
    assert list(norm.state_dict()) == ["body.weight"]
    assert list(ChannelNorm(6, "WithBias").state_dict()) == ["body.weight", "body.bias"]


@pytest.mark.parametrize("norm", ["WithBias", "BiasFree"])
def test_even_channels_normalise_to_finite_values_with_finite_gradients(norm: NormKind) -> None:
    layer, features = ChannelNorm(4, norm), torch.full((1, 4, 2, 2), 3.0, requires_grad=True)
    layer(features).square().sum().backward()
    assert layer(features).isfinite().all()
    assert features.grad is not None and features.grad.isfinite().all()


@pytest.mark.parametrize("norm", ["WithBias", "BiasFree"])
def test_a_block_has_the_parameters_that_its_sizes_say(norm: NormKind) -> None:
    block = TransformerBlock(16, num_heads=4, expansion=2.66, norm=norm)
    hidden = 42  # of 16 * 2.66 = 42.56
    attention = 4 + 48 * 16 + 48 * 9 + 16 * 16
    forward = 2 * hidden * 16 + 2 * hidden * 9 + hidden * 16
    norms = 2 * 16 * (2 if norm == "WithBias" else 1)
    assert sum(parameter.numel() for parameter in block.parameters()) == attention + forward + norms


def test_a_block_is_exactly_differentiable_and_each_picture_is_its_own() -> None:
    block = randomised(TransformerBlock(4, num_heads=2, bias=True)).double()
    features = torch.randn(2, 4, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, (features[:1],))
    torch.testing.assert_close(block(features.flip(0)), block(features).flip(0))
