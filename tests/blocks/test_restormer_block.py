import pytest
import torch
from torch.nn import functional as F

from ldrestore.blocks.restormer_block import ChannelNorm, Downsample, GatedFeedForward, TransformerBlock, Upsample


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
