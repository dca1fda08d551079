"""An autoencoder's encoder, walked block by block, is the encoder."""

import pytest
import torch
from diffusers import AutoencoderKL

from ldrestore.blocks.encoder_stages import encoder_stages


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(4, 8, 12),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=2,
        norm_num_groups=2,
    )


def test_states_behind_the_middle_are_what_the_encoder_normalises_last(vae: AutoencoderKL) -> None:
    encoder, pixels = vae.encoder, torch.rand(2, 3, 16, 24) * 2 - 1
    _, middle = encoder_stages(encoder, pixels)
    latents = encoder.conv_out(encoder.conv_act(encoder.conv_norm_out(middle)))
    torch.testing.assert_close(latents, encoder(pixels))


def test_features_are_those_before_each_downsampling_finest_first(vae: AutoencoderKL) -> None:
    pixels, inputs = torch.rand(1, 3, 16, 24) * 2 - 1, []
    handles = [
        block.downsamplers[0].register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
        for block in vae.encoder.down_blocks[:-1]
    ]
    features, _ = encoder_stages(vae.encoder, pixels)
    for handle in handles:
        handle.remove()
    assert [tuple(feature.shape) for feature in features] == [(1, 4, 16, 24), (1, 8, 8, 12), (1, 12, 4, 6)]
    assert all(torch.equal(*pair) for pair in zip(features[:-1], inputs, strict=True))
    assert torch.equal(vae.encoder.mid_block(features[-1]), encoder_stages(vae.encoder, pixels)[1])


def test_checkpointed_stages_give_the_same_values_and_gradients(vae: AutoencoderKL) -> None:
    found = []
    for is_checkpointed in (False, True):
        pixels = (torch.linspace(-1, 1, 3 * 8 * 8).view(1, 3, 8, 8)).requires_grad_()
        (vae.enable_gradient_checkpointing if is_checkpointed else vae.disable_gradient_checkpointing)()
        features, middle = encoder_stages(vae.train().encoder, pixels)
        sum(state.square().sum() for state in (*features, middle)).backward()
        found.append((*features, middle, pixels.grad))
    vae.disable_gradient_checkpointing()
    for plain, checkpointed in zip(*found, strict=True):
        torch.testing.assert_close(plain, checkpointed)
