"""The verbs of UniLDiff against a literal composition of its parts; texts, guidance, batches, and failures."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ldrestore.adapters.fusion_attachment import attach_fusion
from ldrestore.adapters.lq_encoder import LQEncoder
from ldrestore.errors import ShapeError, UndefinedNumbersError
from ldrestore.prompts.xl_text import XLText
from ldrestore.structures import TilePlan
from ldrestore.systems.unildiff import (
    UniLDiff,
    XLConditioning,
    for_batch,
    guided_prediction,
    lq_for_fusion,
    xl_conditioning,
)
from ldrestore.systems.unildiff_parts import fusion_of, name_of_fusion, reads_tasks
from tests.tiny_xl_pipeline import tiny_alignment, tiny_daem, tiny_daff, tiny_xl

WHOLE_PLAN = TilePlan(tile=0, overlap=0, memory_bytes=None)
T = torch.tensor(321)


def system_of(*, refine: bool = True, **replaced: Any) -> UniLDiff:
    parts = tiny_xl(**replaced).components
    fusion = fusion_of(parts)
    attachment = None if fusion is None else attach_fusion(parts["unet"], fusion)
    return UniLDiff(parts, attachment=attachment, refine=refine)


def lq_of(height: int = 16, width: int = 24, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


def noise(height: int = 4, width: int = 6, batch: int = 1) -> Tensor:
    return torch.randn(batch, 4, height, width, generator=torch.Generator().manual_seed(1))


def reader(read: list[Sequence[str]]) -> Any:
    """Embeds a text as its length, and keeps what it was asked for."""

    def embed(texts: Sequence[str]) -> XLText:
        read.append(list(texts))
        lengths = torch.tensor([float(len(text)) for text in texts])
        return XLText(lengths[:, None, None].expand(-1, 2, 3), lengths[:, None].expand(-1, 4))

    return embed


def test_each_different_text_is_read_once_and_goes_to_its_rows() -> None:
    read: list[Sequence[str]] = []
    found = xl_conditioning(["ab", "", "ab"], ["", "abcd", "abc"], size=(32, 48), read=reader(read))
    assert read == [sorted({"ab", "", "abcd", "abc"})]
    assert found.pooled[:, 0].tolist() == [2, 0, 2] and found.prompt_embeds[:, 0, 0].tolist() == [2, 0, 2]
    assert found.fusion_embeds[:, :, 0].tolist() == [[2, 2, 0, 0], [0, 0, 4, 4], [2, 2, 3, 3]]
    assert found.time_ids.tolist() == [[32, 48, 0, 0, 32, 48]] * 3 and found.num_passes == 1


def test_guidance_puts_all_pictures_without_a_text_first() -> None:
    found = xl_conditioning(["ab", "abc"], ["a", ""], size=(8, 8), read=reader([]), guidance_scale=4.0)
    assert found.num_passes == 2 and found.guidance_scale == 4
    assert found.pooled[:, 0].tolist() == [0, 0, 2, 3]
    assert found.fusion_embeds[:, :, 0].tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [2, 2, 1, 1], [3, 3, 0, 0]]
    plain, steered = found.single_passes()
    assert plain.pooled[:, 0].tolist() == [0, 0] and steered.pooled[:, 0].tolist() == [2, 3]
    assert (plain.num_passes, plain.guidance_scale, len(plain.time_ids)) == (1, 1.0, 2)


def test_without_a_reader_the_task_stands_behind_the_caption_and_empty_ones_leave_no_comma() -> None:
    read: list[Sequence[str]] = []
    options = {"size": (8, 8), "read": reader(read), "has_reader": False}
    xl_conditioning(["a house", "", "a cat", ""], ["remove", "remove", "", ""], **options)
    assert read == [["", "a cat", "a house, remove", "remove"]]
    with pytest.raises(ShapeError, match="a task prompt for each caption, got 1 for 2"):
        xl_conditioning(["a", "b"], [""], size=(8, 8), read=reader([]))


def test_a_picture_is_told_of_its_own_size() -> None:
    conditioning = xl_conditioning(["a"], [""], size=(0, 0), read=reader([]), guidance_scale=2.0)
    sized = conditioning.for_picture(lq_of(16, 24))
    assert sized.time_ids.tolist() == [[16, 24, 0, 0, 16, 24]] * 2
    assert sized.time_ids.dtype == conditioning.time_ids.dtype and sized.guidance_scale == 2
    assert conditioning.time_ids.tolist() == [[0] * 6] * 2


def test_guidance_goes_from_the_plain_prediction_through_the_steered_one() -> None:
    plain, steered = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 1.0])
    assert guided_prediction([plain], 7.0) is plain
    assert guided_prediction([plain, steered], 0.0).tolist() == [1, 2]
    assert guided_prediction([plain, steered], 1.0).tolist() == [3, 1]
    assert guided_prediction([plain, steered], 2.5).tolist() == [6, -0.5]


def test_what_is_told_of_pictures_serves_parts_of_them_pass_by_pass() -> None:
    rows = torch.tensor([[1], [2], [10], [20]])
    assert for_batch(rows, passes=2, batch=2).flatten().tolist() == [1, 2, 10, 20]
    assert for_batch(rows, passes=2, batch=4).flatten().tolist() == [1, 2, 1, 2, 10, 20, 10, 20]
    assert for_batch(rows[:1], passes=1, batch=3).flatten().tolist() == [1, 1, 1]
    with pytest.raises(ShapeError, match="prepared for 2 pictures, which do not fit a batch of 3"):
        for_batch(rows, passes=2, batch=3)


def test_a_fusion_takes_features_or_latents_as_it_was_built_for() -> None:
    system = system_of()
    encoded = system.lq_encoder(lq_of())
    assert lq_for_fusion(encoded, system.attachment) is encoded.last
    of_latents = system_of(daff=tiny_daff(lq="latent", lq_channels=8))
    found = lq_for_fusion(encoded, of_latents.attachment)
    conv_in = of_latents.unet.conv_in
    expected = torch.nn.functional.conv2d(encoded.latents, conv_in.weight, conv_in.bias, padding=1)
    torch.testing.assert_close(found, expected)
    short = LQEncoder((8, 8, 16), 1, norm_num_groups=4, has_latents=False)(lq_of())
    with pytest.raises(ShapeError, match="ends before them; take one with has_latents"):
        lq_for_fusion(short, of_latents.attachment)
    of_latents.attachment.clear()


@contextmanager
def aligned_by_hand(system: UniLDiff, lq: Tensor, conditioning: XLConditioning) -> Iterator[None]:
    """What is behind `conv_in` goes through the fusion, without an attachment."""
    fusion = fusion_of(system.parts)
    prepared = fusion.prepare(system.lq_encoder(lq).last, conditioning.fusion_embeds)["conv_in"]
    system.attachment.detach()
    hook = system.unet.conv_in.register_forward_hook(
        lambda module, inputs, output: fusion(output, T, prepared, place="conv_in")
    )
    yield
    hook.remove()


@torch.no_grad()
@pytest.mark.parametrize("replaced", [{}, {"daff": None, "residual_alignment": tiny_alignment()}], ids=["daff", "rsa"])
@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_a_prediction_is_the_unet_of_diffusers_around_the_fusion(replaced, guidance_scale) -> None:
    system, lq, latents = system_of(**replaced), lq_of(), noise()
    conditioning = system.condition("a house", "remove the rain", guidance_scale=guidance_scale)
    begun = system.begin_picture(lq, conditioning, plan=WHOLE_PLAN)
    found = system.predict(latents, T, begun=begun)
    predictions = []
    for row in conditioning.single_passes():
        with aligned_by_hand(system, lq, row):
            sizes = torch.tensor([[16.0, 24.0, 0.0, 0.0, 16.0, 24.0]])
            given = {"text_embeds": row.pooled, "time_ids": sizes}
            predictions.append(system.unet(latents, T, row.prompt_embeds, added_cond_kwargs=given).sample)
    expected = predictions[0]
    if guidance_scale != 1:
        expected = predictions[0] + guidance_scale * (predictions[1] - predictions[0])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert found.dtype == torch.float32 and len(predictions) == (1 if guidance_scale == 1 else 2)


@torch.no_grad()
def test_without_a_fusion_it_is_bare_sdxl() -> None:
    system, lq, latents = system_of(daff=None), lq_of(), noise()
    begun = system.begin_picture(lq, system.condition("a house", ""), plan=WHOLE_PLAN)
    assert begun.prepared == [{}]
    row = begun.passes[0]
    given = {"text_embeds": row.pooled, "time_ids": row.time_ids}
    expected = system.unet(latents, T, row.prompt_embeds, added_cond_kwargs=given).sample
    assert torch.equal(system.predict(latents, T, begun=begun), expected)
    other = system.begin_picture(lq.flip(-1), system.condition("a house", ""), plan=WHOLE_PLAN)
    assert torch.equal(system.predict(latents, T, begun=other), expected)  # nothing sees the picture


@torch.no_grad()
def test_latents_of_a_picture_are_the_frozen_autoencoders_and_not_the_trained_encoders() -> None:
    system, lq = system_of(), lq_of()
    begun = system.begin_picture(lq, system.condition("", ""), plan=WHOLE_PLAN)
    expected = system.vae.encode(lq * 2 - 1).latent_dist.mode() * 0.13025
    torch.testing.assert_close(begun.lq_latents, expected, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(begun.lq_latents, system.lq_encoder(lq).latents, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("routing", [{}, {"top_k": 2}, {"routing": "patch", "patch_size": 4}])
def test_pixels_are_the_decoder_of_diffusers_with_experts_before_each_upsampling(routing) -> None:
    system, lq, latents = system_of(daem=tiny_daem(**routing)), lq_of(), noise()
    found = system.decode(latents, lq, system.condition("", ""), plan=WHOLE_PLAN)
    decoder, features = system.vae.decoder, system.lq_encoder(lq).features
    x = decoder.mid_block(decoder.conv_in(system.vae.post_quant_conv(latents / 0.13025)))
    for level, block in zip((2, 1, 0), decoder.up_blocks, strict=True):
        for resnet in block.resnets:
            x = resnet(x, None)
        x = system.daem(x, features[level], lq, level=level)
        for upsampler in block.upsamplers or ():
            x = upsampler(x)
    x = decoder.conv_out(torch.nn.functional.silu(decoder.conv_norm_out(x)))
    torch.testing.assert_close(found, (x + 1) / 2, rtol=1e-4, atol=1e-5)
    plain = UniLDiff(system.parts, attachment=None, refine=False)
    expected = (system.vae.decode(latents / 0.13025).sample + 1) / 2
    torch.testing.assert_close(plain.decode(latents, lq, None, plan=WHOLE_PLAN), expected, rtol=1e-4, atol=1e-5)
    assert plain.bytes_per_pixel < system.bytes_per_pixel


@torch.no_grad()
@pytest.mark.parametrize("guidance_scale", [1.0, 2.0])
def test_a_batch_is_predicted_and_decoded_as_its_pictures_are(guidance_scale) -> None:
    system, lq, latents = system_of(), lq_of(batch=3), noise(batch=3)
    texts = [("a house", "remove the rain"), ("", ""), ("a photo of the house", "remove haze")]
    read = {"size": (16, 24), "read": lambda all_texts: reader_of_system(all_texts), "guidance_scale": guidance_scale}

    def reader_of_system(all_texts: Sequence[str]) -> XLText:
        rows = [system.condition(text, "") for text in all_texts]
        return XLText(torch.cat([row.prompt_embeds for row in rows]), torch.cat([row.pooled for row in rows]))

    captions, tasks = zip(*texts, strict=True)
    timesteps = torch.tensor([10, 500, 900])
    together = system.predict_batch(latents, timesteps, lq, xl_conditioning(captions, tasks, **read))
    decoded = system.decode_features(latents, system.lq_encoder(lq).features, lq)
    for index, (caption, task) in enumerate(texts):
        one = slice(index, index + 1)
        conditioning = system.condition(caption, task, guidance_scale=guidance_scale)
        begun = system.begin_picture(lq[one], conditioning, plan=WHOLE_PLAN)
        alone = system.predict(latents[one], timesteps[index], begun=begun)
        torch.testing.assert_close(together[one], alone, rtol=1e-3, atol=1e-4)
        single = system.decode(latents[one], lq[one], conditioning, plan=WHOLE_PLAN)
        torch.testing.assert_close(decoded[one], single, rtol=1e-4, atol=1e-4)
    system.attachment.clear()


def test_gradients_reach_the_lq_encoder_through_both_stages_and_never_the_frozen_autoencoder() -> None:
    system, lq = system_of(), lq_of()
    with torch.no_grad():
        conditioning = replace(system.condition("", ""), time_ids=torch.tensor([[16.0, 24, 0, 0, 16, 24]]))
    encoder = system.lq_encoder.requires_grad_(True)
    system.predict_batch(noise(), torch.tensor([5]), lq, conditioning).square().mean().backward()
    by_fusion = {name for name, one in encoder.named_parameters() if one.grad is not None and one.grad.any()}
    assert any(name.startswith("encoder.mid_block") for name in by_fusion)
    assert not any("conv_out" in name for name in by_fusion)  # latents have no way in
    encoder.zero_grad(set_to_none=True)
    system.decode_features(noise(), encoder(lq).features, lq).square().mean().backward()
    by_experts = {name for name, one in encoder.named_parameters() if one.grad is not None and one.grad.any()}
    assert any("down_blocks.0" in name for name in by_experts)
    assert not any("mid_block" in name for name in by_experts)
    assert all(one.grad is None for one in (*system.vae.parameters(), *system.unet.parameters()))
    system.attachment.clear()


class PowerCutError(RuntimeError):
    """Comes from within a network."""


@torch.no_grad()
@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_failure_in_either_pass_leaves_nothing_of_the_picture(fails_at) -> None:
    system, calls = system_of(), []
    begun = system.begin_picture(lq_of(), system.condition("a", "", guidance_scale=2.0), plan=WHOLE_PLAN)
    expected = system.predict(noise(), T, begun=begun)

    def fail(module: Any, inputs: Any) -> None:
        calls.append(module)
        if len(calls) == fails_at:
            raise PowerCutError

    hook = system.unet.mid_block.register_forward_pre_hook(fail)
    with pytest.raises(PowerCutError):
        system.predict(noise(), T, begun=begun)
    slot = system.attachment.slot
    assert slot.prepared is slot.timestep is slot.aligned is None
    hook.remove()
    assert torch.equal(system.predict(noise(), T, begun=begun), expected)


def test_where_somebody_trains_the_picture_stays_for_the_backward_pass() -> None:
    system = system_of()
    begun = system.begin_picture(lq_of(), system.condition("a", ""), plan=WHOLE_PLAN)
    system.predict(noise(), T, begun=begun)
    assert system.attachment.slot.prepared is not None
    with torch.no_grad():
        system.predict(noise(), T, begun=begun)
    assert system.attachment.slot.prepared is None


@torch.no_grad()
@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (lambda parts: parts["text_encoder"].encoder.layers[0].mlp.fc1, "the text's embeddings"),
        (lambda parts: parts["text_encoder_2"].text_projection, "the text's embeddings"),
        (lambda parts: parts["vae"].encoder.conv_out, "the encoder's latents"),
        (lambda parts: parts["lq_encoder"].encoder.mid_block.resnets[1].conv2, "the LQ encoder's features"),
        (lambda parts: parts["daem"].levels[0].conv_out, "the decoder's pixels"),
        (lambda parts: parts["vae"].decoder.conv_in, "the decoder's pixels"),
    ],
)
def test_damaged_weights_are_told_of_by_the_stage_that_they_reach(damaged, message) -> None:
    system, lq = system_of(), lq_of()
    module = damaged(system.parts)
    next(module.parameters()).fill_(torch.nan)

    def restore() -> None:
        begun = system.begin_picture(lq, system.condition("a", "remove"), plan=WHOLE_PLAN)
        system.decode(begun.lq_latents, lq, None, plan=WHOLE_PLAN)

    with pytest.raises(UndefinedNumbersError, match=f"^{message} hold infinite or undefined numbers"):
        restore()


def test_which_fusion_there_is_and_whether_it_reads() -> None:
    daff, alignment = tiny_daff(), tiny_alignment()
    assert fusion_of({"daff": daff}) is daff and name_of_fusion(daff) == "daff" and reads_tasks({"daff": daff})
    assert fusion_of({"daff": None, "residual_alignment": alignment}) is alignment
    assert name_of_fusion(alignment) == "residual_alignment" and not reads_tasks({"residual_alignment": alignment})
    assert fusion_of({}) is None and not reads_tasks({})
    assert not reads_tasks({"daff": tiny_daff(text_dim=None)})
