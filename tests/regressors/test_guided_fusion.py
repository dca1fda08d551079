"""The fusion blocks of MMFE-IR, against literal versions."""

import pytest
import torch

from ldrestore.regressors.guided_fusion import ChannelFusion, LiteralFusion


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3), (3, 4), (7, 6)])
def test_channel_fusion_is_attention_over_the_broadcast_embedding(size):
    torch.manual_seed(0)
    block = ChannelFusion(6, num_heads=2, embedding_width=5)
    block.temperature.data = torch.tensor([0.7, 1.9])[:, None, None]
    features, embedding = torch.randn(2, 6, *size), torch.randn(2, 5)
    guide_map = block.kv(block.project_in(embedding))[..., None, None].expand(2, 12, *size)  # the whole map
    query = block.q_dwconv(block.q(block.norm1(features))).flatten(2)
    key, value = block.kv_dwconv(guide_map).flatten(2).chunk(2, dim=1)
    attended = torch.empty(2, 6, size[0] * size[1])
    for picture in range(2):
        for head, start in enumerate((0, 3)):
            own = slice(start, start + 3)
            queries = query[picture, own] / query[picture, own].norm(dim=1, keepdim=True)
            logits = queries @ key[picture, own].T / query.shape[2] ** 0.5 * block.temperature[head]
            attended[picture, own] = logits.softmax(dim=1) @ value[picture, own]
    expected = features + block.project_out(attended.unflatten(2, size))
    expected = expected + block.ffn(block.norm2(expected))
    torch.testing.assert_close(block(features, embedding), expected)


def test_channel_fusion_depends_on_the_features_and_teaches_every_weight():
    torch.manual_seed(0)
    block, embedding = ChannelFusion(6, num_heads=2, embedding_width=5), torch.randn(1, 5)
    first, second = torch.randn(2, 1, 6, 8, 8)
    added = [block._attended(block.norm1(features), embedding) for features in (first, second)]
    assert (added[0] - added[1]).abs().max() > 1e-4
    block(first, embedding).square().sum().backward()
    keys = block.kv.weight.grad[:6]
    assert keys.abs().max() > 1e-4 * block.kv.weight.grad[6:].abs().max()
    assert all(parameter.grad.any() for parameter in block.parameters())


def test_the_literal_softmax_of_one_key_is_1_so_queries_and_keys_learn_nothing():
    torch.manual_seed(0)
    block, features, embedding = LiteralFusion(6, embedding_width=5), torch.randn(2, 6, 4, 3), torch.randn(2, 5)
    fused = block(features, embedding)
    constant = block.project_out(block.v(embedding))[..., None, None]
    torch.testing.assert_close(fused, features + constant)
    fused.square().sum().backward()
    assert not block.q.weight.grad.any() and not block.k.weight.grad.any()
    assert block.v.weight.grad.any() and block.project_out.weight.grad.any()


@pytest.mark.parametrize("size", [(2, 3), (4, 5)])
def test_channel_fusion_has_exact_gradients_in_double_precision(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    block = ChannelFusion(4, num_heads=2, embedding_width=3).double()
    features = torch.randn(1, 4, *size, dtype=torch.float64, requires_grad=True)
    embedding = torch.randn(1, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, (features, embedding))


def test_half_precision_sums_over_many_positions_in_full() -> None:
    torch.manual_seed(0)
    block, embedding = ChannelFusion(4, num_heads=2, embedding_width=3), torch.randn(1, 3)
    features = 10 + torch.randn(1, 4, 96, 96)
    expected = block(features, embedding)
    found = block.bfloat16()(features.bfloat16(), embedding.bfloat16())
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).abs().mean() < 0.02 * expected.abs().mean()
