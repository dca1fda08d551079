"""The refined autoencoder against diffusers' own, and its tiles against the whole."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from accelerate import cpu_offload, cpu_offload_with_hook
from diffusers import AutoencoderKL

from ldrestore.errors import InputError, ShapeError
from ldrestore.refiners.refined_decoder import (
    decode_refined,
    decode_refined_tiled,
    encode_picture,
    encode_tiled,
    plan_of,
)
from ldrestore.structures import TilePlan
from ldrestore.tiling.planning import fixed_plan
from tests.tile_scores import seam_score
from tests.tiny_autoencoder import make_drm, make_vae, trained

LEVELS_AND_SIZES = [(3, (32, 48)), (3, (20, 28)), (4, (40, 56)), (4, (8, 24))]


def picture(size=(32, 48), batch=2, dtype=torch.float32):
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(0)).to(dtype)


def by_diffusers(vae, latents):
    """What the pipeline of diffusers does, in [0, 1]."""
    return vae.decode(latents / vae.config.scaling_factor).sample / 2 + 0.5


def by_hooks(vae, drm, latents, *, features, probabilities):
    """Another way to the same: hooks on the last residual block of each resolution."""

    def refined(level):
        return lambda module, inputs, output: drm(output, features[level], probabilities, level=level)

    blocks = reversed(vae.decoder.up_blocks)
    handles = [block.resnets[-1].register_forward_hook(refined(level)) for level, block in enumerate(blocks)]
    decoded = by_diffusers(vae, latents)
    for handle in handles:
        handle.remove()
    return decoded


@pytest.mark.parametrize(("num_levels", "size"), LEVELS_AND_SIZES)
def test_the_encoder_gives_diffusers_latents_and_its_features(num_levels, size):
    vae, lq = make_vae(num_levels), picture(size)
    maps = []
    handles = [
        block.resnets[-1].register_forward_hook(lambda module, inputs, output: maps.append(output))
        for block in vae.encoder.down_blocks
    ]
    expected = vae.encode(lq * 2 - 1).latent_dist.mode() * vae.config.scaling_factor
    for handle in handles:
        handle.remove()
    encoded = encode_picture(vae, lq)
    assert torch.equal(encoded.latents, expected)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(encoded.features, maps, strict=True))
    assert [feature.shape[-1] for feature in encoded.features] == [size[1] // 2**k for k in range(num_levels)]


@pytest.mark.parametrize(("num_levels", "size"), LEVELS_AND_SIZES)
@pytest.mark.parametrize("is_refined", [False, True])
def test_a_new_module_changes_nothing_to_the_bit(num_levels, size, is_refined, probabilities):
    vae, drm = make_vae(num_levels), make_drm(num_levels)
    encoded = encode_picture(vae, picture(size))
    conditions = {"drm": drm, "features": encoded.features, "probabilities": probabilities}
    decoded = decode_refined(vae, encoded.latents, **(conditions if is_refined else {"drm": None}))
    assert decoded.shape == (2, 3, *size)
    assert torch.equal(decoded, by_diffusers(vae, encoded.latents))


@pytest.mark.parametrize("num_levels", [3, 4])
def test_the_module_works_before_each_upsampling(num_levels, probabilities):
    vae, drm = make_vae(num_levels), trained(make_drm(num_levels))
    encoded = encode_picture(vae, picture())
    conditions = {"features": encoded.features, "probabilities": probabilities}
    decoded = decode_refined(vae, encoded.latents, drm=drm, **conditions)
    assert torch.equal(decoded, by_hooks(vae, drm, encoded.latents, **conditions))
    assert (decoded - by_diffusers(vae, encoded.latents)).abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype, probabilities):
    vae, drm = make_vae().to(dtype), make_drm().to(dtype)
    encoded = encode_picture(vae, picture())
    conditions = {"features": encoded.features, "probabilities": probabilities}
    decoded = decode_refined(vae, encoded.latents, drm=drm, **conditions)
    assert decoded.dtype == dtype
    assert torch.equal(decoded, by_diffusers(vae, encoded.latents))
    refined = decode_refined(vae, encoded.latents, drm=trained(drm), **conditions)
    assert refined.dtype == dtype and refined.isfinite().all()


def loss_of(vae, drm, lq, probabilities):
    encoded = encode_picture(vae, lq)
    refined = decode_refined(vae, encoded.latents, drm=drm, features=encoded.features, probabilities=probabilities)
    return (refined - lq).square().mean()


def test_gradients_reach_the_module_and_nothing_else(vae, drm, probabilities):
    trained(drm)
    lq = picture().requires_grad_()
    loss_of(vae, drm, lq.detach(), probabilities).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in drm.parameters())
    assert all(parameter.grad is None for parameter in vae.parameters())
    assert not encode_picture(vae.requires_grad_(True), lq).features[0].requires_grad


def test_checkpointing_gives_the_same_gradients_with_two_forwards_before_a_backward(vae, drm, probabilities):
    trained(drm)
    first, second = picture(), picture().flip(0, 2)

    def gradients():
        drm.zero_grad()
        losses = [loss_of(vae, drm, lq, p) for lq, p in ((first, probabilities), (second, probabilities.flip(0)))]
        sum(losses).backward()
        return [parameter.grad.clone() for parameter in drm.parameters()]

    plain = gradients()
    vae.enable_gradient_checkpointing()
    assert all(torch.equal(*pair) for pair in zip(plain, gradients(), strict=True))


def test_each_picture_of_a_batch_stays_to_itself_with_slicing_and_without(vae, drm, probabilities):
    trained(drm)
    lq = picture()
    batch = encode_picture(vae, lq)
    whole = decode_refined(vae, batch.latents, drm=drm, features=batch.features, probabilities=probabilities)
    vae.enable_slicing()
    sliced = encode_picture(vae, lq)
    for ours, theirs in zip((sliced.latents, *sliced.features), (batch.latents, *batch.features), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    sizes = []
    vae.decoder.conv_in.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    slices = decode_refined(vae, batch.latents, drm=drm, features=batch.features, probabilities=probabilities)
    torch.testing.assert_close(slices, whole, rtol=1e-4, atol=1e-5)
    assert sizes == [1, 1]


def test_the_autoencoder_stays_as_it_was(vae, drm, probabilities, tmp_path):
    names = list(vae.state_dict())
    loss_of(vae, trained(drm), picture(), probabilities)
    assert list(vae.state_dict()) == names
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in vae.modules())
    vae.save_pretrained(tmp_path)
    loaded = AutoencoderKL.from_pretrained(tmp_path).eval()
    assert torch.equal(loss_of(loaded, drm, picture(), probabilities), loss_of(vae, drm, picture(), probabilities))


def test_off_loading_layer_by_layer(vae, drm, probabilities):
    trained(drm)
    with torch.no_grad():
        expected = loss_of(vae, drm, picture(), probabilities)
        for network in (vae, drm):
            cpu_offload(network, execution_device=torch.device("cpu"))
            assert next(network.parameters()).device.type == "meta"
        assert torch.equal(loss_of(vae, drm, picture(), probabilities), expected)


def test_off_loading_whole_models_brings_the_autoencoder_in(vae, monkeypatch):
    _, hook = cpu_offload_with_hook(vae, execution_device=torch.device("cpu"))
    calls = []
    monkeypatch.setattr(hook.hook, "pre_forward", lambda module, *inputs: calls.append(module))
    encoded = encode_picture(vae, picture())
    decode_refined(vae, encoded.latents, drm=None)
    assert calls == [vae, vae]


def sky_and_grass(height=128, width=224):
    """A picture whose tiles differ: smooth and bright on the left, dark and rough on the right."""
    rough = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    depth = torch.linspace(0, 1, width).expand(height, width)
    return 0.8 - 0.5 * depth + (rough - 0.5) * depth.square()


def psnr(x, reference):
    return -10 * (x - reference).square().mean().log10().item()


WIDE = TilePlan(tile=128, overlap=32, memory_bytes=None)


@pytest.fixture
def local_vae():
    """Without attention, which sees a tile only."""
    vae = make_vae()
    for half in (vae.encoder, vae.decoder):
        torch.nn.init.zeros_(half.mid_block.attentions[0].to_out[0].weight)
    return vae


def whole_and_tiled(vae, drm, plan=WIDE):
    """Latents and pictures: of the whole, and of tiles."""
    lq, conditions = sky_and_grass(), {"drm": drm, "probabilities": torch.tensor([[0.2, 0.3, 0.5]])}
    encoded = encode_picture(vae, lq)
    whole = decode_refined(vae, encoded.latents, features=encoded.features, **conditions)
    tiled = decode_refined_tiled(vae, encoded.latents, lq=lq, plan=plan, **conditions)
    return (encoded.latents, whole), (encode_tiled(vae, lq, plan), tiled)


@torch.no_grad()
def test_tiles_with_the_true_statistics_equal_the_whole_beyond_the_reach_of_their_borders(local_vae, drm):
    whole, tiled = whole_and_tiled(local_vae, trained(drm, 0.02))
    for ours, theirs, reach in zip(tiled, whole, (15, 50), strict=True):
        for side in (slice(0, reach), slice(-reach, None)):
            torch.testing.assert_close(ours[..., side], theirs[..., side], rtol=1e-4, atol=1e-4)
    assert psnr(tiled[1], whole[1]) > 40


@torch.no_grad()
def test_tiles_see_the_attention_of_the_whole(vae, drm):
    torch.manual_seed(3)
    for half in (vae.encoder, vae.decoder):  # as strong as its input
        torch.nn.init.normal_(half.mid_block.attentions[0].to_out[0].weight, std=1)
    whole, tiled = whole_and_tiled(vae, trained(drm, 0.02))
    for ours, theirs, reach in zip(tiled, whole, (15, 50), strict=True):
        torch.testing.assert_close(ours[..., :reach], theirs[..., :reach], rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_crops_and_what_the_tiles_add_to_them_come_near_the_whole(local_vae, drm, monkeypatch):
    plan, module = replace(WIDE, look=128), trained(drm, 0.02)
    whole, corrected = whole_and_tiled(local_vae, module, plan)
    monkeypatch.setattr("ldrestore.tiling.cut_maps.MOST_ROUNDS", 1)
    _, by_crops = whole_and_tiled(local_vae, module, plan)
    monkeypatch.setattr("ldrestore.tiling.cut_maps.shared_statistics", lambda *_, **__: nullcontext())
    _, own = whole_and_tiled(local_vae, module, plan)
    for index in (0, 1):
        scores = [psnr(result[index], whole[index]) for result in (own, by_crops, corrected)]
        assert scores[2] > max(scores[0], scores[1] + 6), scores


@torch.no_grad()
def test_seams_do_not_show(vae, drm):
    """Across the tiles' borders, gradients are those of the whole, which has none."""
    whole, tiled = whole_and_tiled(vae, trained(drm, 0.02))
    scores = [seam_score(decoded[0].permute(1, 2, 0).numpy(), WIDE) for _, decoded in (tiled, whole)]
    assert scores[0] <= 1.05 * scores[1]


@torch.no_grad()
def test_tiles_of_a_batch_are_those_of_single_pictures_sliced_or_not(vae, drm, probabilities):
    trained(drm)
    lq, plan = picture((32, 80)), fixed_plan(64)
    latents = encode_tiled(vae, lq, plan)
    batch = decode_refined_tiled(vae, latents, drm=drm, lq=lq, probabilities=probabilities, plan=plan)
    vae.enable_slicing()
    for index in range(2):
        one = slice(index, index + 1)
        assert torch.equal(encode_tiled(vae, lq[one], plan), latents[one])
        conditions = {"lq": lq[one], "probabilities": probabilities[one], "plan": plan}
        assert torch.equal(decode_refined_tiled(vae, latents[one], drm=drm, **conditions), batch[one])


@torch.no_grad()
def test_tiles_in_half_precision_off_loaded(vae, drm, probabilities):
    lq, plan = picture((16, 80), batch=1), fixed_plan(64)
    trained(drm)
    conditions = {"lq": lq, "probabilities": probabilities[:1], "plan": plan}
    expected = decode_refined_tiled(vae, encode_tiled(vae, lq, plan), drm=drm, **conditions)
    for network in (vae, drm):
        cpu_offload(network.bfloat16(), execution_device=torch.device("cpu"))
    decoded = decode_refined_tiled(vae, encode_tiled(vae, lq, plan), drm=drm, **conditions)
    assert decoded.dtype == torch.bfloat16
    assert (decoded.float() - expected).abs().mean() < 0.05 * expected.std()


@torch.no_grad()
def test_one_tile_is_the_whole(vae, drm, probabilities):
    trained(drm)
    lq, P = picture(batch=1), probabilities[:1]
    encoded = encode_picture(vae, lq)
    whole = decode_refined(vae, encoded.latents, drm=drm, features=encoded.features, probabilities=P)
    for plan in (fixed_plan(0), fixed_plan(64)):
        conditions = {"drm": drm, "lq": lq, "probabilities": P, "plan": plan}
        assert torch.equal(decode_refined_tiled(vae, encoded.latents, **conditions), whole)
        assert torch.equal(encode_tiled(vae, lq, plan), encoded.latents)


def test_the_largest_map_does_not_grow_with_the_picture(vae, drm):
    sizes = []
    for module in (*vae.modules(), *drm.modules()):  # pixels are put together outside of any module
        module.register_forward_hook(lambda module, inputs, output: sizes.append(getattr(output, "shape", (0,))))
    for size in ((160, 160), (160, 224)):
        lq, plan = picture(size, batch=1), replace(fixed_plan(64), look=128)
        latents = encode_tiled(vae, lq, plan)
        decode_refined_tiled(vae, latents, drm=drm, lq=lq, probabilities=torch.ones(1, 3) / 3, plan=plan)
    assert max(shape[-1] for shape in sizes if len(shape) == 4 and shape[1] in (3, 8, 16)) == 128


def test_tiles_that_the_autoencoder_asks_for(vae):
    assert plan_of(vae).tile == 0
    vae.enable_tiling()
    assert plan_of(vae) == TilePlan(tile=64, overlap=16, memory_bytes=None)


def test_wrong_input_is_refused(vae, drm, probabilities):
    with pytest.raises(ShapeError, match="multiples of 4, got 30 and 48; pad with"):
        encode_picture(vae, picture((30, 48)))
    encoded = encode_picture(vae, picture())
    with pytest.raises(InputError, match="needs the probabilities"):
        decode_refined(vae, encoded.latents, drm=drm, features=encoded.features)
    with pytest.raises(ShapeError, match=r"\(2, 3\), got \(1, 3\)"):
        decode_refined(vae, encoded.latents, drm=drm, features=encoded.features, probabilities=probabilities[:1])
    with pytest.raises(ShapeError, match="features at 3 resolutions, got 2"):
        decode_refined(vae, encoded.latents, drm=drm, features=encoded.features[1:], probabilities=probabilities)
    with pytest.raises(InputError, match=r"widths \[8, 16, 16, 16\], got \[8, 8, 16\]"):
        decode_refined(vae, encoded.latents, drm=make_drm(4), features=encoded.features, probabilities=probabilities)
    conditions = {"drm": None, "probabilities": None, "plan": fixed_plan(64)}
    with pytest.raises(ShapeError, match="4 times the latents' size"):
        decode_refined_tiled(vae, encoded.latents, lq=picture((32, 44)), **conditions)
    with pytest.raises(InputError, match="multiples of 4 pixels for this autoencoder, got 30"):
        encode_tiled(vae, picture(), TilePlan(tile=30, overlap=4, memory_bytes=None))
    other = AutoencoderKL(down_block_types=("AttnDownEncoderBlock2D",))
    with pytest.raises(InputError, match="got AttnDownEncoderBlock2D, UpDecoderBlock2D"):
        encode_picture(other, picture())
