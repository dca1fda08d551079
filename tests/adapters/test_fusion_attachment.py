import pytest
import torch

from ldrestore.adapters.daff import DAFF
from ldrestore.adapters.fusion_attachment import FusionHook, attach_fusion
from ldrestore.adapters.residual_alignment import ResidualAlignment
from ldrestore.errors import ConfigError, InputError
from tests.tiny_xl import TEXT_DIM, tiny_unet, unet_inputs

SMALL = {"block_out_channels": (8, 16), "lq_channels": 12, "text_dim": TEXT_DIM, "dim": 32, "head_dim": 16}


def fusion_of(kind):
    """A fusion for the tiny U-Net, with a last projection that is not zero."""
    torch.manual_seed(5)
    if kind == "rsa":
        fusion = ResidualAlignment(num_channels=8, lq_channels=12, num_heads=2)
        torch.nn.init.normal_(fusion.proj_out.weight, std=0.1)
        return fusion
    fusion = DAFF(places=("conv_in", "down_blocks.0") if kind == "deep" else ("conv_in",), **SMALL)
    for one in fusion.fusions.values():
        torch.nn.init.normal_(one.proj_out.weight, std=0.1)
    return fusion


def lq_features(batch=1):
    torch.manual_seed(6)
    return torch.randn(batch, 12, 8, 8)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["daff", "deep", "rsa"])
def test_the_unet_sees_the_damaged_picture_while_attached_and_is_as_before_after(kind):
    unet, fusion, given = tiny_unet(), fusion_of(kind), unet_inputs()
    keys, processors = list(unet.state_dict()), [type(one) for one in unet.attn_processors.values()]
    plain = unet(**given).sample
    attachment = attach_fusion(unet, fusion)
    attachment.set_prepared(fusion.prepare(lq_features(), given["encoder_hidden_states"]))
    assert not torch.allclose(unet(**given).sample, plain, atol=1e-4)
    assert list(unet.state_dict()) == keys
    attachment.detach()
    attachment.detach()
    assert torch.equal(unet(**given).sample, plain)
    assert [type(one) for one in unet.attn_processors.values()] == processors
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in unet.modules())


@torch.no_grad()
@pytest.mark.parametrize("kind", ["daff", "rsa"])
def test_a_new_fusion_leaves_the_unet_unchanged_to_the_bit(kind):
    unet, given = tiny_unet(), unet_inputs()
    fusion = DAFF(**SMALL) if kind == "daff" else ResidualAlignment(num_channels=8, lq_channels=12, num_heads=2)
    attachment = attach_fusion(unet, fusion)
    attachment.set_prepared(fusion.prepare(lq_features(), given["encoder_hidden_states"]))
    attached = unet(**given).sample
    attachment.clear()
    attachment.detach()
    other = attach_fusion(unet, fusion)  # dispatched attention alone, the same in both
    for place in fusion.places:
        unet.get_submodule(place)._forward_hooks.clear()
    assert torch.equal(attached, unet(**given).sample)
    other.detach()


@torch.no_grad()
def test_the_timestep_reaches_the_fusion_by_place_and_by_name():
    unet, fusion, given = tiny_unet(), fusion_of("daff"), unet_inputs()
    attachment = attach_fusion(unet, fusion)
    attachment.set_prepared(fusion.prepare(lq_features(), given["encoder_hidden_states"]))
    by_name = unet(**given).sample
    sample, timestep, text = given["sample"], given["timestep"], given["encoder_hidden_states"]
    by_place = unet(sample, timestep, text, added_cond_kwargs=given["added_cond_kwargs"]).sample
    assert torch.equal(by_name, by_place)
    assert attachment.slot.timestep == 500


def test_gradients_pass_and_checkpointing_changes_nothing():
    gradients = []
    for is_checkpointed in (False, True):
        unet, fusion, given = tiny_unet(), fusion_of("deep"), unet_inputs()
        attachment = attach_fusion(unet, fusion)
        if is_checkpointed:
            unet.enable_gradient_checkpointing()
        unet.train()
        features = lq_features().requires_grad_()
        attachment.set_prepared(fusion.prepare(features, given["encoder_hidden_states"]))
        unet(**given).sample.square().mean().backward()
        gradients.append([features.grad, *(value.grad for value in fusion.parameters())])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_an_attached_unet_saves_as_an_unattached_one(tmp_path):
    unet, fusion = tiny_unet(), fusion_of("daff")
    attach_fusion(unet, fusion)
    unet.save_pretrained(tmp_path)
    loaded = type(unet).from_pretrained(tmp_path)
    assert loaded.state_dict().keys() == unet.state_dict().keys()
    assert not any(isinstance(hook, FusionHook) for hook in loaded.conv_in._forward_hooks.values())


@torch.no_grad()
def test_latents_go_through_conv_in_without_the_fusion():
    unet = tiny_unet()
    latents = torch.randn(1, 4, 8, 8)
    plain = unet.conv_in(latents)
    attachment = attach_fusion(unet, fusion_of("daff"))
    assert torch.equal(attachment.latent_features(latents), plain)


@pytest.mark.slow
@pytest.mark.timeout(600)
@torch.no_grad()
def test_an_attached_unet_compiles_to_one_graph():
    unet, fusion, given = tiny_unet(), fusion_of("daff"), unet_inputs()
    attachment = attach_fusion(unet, fusion)
    compiled = torch.compile(unet, fullgraph=True, backend="aot_eager")
    for shift in (0, 1):  # the second picture must not be the first one's constants
        attachment.set_prepared(fusion.prepare(lq_features() + shift, given["encoder_hidden_states"]))
        expected = unet(**given).sample
        torch.testing.assert_close(compiled(**given).sample, expected, rtol=1e-4, atol=1e-5)
    attachment.detach()


def test_residual_alignment_is_pre_norm_self_attention():
    torch.manual_seed(0)
    rsa = ResidualAlignment(num_channels=8, lq_channels=12, num_heads=2, num_blocks=1)
    block = rsa.blocks[0]
    reference = torch.nn.MultiheadAttention(16, 2, batch_first=True)
    reference.in_proj_weight.data, reference.in_proj_bias.data = block.to_qkv.weight.data, block.to_qkv.bias.data
    reference.out_proj.weight.data, reference.out_proj.bias.data = block.to_out.weight.data, block.to_out.bias.data
    tokens = torch.randn(2, 7, 16)
    normed = block.norm1(tokens)
    attended = tokens + reference(normed, normed, normed)[0]
    hidden = block.mlp[0](block.norm2(attended))
    expected = attended + block.mlp[2](hidden * torch.sigmoid(1.702 * hidden))
    torch.testing.assert_close(block(tokens), expected, rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_refused():
    unet = tiny_unet()
    with pytest.raises(
        ConfigError, match=r"another U-Net's: this one has channels \{'conv_in': 8\}.*\{'conv_in': 16\}"
    ):
        attach_fusion(unet, DAFF(**{**SMALL, "block_out_channels": (16, 32)}))
    attachment = attach_fusion(unet, fusion_of("daff"))
    with pytest.raises(InputError, match="attached already"):
        attach_fusion(unet, fusion_of("daff"))
    with pytest.raises(InputError, match="no damaged picture is set"):
        unet(**unet_inputs())
    attachment.detach()
    attach_fusion(unet, fusion_of("rsa")).detach()
