import pytest
import torch
from diffusers import AutoencoderKL

from ldrestore.adapters.lq_encoder import LQEncoder
from ldrestore.errors import ConfigError, ShapeError
from ldrestore.refiners.refined_decoder import encode_picture
from tests.tiny_autoencoder import make_vae


@pytest.fixture
def vae():
    return make_vae().eval()


def picture(batch=2):
    torch.manual_seed(4)
    return torch.rand(batch, 3, 16, 24)


@torch.no_grad()
def test_it_begins_as_the_autoencoders_own(vae):
    encoded, expected = LQEncoder.from_vae(vae)(picture()), encode_picture(vae, picture())
    assert torch.equal(encoded.latents, expected.latents)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(encoded.features, expected.features, strict=True))


@torch.no_grad()
def test_an_autoencoder_without_attention_is_copied_too(tmp_path):
    config = {**make_vae().config, "mid_block_add_attention": False}
    vae = AutoencoderKL(**{key: value for key, value in config.items() if not key.startswith("_")}).eval()
    encoder = LQEncoder.from_vae(vae)
    assert torch.equal(encoder(picture()).latents, encode_picture(vae, picture()).latents)
    encoder.save_pretrained(tmp_path)
    again = LQEncoder.from_pretrained(tmp_path)
    assert torch.equal(again(picture()).latents, encoder(picture()).latents)


def test_its_last_features_are_those_before_the_quantisation(vae):
    encoder = LQEncoder.from_vae(vae)
    encoded = encoder(picture())
    assert encoded.last.shape == (2, encoder.last_channels, *encoded.latents.shape[-2:])
    parts = encoder.encoder
    moments = encoder.quant_conv(parts.conv_out(parts.conv_act(parts.conv_norm_out(encoded.last))))
    torch.testing.assert_close(
        moments.chunk(2, dim=1)[0] * vae.config.scaling_factor, encoded.latents, rtol=1e-4, atol=1e-5
    )


def test_training_it_leaves_the_autoencoder_as_it_is(vae):
    encoder, before = LQEncoder.from_vae(vae), {k: v.clone() for k, v in vae.state_dict().items()}
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.1)
    encoded = encoder(picture())
    (encoded.latents.square().mean() + encoded.last.mean()).backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in encoder.parameters())
    optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())
    assert not torch.equal(encoder.encoder.conv_in.weight, vae.encoder.conv_in.weight)


def test_checkpointing_changes_no_gradient(vae):
    gradients = []
    for is_checkpointed in (False, True):
        encoder = LQEncoder.from_vae(vae).train()
        if is_checkpointed:
            encoder.enable_gradient_checkpointing()
        encoded = encoder(picture(1))
        (encoded.latents.square().mean() + sum(one.square().mean() for one in encoded.features)).backward()
        gradients.append([value.grad for value in encoder.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed, rtol=1e-4, atol=1e-5)


def test_it_saves_and_loads(vae, tmp_path):
    encoder = LQEncoder.from_vae(vae)
    encoder.save_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(LQEncoder.from_pretrained(tmp_path)(picture()).latents, encoder(picture()).latents)


def test_what_it_cannot_copy_or_encode_is_refused(vae):
    with pytest.raises(ShapeError, match=r"multiples of 4, got \(15, 24\)"):
        LQEncoder.from_vae(vae)(picture()[..., 1:, :])
    vae.register_to_config(down_block_types=("AttnDownEncoderBlock2D",))
    with pytest.raises(ConfigError, match="of DownEncoderBlock2D, got AttnDownEncoderBlock2D"):
        LQEncoder.from_vae(vae)
