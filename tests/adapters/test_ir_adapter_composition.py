"""The IR-Adapter as a whole: its scales, Eq. 4 written out position by position, and what P and the prompts change."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ldrestore.adapters.ir_adapter import IRAdapter
from ldrestore.errors import ShapeError

NAMES = ("haze", "rain", "snow")
SIZES = {
    "channels": (8, 16, 16),
    "num_res_blocks": 2,
    "attention_levels": (1,),
    "num_heads": 2,
    "out_channels": 12,
    "num_prompts": 3,
    "prompt_dim": 6,
    "num_prompt_heads": 2,
    "prompt_head_dim": 5,
    "num_groups": 4,
}


def adapter_of(**options) -> IRAdapter:
    """All of whose parts have an effect."""
    torch.manual_seed(0)
    adapter = IRAdapter(NAMES, **{**SIZES, **options}).eval()
    with torch.no_grad():
        for weight in adapter.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return adapter


def latents_of(height: int = 6, width: int = 5, batch: int = 1) -> Tensor:
    return torch.randn(batch, 4, height, width, generator=torch.Generator().manual_seed(1))


def loop_prompts(adapter: IRAdapter, level: int, features: Tensor, shares: Tensor) -> Tensor:
    """f + sum_i p_i MHCA(LN(f), LN(V_i), LN(V_i)) of one map (C, H, W), one position and one head at a time."""
    attention, width = adapter.prompt_attns[level], SIZES["prompt_head_dim"]
    result = features.clone()
    for y in range(features.shape[1]):
        for x in range(features.shape[2]):
            query = attention.to_q.weight @ adapter.norm1[level](features[:, y, x])
            for share, pool in zip(shares, adapter.visual_prompt[level, :, 0], strict=True):
                prompts = adapter.norm2[level](pool)  # (M, prompt_dim)
                keys, values = prompts @ attention.to_k.weight.T, prompts @ attention.to_v.weight.T
                answer = []
                for head in range(SIZES["num_prompt_heads"]):
                    one = slice(head * width, (head + 1) * width)
                    weights = (keys[:, one] @ query[one] / math.sqrt(width)).softmax(0)
                    answer.append(weights @ values[:, one])
                projected = attention.to_out[0].weight @ torch.cat(answer) + attention.to_out[0].bias
                result[:, y, x] += share * projected
    return result


def scales_of(adapter: IRAdapter, latents: Tensor, temb: Tensor) -> list[Tensor]:
    """States before each downsampling, and what the middle makes of the last, block by block."""
    blocks = iter(adapter.input_blocks)
    states = next(blocks)[0](latents)
    scales = []
    for level in range(3):
        for _ in range(2):
            layers = next(blocks)
            assert len(layers) == (2 if level == 1 else 1)  # attention where it was asked for
            states = layers[0](states, temb)
            states = layers[1](states) if level == 1 else states
        if level < 2:
            scales.append(states)
            down = next(blocks)[0].op
            states = F.conv2d(F.pad(states, (1, 1, 1, 1)), down.weight, down.bias, stride=2)
    first, attention, last = adapter.middle_block
    return [*scales, last(attention(first(states, temb)), temb)]


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(6, 5), (4, 4), (1, 3)])
def test_features_are_equation_4_at_each_scale(height, width) -> None:
    adapter, latents, shares = adapter_of(), latents_of(height, width), torch.tensor([0.6, 0.4, 0.0])
    found = adapter(latents, torch.tensor(300), shares[None])
    temb = adapter.embed_time(torch.tensor([300]))
    for level, states in enumerate(scales_of(adapter, latents, temb)):
        modulated = loop_prompts(adapter, level, states[0], shares)
        expected = adapter.fea_tran[level](modulated[None], temb)
        torch.testing.assert_close(found[level], expected, rtol=1e-3, atol=1e-4)
    sizes = [(height, width), (-(-height // 2), -(-width // 2)), (-(-height // 4), -(-width // 4))]
    assert [tuple(one.shape) for one in found] == [(1, 12, *size) for size in sizes]


@torch.no_grad()
def test_pictures_of_a_batch_stay_to_themselves() -> None:
    adapter, latents = adapter_of(), latents_of(batch=3)
    shares = torch.tensor([[1.0, 0, 0], [0, 0.5, 0.5], [0.2, 0.3, 0.5]])
    together = adapter(latents, torch.tensor([900, 5, 300]), shares)
    for index, timestep in enumerate((900, 5, 300)):
        one = slice(index, index + 1)
        for found, expected in zip(together, adapter(latents[one], timestep, shares[one]), strict=True):
            torch.testing.assert_close(found[one], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_prompts_of_a_degradation_that_is_not_there_change_nothing() -> None:
    adapter, latents = adapter_of(), latents_of()
    shares = torch.tensor([[0.7, 0.3, 0.0]])
    before = adapter(latents, 10, shares)
    adapter.visual_prompt[:, 2] = 50.0
    for found, expected in zip(adapter(latents, 10, shares), before, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    adapter.visual_prompt[:, 1] += torch.randn(6)
    assert not torch.allclose(adapter(latents, 10, shares)[0], before[0], atol=1e-3)


def test_prompts_of_a_degradation_that_is_not_there_do_not_learn() -> None:
    adapter, latents = adapter_of(), latents_of()
    sum(one.square().mean() for one in adapter(latents, 10, torch.tensor([[0.7, 0.3, 0.0]]))).backward()
    gradient = adapter.visual_prompt.grad.abs().sum(dim=(2, 3, 4))  # (scales, N)
    assert (gradient[:, :2] > 0).all() and not gradient[:, 2].any()


@torch.no_grad()
def test_attention_starts_as_the_identity_in_a_new_adapter() -> None:
    torch.manual_seed(0)
    adapter = IRAdapter(NAMES, **SIZES)
    attention = adapter.middle_block[1]
    states = torch.randn(1, 16, 3, 3)
    assert torch.equal(attention(states), states)


def test_shares_that_do_not_belong_to_pictures_and_pools_are_refused() -> None:
    adapter = adapter_of()
    for shares in (torch.rand(1, 2), torch.rand(2, 3), torch.rand(3)):
        with pytest.raises(ShapeError, match=r"probabilities of shape \(B, N\) = \(1, 3\)"):
            adapter(latents_of(), 5, shares)
