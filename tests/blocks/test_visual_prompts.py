"""The modulator is Eq. 4 of MPerceiver."""

import math

import pytest
import torch
from torch.nn import functional as F

from ldrestore.blocks import visual_prompts
from ldrestore.blocks.timed_residual import TimedResidualBlock
from ldrestore.blocks.visual_prompts import VisualPromptModulator
from ldrestore.errors import InputError, ShapeError

SIZES = dict(num_degradations=3, num_prompts=5, prompt_dim=6, num_heads=2, head_dim=4, num_groups=4)


@pytest.fixture
def modulator():
    torch.manual_seed(0)
    modulator = VisualPromptModulator(8, out_channels=12, temb_dim=7, **SIZES)
    for parameter in modulator.parameters():  # a trained one: nothing is zero
        torch.nn.init.normal_(parameter, std=0.5)
    return modulator


def cross_attention(attention, query, prompts):
    """MHCA of one picture and one degradation, position by position and head by head."""
    answers = []
    for position in query:
        heads = []
        for head in range(attention.num_heads):
            rows = slice(head * 4, head * 4 + 4)
            q = attention.to_q.weight[rows] @ position
            scores = torch.stack([q @ (attention.to_k.weight[rows] @ prompt) / math.sqrt(4) for prompt in prompts])
            values = torch.stack([attention.to_v.weight[rows] @ prompt for prompt in prompts])
            heads.append(scores.softmax(dim=0) @ values)
        answers.append(attention.to_out[0].weight @ torch.cat(heads) + attention.to_out[0].bias)
    return torch.stack(answers)


@pytest.mark.parametrize("total", [1.0, 1.7])
def test_the_modulator_is_equation_4(modulator, total):
    features, temb = torch.randn(2, 8, 3, 4), torch.randn(2, 7)
    probabilities = torch.rand(2, 3).softmax(dim=1) * total
    pools = F.layer_norm(modulator.visual_prompt, (6,), modulator.norm2.weight, modulator.norm2.bias)
    for picture in range(2):
        tokens = features[picture].flatten(1).T  # (H * W, C)
        asking = F.layer_norm(tokens, (8,), modulator.norm1.weight, modulator.norm1.bias)
        answers = [cross_attention(modulator.prompt_attn, asking, pool) for pool in pools]
        summed = tokens + sum(p * answer for p, answer in zip(probabilities[picture], answers, strict=True))
        expected = modulator.fea_tran(summed.T.reshape(1, 8, 3, 4), temb[picture : picture + 1])[0]
        found = modulator(features, probabilities, temb)[picture]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_residual_block_is_the_one_of_diffusion_networks():
    torch.manual_seed(0)
    block = TimedResidualBlock(8, out_channels=4, temb_dim=7, num_groups=2)
    torch.nn.init.normal_(block.out_layers[3].weight)
    features, temb = torch.randn(2, 8, 3, 4), torch.randn(2, 7)
    inner = F.silu(F.group_norm(features, 2, block.in_layers[0].weight, block.in_layers[0].bias))
    inner = F.conv2d(inner, block.in_layers[2].weight, block.in_layers[2].bias, padding=1)
    inner = inner + (F.silu(temb) @ block.emb_layers[1].weight.T + block.emb_layers[1].bias)[:, :, None, None]
    inner = F.silu(F.group_norm(inner, 2, block.out_layers[0].weight, block.out_layers[0].bias))
    inner = F.conv2d(inner, block.out_layers[3].weight, block.out_layers[3].bias, padding=1)
    torch.testing.assert_close(block(features, temb), block.skip_connection(features) + inner, rtol=1e-4, atol=1e-5)


def test_prepared_prompts_change_no_bit(modulator):
    features, temb, probabilities = torch.randn(2, 8, 5, 3), torch.randn(2, 7), torch.rand(2, 3)
    prepared = modulator.prepare()
    assert torch.equal(
        modulator(features, probabilities, temb, prompts=prepared), modulator(features, probabilities, temb)
    )


@torch.no_grad()
def test_positions_that_ask_in_turns_get_the_same_answers(modulator, monkeypatch):
    features, temb, probabilities = torch.randn(2, 8, 5, 3), torch.randn(2, 7), torch.rand(2, 3)
    expected = modulator(features, probabilities, temb)
    sizes, attend = [], modulator.prompt_attn.processor

    def recorded(query, key, value):
        sizes.append(query.numel())
        return attend(query, key, value)

    monkeypatch.setattr(modulator.prompt_attn, "processor", recorded)
    monkeypatch.setattr(visual_prompts, "MAX_ANSWERS", 200)
    torch.testing.assert_close(modulator(features, probabilities, temb), expected, rtol=1e-4, atol=1e-5)
    assert len(sizes) == 4 and max(sizes) <= 200  # 48 numbers a position, of which there are 15


def test_a_modulator_without_timestep_takes_none(modulator):
    untimed = VisualPromptModulator(8, out_channels=12, **SIZES)
    features, probabilities = torch.randn(1, 8, 3, 3), torch.rand(1, 3)
    assert untimed(features, probabilities).shape == (1, 12, 3, 3)
    assert not any("emb_layers" in key for key in untimed.state_dict())
    with pytest.raises(InputError, match="takes no timestep embedding"):
        untimed(features, probabilities, torch.randn(1, 7))
    with pytest.raises(InputError, match="takes a timestep embedding"):
        modulator(features, probabilities)


@pytest.mark.parametrize("shape", [(2, 3), (1, 4), (3,)])
def test_probabilities_of_another_batch_or_pool_are_refused(modulator, shape):
    with pytest.raises(ShapeError, match=r"expected probabilities of shape \(B, N\) = \(1, 3\)"):
        modulator(torch.randn(1, 8, 3, 3), torch.rand(shape), torch.randn(1, 7))


def test_growing_keeps_the_old_prompts_and_their_answers(modulator):
    features, temb, probabilities = torch.randn(1, 8, 3, 3), torch.randn(1, 7), torch.rand(1, 3)
    old, before = modulator.visual_prompt.detach().clone(), modulator(features, probabilities, temb)
    modulator.grow(2, generator=torch.Generator().manual_seed(1))
    assert modulator.visual_prompt.shape == (5, 5, 6)
    assert torch.equal(modulator.visual_prompt[:3], old)
    assert 0.005 < modulator.visual_prompt[3:].std() < 0.05
    torch.testing.assert_close(modulator(features, F.pad(probabilities, (0, 2)), temb), before, rtol=1e-4, atol=1e-5)


def test_gradients_reach_pool_attention_and_residual_block(modulator):
    features, temb, probabilities = torch.randn(2, 8, 3, 3), torch.randn(2, 7), torch.rand(2, 3)
    modulator(features, probabilities, temb).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in modulator.parameters())
