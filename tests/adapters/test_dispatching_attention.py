"""Attention of a U-Net goes where its user sends it."""

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0

from ldrestore.adapters.dispatching_attention import (
    DispatchingAttnProcessor,
    dispatch_attention,
    restore_attention,
)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cross_attention_dim": 6},
        {"cross_attention_dim": 6, "cross_attention_norm": "layer_norm"},
        {"norm_num_groups": 2, "residual_connection": True, "rescale_output_factor": 2.0},
        {"spatial_norm_dim": 3, "norm_num_groups": 2},
        {"qk_norm": "layer_norm", "bias": True},
    ],
)
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("is_map", [False, True])
def test_the_result_is_that_of_diffusers_to_the_bit(options, is_masked, is_map):
    torch.manual_seed(0)
    attention = Attention(query_dim=32, heads=2, dim_head=4, **options).eval()
    is_map = is_map or "spatial_norm_dim" in options  # such a norm takes maps alone
    states = torch.randn(2, 32, 3, 2) if is_map else torch.randn(2, 6, 32)
    context = torch.randn(2, 5, 6) if "cross_attention_dim" in options else None
    mask = torch.randn(2, 1, 6 if context is None else 5) if is_masked else None
    temb = torch.randn(2, 3, 3, 2) if "spatial_norm_dim" in options else None
    results = []
    for processor in (AttnProcessor2_0(), DispatchingAttnProcessor()):
        attention.set_processor(processor)
        results.append(attention(states, encoder_hidden_states=context, attention_mask=mask, temb=temb))
    assert torch.equal(*results)


def test_the_backend_chosen_for_a_unet_is_called(unet, inputs, recorded_backend):
    expected = unet(*inputs).sample
    replaced = dispatch_attention(unet)
    assert torch.equal(unet(*inputs).sample, expected)
    assert recorded_backend.calls == 0
    unet.set_attention_backend(recorded_backend.name)
    torch.testing.assert_close(unet(*inputs).sample, expected, rtol=1e-4, atol=1e-5)
    assert recorded_backend.calls == len(replaced) == 8  # four transformers of a self- and a cross-attention


def test_without_it_the_classic_attention_ignores_the_choice(unet, inputs, recorded_backend):
    unet.set_attention_backend(recorded_backend.name)
    unet(*inputs)
    assert recorded_backend.calls == 0


def test_processors_that_a_user_has_chosen_stay(unet):
    name, attention = next((name, module) for name, module in unet.named_modules() if isinstance(module, Attention))
    own = AttnProcessor()
    attention.set_processor(own)
    replaced = dispatch_attention(unet)
    assert name not in replaced
    assert attention.processor is own
    later = unet.get_submodule(next(iter(replaced)))
    later.set_processor(own)
    restore_attention(unet, replaced)
    assert later.processor is own
    assert all(unet.get_submodule(key).processor is replaced[key] for key in list(replaced)[1:])
