"""Injection layers act while they are attached, and leave no trace afterwards."""

import copy

import accelerate
import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from peft import LoraConfig
from torch.utils.checkpoint import checkpoint

from ldrestore.adapters.attachment import attach
from ldrestore.adapters.injection import InjectionLayers
from ldrestore.errors import ConfigError, InputError, ShapeError
from ldrestore.weights.fitting import align_weights
from tests.adapters.conftest import features_like, randomize, tiny_unet


def levels_of_blocks(unet):
    """Every residual block with the feature that belongs to it."""
    down, up = list(unet.down_blocks), list(unet.up_blocks)
    places = {id(block): level for level, block in enumerate(down)}
    places |= {id(unet.mid_block): len(down) - 1}
    places |= {id(block): len(down) - 1 - number for number, block in enumerate(up)}
    return [(resnet, places[id(block)]) for block in (*down, unet.mid_block, *up) for resnet in block.resnets]


def layers_in_order(injection):
    return [layer for block in (*injection.down_blocks, injection.mid_block, *injection.up_blocks) for layer in block]


def rewritten(unet, injection, features):
    """A copy of the U-Net whose residual blocks are written out with the injection inside, as the release has them."""
    unet = copy.deepcopy(unet)

    def forward_of(resnet, layer, feature):
        def forward(states, temb):
            inner = resnet.conv1(resnet.nonlinearity(resnet.norm1(states)))
            inner = inner + resnet.time_emb_proj(resnet.nonlinearity(temb))[:, :, None, None]
            inner = layer(resnet.conv2(resnet.nonlinearity(resnet.norm2(inner))), feature)
            return inner + (states if resnet.conv_shortcut is None else resnet.conv_shortcut(states))

        return forward

    for (resnet, level), layer in zip(levels_of_blocks(unet), layers_in_order(injection), strict=True):
        resnet.forward = forward_of(resnet, layer, features[level])
    return unet


def test_at_the_start_the_unet_is_unchanged_to_the_bit(unet, injection, inputs):
    expected = unet(*inputs).sample
    attachment = attach(unet, injection)
    attachment.set_features(features_like(inputs[0]))
    assert torch.equal(unet(*inputs).sample, expected)


@pytest.mark.parametrize("kind", ["residual", "released"])
def test_every_residual_block_is_injected_by_level(unet, inputs, kind):
    injection = randomize(InjectionLayers.for_unet(unet, feature_channels=8, injection=kind))
    features = features_like(inputs[0])
    expected = rewritten(unet, injection, features)(*inputs).sample
    plain = unet(*inputs).sample
    attachment = attach(unet, injection)
    attachment.set_features(features)
    assert torch.equal(unet(*inputs).sample, expected)
    assert not torch.allclose(plain, expected, atol=1e-2)


def test_levels_are_not_told_apart_by_width(inputs):
    unet = tiny_unet(block_out_channels=(8, 8), attention_head_dim=2)  # all equally wide
    injection = randomize(InjectionLayers.for_unet(unet, feature_channels=8))
    features = features_like(inputs[0])
    expected = rewritten(unet, injection, features)(*inputs).sample
    attachment = attach(unet, injection)
    attachment.set_features(features)
    assert torch.equal(unet(*inputs).sample, expected)


def state_of(unet):
    """Whatever attaching could leave behind."""
    return {
        name: (
            {key: id(value) for key, value in vars(module).items() if not isinstance(value, dict)},
            list(module._forward_hooks.values()),
            list(module._forward_pre_hooks.values()),
        )
        for name, module in unet.named_modules()
    }


@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_detaching_leaves_the_unet_as_found(unet, injection, inputs, is_checkpointed):
    if is_checkpointed:
        unet.enable_gradient_checkpointing()
    before, expected = state_of(unet), unet(*inputs).sample
    attachment = attach(unet, randomize(injection))
    attachment.set_features(features_like(inputs[0]))
    assert not torch.equal(unet(*inputs).sample, expected)
    attachment.detach()
    assert state_of(unet) == before
    assert torch.equal(unet(*inputs).sample, expected)
    attachment.detach()  # nothing happens
    assert attachment.slot.features is None


def test_gradients_reach_adapter_and_layers_and_not_the_unet(unet, injection, ir_adapter, inputs):
    latents, timestep, prompt_embeds = inputs
    attachment = attach(unet, randomize(injection))
    features = randomize(ir_adapter)(latents, timestep, torch.rand(2, 3).softmax(dim=1))
    attachment.set_features(features)
    unet(latents, timestep, prompt_embeds).sample.square().sum().backward()
    assert all(parameter.grad is None for parameter in unet.parameters())
    for part in (injection, ir_adapter):
        assert [name for name, value in part.named_parameters() if not value.grad.abs().sum() > 0] == []


def test_training_moves_fresh_layers_from_their_start(unet, injection, inputs):
    attachment = attach(unet, injection)
    attachment.set_features(features_like(inputs[0]))
    unet(*inputs).sample.square().sum().backward()
    moved = {name.split(".")[-2] for name, value in injection.named_parameters() if value.grad.abs().sum() > 0}
    assert moved == {"mlp_gamma", "mlp_beta"}


def gradients_of_two_passes(unet, injection, inputs, *, switch):
    """Gradients of the layers and the features, with two forward passes before the one backward pass."""
    attachment = attach(unet, injection)
    both = [[feature.requires_grad_() for feature in features_like(inputs[0], seed=seed)] for seed in (5, 6)]
    loss = 0
    for weight, features in zip((1.0, 3.0), both, strict=True):
        attachment.set_features(features)
        switch(unet)  # as late as can be
        loss = loss + weight * unet(*inputs).sample.square().sum()
    sources = [*injection.parameters(), *both[0], *both[1]]
    gradients = torch.autograd.grad(loss, sources)
    attachment.detach()
    return gradients


def test_gradient_checkpointing_keeps_each_forward_pass_its_features(unet, injection, inputs):
    randomize(injection)
    unet.train()  # blocks are checkpointed in training alone; there is no dropout
    calls = []

    def counted(function, *arguments):
        calls.append(function)
        return checkpoint(function, *arguments, use_reentrant=False)

    expected = gradients_of_two_passes(unet, injection, inputs, switch=lambda unet: None)
    switches = [
        lambda unet: unet.enable_gradient_checkpointing(),
        lambda unet: unet.enable_gradient_checkpointing(counted),
    ]
    for switch in switches:
        found = gradients_of_two_passes(unet, injection, inputs, switch=switch)
        assert all(torch.equal(left, right) for left, right in zip(found, expected, strict=True))
        unet.disable_gradient_checkpointing()
    assert len(calls) >= 10


def test_checkpointing_that_was_on_before_is_guarded_too(unet, injection, inputs):
    randomize(injection)
    unet.train()
    expected = gradients_of_two_passes(unet, injection, inputs, switch=lambda unet: None)
    unet.enable_gradient_checkpointing()
    found = gradients_of_two_passes(unet, injection, inputs, switch=lambda unet: None)
    assert all(torch.equal(left, right) for left, right in zip(found, expected, strict=True))


def test_without_the_guard_the_second_pass_would_spoil_the_first(unet, injection, inputs):
    randomize(injection)
    unet.train()
    expected = gradients_of_two_passes(unet, injection, inputs, switch=lambda unet: None)
    unet.enable_gradient_checkpointing()
    attachment = attach(unet, injection)
    unet._forward_pre_hooks.clear()  # the guard
    both = [features_like(inputs[0], seed=seed) for seed in (5, 6)]
    loss = 0
    for weight, features in zip((1.0, 3.0), both, strict=True):
        attachment.set_features(features)
        loss = loss + weight * unet(*inputs).sample.square().sum()
    found = torch.autograd.grad(loss, list(injection.parameters()))
    assert not all(torch.equal(left, right) for left, right in zip(found, expected[: len(found)], strict=True))


def test_an_attached_unet_is_saved_and_loaded_as_ever(unet, injection, inputs, tmp_path):
    keys, expected = list(unet.state_dict()), unet(*inputs).sample
    attach(unet, randomize(injection)).set_features(features_like(inputs[0]))
    assert list(unet.state_dict()) == keys
    unet.save_pretrained(tmp_path)
    loaded = UNet2DConditionModel.from_pretrained(tmp_path).requires_grad_(False).eval()
    align_weights(loaded)
    assert torch.equal(loaded(*inputs).sample, expected)


@pytest.mark.parametrize("is_early", [False, True])
@pytest.mark.parametrize("off_load", ["whole", "layers"])
def test_off_loading_keeps_working(unet, injection, inputs, off_load, is_early):
    def switch_on():
        if off_load == "layers":
            accelerate.cpu_offload(unet, execution_device="cpu")
            accelerate.cpu_offload(injection, execution_device="cpu")
        else:
            accelerate.cpu_offload_with_hook(unet, execution_device="cpu")

    randomize(injection)
    features = features_like(inputs[0])
    expected = rewritten(unet, injection, features)(*inputs).sample
    if is_early:
        switch_on()
    attachment = attach(unet, injection)
    if not is_early:
        switch_on()
    attachment.set_features(features)
    with torch.no_grad():
        assert torch.equal(unet(*inputs).sample, expected)


def test_lora_layers_that_were_there_first_are_kept(unet, injection, inputs):
    unet.add_adapter(LoraConfig(r=2, target_modules=["conv2", "to_q"], init_lora_weights=False))
    unet.eval()
    randomize(injection)
    features = features_like(inputs[0])
    expected = rewritten(unet, injection, features)(*inputs).sample
    attach(unet, injection).set_features(features)
    assert torch.equal(unet(*inputs).sample, expected)


def test_while_attached_the_chosen_backend_is_called(unet, injection, inputs, recorded_backend):
    attachment = attach(unet, injection)
    attachment.set_features(features_like(inputs[0]))
    unet.set_attention_backend(recorded_backend.name)
    unet(*inputs)
    assert recorded_backend.calls == 8
    attachment.detach()
    attentions = [module for module in unet.modules() if isinstance(module, Attention)]
    assert {type(attention.processor) for attention in attentions} == {AttnProcessor2_0}


def test_features_must_be_set(unet, injection, inputs):
    attachment = attach(unet, injection)
    with pytest.raises(InputError, match="call set_features first, or detach"):
        unet(*inputs)
    attachment.set_features(features_like(inputs[0]))
    unet(*inputs)
    attachment.clear()
    with pytest.raises(InputError, match="no features are set"):
        unet(*inputs)


def test_a_wrong_number_of_features_is_refused(unet, injection, inputs):
    with pytest.raises(ShapeError, match="expected 2 features, finest first, got 1"):
        attach(unet, injection).set_features(features_like(inputs[0])[:1])


def test_features_of_another_size_are_refused(unet, injection, inputs):
    attach(unet, injection).set_features(features_like(inputs[0])[::-1])
    with pytest.raises(ShapeError, match="do not lie over states"):
        unet(*inputs)


def test_layers_of_another_unet_are_refused(unet):
    other = InjectionLayers.for_unet(tiny_unet(block_out_channels=(8, 24), attention_head_dim=2))
    with pytest.raises(ConfigError, match="the injection layers are another U-Net's"):
        attach(unet, other)


def test_layers_are_attached_once(unet, injection):
    attachment = attach(unet, injection)
    with pytest.raises(InputError, match="attached already; detach them first"):
        attach(unet, injection)
    attachment.detach()
    attach(unet, injection)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_attached_unet_compiles_to_one_graph(unet, injection, inputs):
    randomize(injection)
    attachment = attach(unet, injection)
    compiled = torch.compile(unet, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        for seed in (5, 6):  # other features each time
            features = features_like(inputs[0], seed=seed)
            attachment.set_features(features)
            expected = unet(*inputs).sample
            torch.testing.assert_close(compiled(*inputs).sample, expected)
