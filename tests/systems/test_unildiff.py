"""The verbs of UniLDiff: tiles agree, a picture is prepared once, half precision is widened where it must be."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from ldrestore.adapters import fusion_attachment
from ldrestore.adapters.fusion_attachment import attach_fusion
from ldrestore.structures import TilePlan
from ldrestore.systems.unildiff import UniLDiff, predict_fused
from tests.tiny_xl_pipeline import tiny_alignment, tiny_daem, tiny_daff, tiny_xl

WHOLE_PLAN = TilePlan(tile=0, overlap=0, memory_bytes=None)
TILES = TilePlan(tile=128, overlap=32, memory_bytes=None)


def system_of(**replaced):
    parts = tiny_xl(**replaced).components
    fusion = parts["daff"] if parts["daff"] is not None else parts["residual_alignment"]
    return UniLDiff(parts, attachment=None if fusion is None else attach_fusion(parts["unet"], fusion))


def picture(height=64, width=224, seed=0):
    """A slope with some grain, so that a tile differs from its neighbour."""
    grain = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    return 0.2 * grain + 0.7 * torch.linspace(0, 1, width)


def noise(*shape):
    return torch.randn(1, 4, *shape, generator=torch.Generator().manual_seed(1))


def begun_of(system, lq, plan=WHOLE_PLAN, **options):
    return system.begin_picture(lq, system.condition("a house", "remove the rain", **options), plan=plan)


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
@torch.no_grad()
def test_a_prediction_is_that_of_the_training_in_one_or_two_passes(guidance_scale):
    system, lq = system_of(), picture(16, 24)
    latents, timestep = noise(4, 6), torch.tensor(500)
    conditioning = system.condition("a house", "remove the rain", guidance_scale=guidance_scale)
    begun = system.begin_picture(lq, conditioning, plan=WHOLE_PLAN)
    sizes = torch.tensor([[16.0, 24, 0, 0, 16, 24]]).expand(len(conditioning.time_ids), -1)
    expected = predict_fused(
        system.unet,
        latents,
        timestep,
        replace(conditioning, time_ids=sizes),
        attachment=system.attachment,
        prepared=system.attachment.fusion.prepare(system.lq_encoder(lq).last, conditioning.fusion_embeds),
    )
    for found in (
        system.predict(latents, timestep, begun=begun),
        system.predict_tiled(latents, timestep, WHOLE_PLAN, begun=begun),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert system.attachment.slot.prepared is None


@pytest.mark.parametrize(
    ("replaced", "caption"),
    [
        ({}, "a house"),
        ({"daff": None}, "a house, remove the rain"),
        ({"daff": tiny_daff(text_dim=None)}, "a house, remove the rain"),
        ({"daff": None, "residual_alignment": tiny_alignment()}, "a house, remove the rain"),
    ],
    ids=["daff", "none", "daff without text", "residual alignment"],
)
def test_a_task_prompt_that_no_fusion_reads_goes_behind_the_caption(replaced, caption):
    system = system_of(**replaced)
    found, expected = system.condition("a house", "remove the rain"), system.condition(caption, "")
    assert torch.equal(found.prompt_embeds, expected.prompt_embeds) and torch.equal(found.pooled, expected.pooled)
    alone = system.condition("", "remove the rain").prompt_embeds
    assert torch.equal(alone, system.condition("" if "daff" not in replaced else "remove the rain", "").prompt_embeds)


@pytest.mark.parametrize("places", [["conv_in"], ["conv_in", "down_blocks.0"]])
@torch.no_grad()
def test_a_window_sees_its_own_part_of_the_picture(places):
    daff = tiny_daff(places=places)
    system = system_of(daff=daff, daem=None)
    lq, latents, timestep = picture(64, 96), noise(16, 24), torch.tensor(300)
    begun = begun_of(system, lq)
    for place, prepared in begun.prepared[0].items():
        cells = daff.cells_at(place)
        rows, columns = slice(4, 16), slice(8, 24)
        part = prepared.cut([(rows, columns)], cells=cells)
        grid = prepared.tokens.unflatten(1, prepared.grid)
        inner = grid[:, 4 // cells : 16 // cells, 8 // cells : 24 // cells]
        assert part.grid == inner.shape[1:3] and torch.equal(part.tokens, inner.flatten(1, 2))
        assert torch.equal(prepared.cut([(slice(None), slice(None))], cells=cells).tokens, prepared.tokens)
    assert system.predict(latents, timestep, [(slice(0, 16), slice(8, 24))], begun=begun).shape == (1, 4, 16, 16)


def ends(x, reach):
    """What lies far from the border of two tiles."""
    return torch.cat([x[..., :reach], x[..., -reach:]])


@pytest.mark.parametrize("guidance_scale", [1.0, 2.0])
@pytest.mark.parametrize("fusion", ["daff", "residual_alignment"])
@torch.no_grad()
def test_tiles_of_a_prediction_are_aligned_with_the_whole(fusion, guidance_scale, monkeypatch):
    replaced = {"daff": None, "residual_alignment": tiny_alignment()} if fusion == "residual_alignment" else {}
    system, lq, latents, timestep = system_of(daem=None, **replaced), picture(), noise(16, 56), torch.tensor(500)
    begun = begun_of(system, lq, guidance_scale=guidance_scale)
    whole = system.predict_tiled(latents, timestep, WHOLE_PLAN, begun=begun)
    tiled = system.predict_tiled(latents, timestep, TILES, begun=begun)
    torch.testing.assert_close(ends(tiled, 6), ends(whole, 6), rtol=1e-3, atol=1e-3)
    monkeypatch.setattr(fusion_attachment, "MAX_WHOLE_TOKENS", 0)
    within = system.predict_tiled(latents, timestep, TILES, begun=begun)
    assert not torch.allclose(ends(within, 6), ends(whole, 6), rtol=1e-3, atol=1e-3)
    assert system.attachment.slot.aligned is system.attachment.slot.prepared is None


def local_system(**replaced):
    """Without the attention of autoencoder and LQ encoder, so that a pixel knows of its neighbours alone."""
    system = system_of(**replaced)
    for network in (system.vae.encoder, system.vae.decoder, system.lq_encoder.encoder):
        torch.nn.init.zeros_(network.mid_block.attentions[0].to_out[0].weight)
    return system


@pytest.mark.parametrize("routing", [{"routing": "image"}, {"routing": "patch", "patch_size": 4}])
@torch.no_grad()
def test_tiles_of_the_decoder_are_routed_as_the_whole(routing, monkeypatch):
    """Far from the tiles' border they equal it, and without what is measured of the whole they would not."""
    system, lq = local_system(daem=tiny_daem(**routing)), picture()
    conditioning = system.condition("", "")
    latents = system.begin_picture(lq, conditioning, plan=WHOLE_PLAN).lq_latents
    whole = system.decode(latents, lq, conditioning, plan=WHOLE_PLAN)
    tiled = system.decode(latents, lq, conditioning, plan=TILES)
    torch.testing.assert_close(ends(tiled, 32), ends(whole, 32), rtol=1e-4, atol=1e-3)
    plain = UniLDiff(system.parts, attachment=None, refine=False).decode(latents, lq, conditioning, plan=WHOLE_PLAN)
    assert not torch.allclose(plain, whole, atol=1e-2)
    monkeypatch.setattr("ldrestore.tiling.cut_maps.shared_statistics", lambda *_, **__: nullcontext())
    alone = system.decode(latents, lq, conditioning, plan=TILES)
    assert not torch.allclose(ends(alone, 32), ends(whole, 32), rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_what_the_fusion_sees_is_encoded_in_tiles_like_the_whole():
    system, lq = local_system(), picture()
    tokens = [begun_of(system, lq, plan).prepared[0]["conv_in"].tokens for plan in (WHOLE_PLAN, TILES)]
    maps = [one.unflatten(1, (8, 28)).permute(0, 3, 1, 2) for one in tokens]
    torch.testing.assert_close(ends(maps[1], 7), ends(maps[0], 7), rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_what_does_not_depend_on_the_timestep_is_computed_once():
    system = system_of()
    fusion = system.parts["daff"].fusions["conv_in"]
    once = {name: system.parts[name] for name in ("lq_encoder", "text_encoder", "text_encoder_2")}
    once |= {
        "projection": fusion.lq_projection,
        "patches": fusion.embed_lq,
        "words": fusion.text_attention.to_key_value,
    }
    counts = dict.fromkeys(once, 0)
    for name, module in once.items():

        def count(module, inputs, name=name):
            counts[name] += 1

        module.register_forward_pre_hook(count)
    begun = begun_of(system, picture(16, 16))
    for timestep in (900, 500, 100):
        system.predict(noise(4, 4), torch.tensor(timestep), begun=begun)
    assert counts == dict.fromkeys(once, 1)


@torch.no_grad()
def test_the_autoencoder_is_widened_where_it_says_so():
    system, lq = system_of(), picture(16, 16)
    expected = begun_of(system, lq).lq_latents
    for part in system.networks:
        torch.nn.Module.to(part, torch.float16)
    before = {name: value.clone() for name, value in system.vae.state_dict().items()}
    types = []
    system.vae.encoder.conv_in.register_forward_hook(lambda module, inputs, output: types.append(output.dtype))
    assert system.is_widened  # force_upcast is diffusers' default
    bytes_widened = system.bytes_per_pixel
    torch.testing.assert_close(begun_of(system, lq).lq_latents, expected, rtol=1e-2, atol=1e-2)
    system.vae.register_to_config(force_upcast=False)
    assert not system.is_widened and system.bytes_per_pixel * 2 == bytes_widened
    begun_of(system, lq)
    assert types == [torch.float32, torch.float16]
    after = system.vae.state_dict()
    assert all(after[name].dtype == torch.float16 and torch.equal(after[name], before[name]) for name in before)


def test_gradients_of_both_stages_reach_what_they_train():
    system, lq = system_of(), picture(16, 16)
    for part in system.networks:
        part.requires_grad_(False)
    begun = begun_of(system, lq)
    system.parts["daff"].requires_grad_(True)
    system.parts["daem"].requires_grad_(True)
    predicted = system.predict_batch(noise(4, 4), torch.tensor([7]), lq, begun.passes[0])
    with torch.no_grad():
        torch.testing.assert_close(
            predicted, system.predict(noise(4, 4), torch.tensor(7), begun=begun), rtol=1e-4, atol=1e-5
        )
    predicted = system.predict_batch(noise(4, 4), torch.tensor([7]), lq, begun.passes[0])
    restored = system.decode_features(begun.lq_latents, system.lq_encoder(lq).features, lq)
    (predicted.square().mean() + restored.square().mean()).backward()
    for name in ("daff", "daem"):
        assert any(weight.grad is not None and weight.grad.any() for weight in system.parts[name].parameters()), name
    assert system.attachment.slot.prepared is not None  # checkpointed blocks run again in the backward pass
    with torch.no_grad():
        system.predict(noise(4, 4), torch.tensor(7), begun=begun)
    assert system.attachment.slot.prepared is None
