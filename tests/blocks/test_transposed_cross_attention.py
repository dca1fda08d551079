"""Attention between the channels of two maps, against the equation."""

import torch
from torch.nn import functional as F

from ldrestore.blocks.transposed_cross_attention import TransposedCrossAttention


def test_each_channel_of_the_features_takes_channels_of_the_guide():
    torch.manual_seed(0)
    block, features, guide = TransposedCrossAttention(6, num_heads=2), torch.randn(2, 6, 5, 4), torch.randn(2, 6, 5, 4)
    block.temperature.data = torch.tensor([0.7, 1.9])[:, None, None]
    query = block.q_dwconv(block.q(features)).flatten(2)
    key, value = block.kv_dwconv(block.kv(guide)).flatten(2).chunk(2, dim=1)
    attended = torch.empty(2, 6, 20)
    for picture in range(2):
        for head, start in enumerate((0, 3)):
            own = slice(start, start + 3)
            queries, keys = F.normalize(query[picture, own], dim=1), F.normalize(key[picture, own], dim=1)
            attention = (queries @ keys.T * block.temperature[head]).softmax(dim=1)
            attended[picture, own] = attention @ value[picture, own]
    torch.testing.assert_close(block(features, guide), block.project_out(attended.unflatten(2, (5, 4))))
