"""The verbs of MPerceiver against a literal composition of its parts, with parts left out, and after failures."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ldrestore.adapters.attachment import attach
from ldrestore.errors import UndefinedNumbersError
from ldrestore.prompts.text_sequences import CLIP_TOKENS, SpecialTokens
from ldrestore.structures import Conditioning, DegradationEstimate, TilePlan
from ldrestore.systems.mperceiver import Begun, MPerceiver
from tests.tiny_stable import NAMES, tiny_stable

WHOLE_PLAN = TilePlan(tile=0, overlap=0, memory_bytes=None)
T = torch.tensor(321)


def system_of(*, refine: bool = True, tokens: SpecialTokens | None = None, **replaced: Any) -> MPerceiver:
    parts = tiny_stable(**replaced).components
    attachment = None if parts["injection"] is None else attach(parts["unet"], parts["injection"])
    return MPerceiver(parts, attachment=attachment, refine=refine, tokens=tokens)


def lq_of(height: int = 16, width: int = 24, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


def noise(height: int = 4, width: int = 6, batch: int = 1) -> Tensor:
    return torch.randn(batch, 4, height, width, generator=torch.Generator().manual_seed(1))


def begun_of(system: MPerceiver, lq: Tensor) -> Begun:
    return system.begin_picture(lq, system.condition(lq)[0], plan=WHOLE_PLAN)


def text_by_hand(system: MPerceiver, words: Tensor) -> Tensor:
    """E_txt of (K, D): start, words, end and padding in the place of tokens' embeddings."""
    encoder, tokens = system.parts["text_encoder"], system.tokens
    table = encoder.get_input_embeddings()
    start, end, padding = (table.weight[index : index + 1] for index in (tokens.start, tokens.end, tokens.padding))
    row = torch.cat([start, words, end, padding.expand(encoder.config.max_position_embeddings - len(words) - 2, -1)])
    hook = encoder.get_input_embeddings().register_forward_hook(lambda module, inputs, output: row[None])
    found = encoder(torch.zeros(1, len(row), dtype=torch.long)).last_hidden_state[0]
    hook.remove()
    return found


@torch.no_grad()
def test_a_picture_is_conditioned_by_the_mixture_of_what_is_said_for_each_degradation() -> None:
    system, lq = system_of(), lq_of()
    conditioning, estimate = system.condition(lq)
    embeddings = system.embed(lq)
    shares = system.parts["predictor"].probabilities(embeddings)[0]
    assert estimate.names == NAMES and list(estimate.probabilities) == pytest.approx(shares.tolist(), abs=1e-6)
    e_cm = system.parts["cm_adapter"](embeddings.mean(dim=1))[0]  # (N, L, D)
    pool = system.parts["textual_prompts"].tp
    texts = [text_by_hand(system, torch.cat([pool[index], e_cm[index]])) for index in range(len(NAMES))]
    expected = sum(share * text for share, text in zip(shares, texts, strict=True))
    torch.testing.assert_close(conditioning.prompt_embeds[0], expected, rtol=1e-3, atol=1e-4)
    endings = system.texts(embeddings)
    for index, text in enumerate(texts):  # after the last word: start, two words of T, three of the picture
        torch.testing.assert_close(endings[index], text[6], rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_what_is_given_takes_the_place_of_the_predictor() -> None:
    system, lq = system_of(), lq_of()
    given = DegradationEstimate(NAMES, (0.0, 0.25, 0.75))
    calls: list[Any] = []
    system.parts["predictor"].register_forward_pre_hook(lambda module, inputs: calls.append(module))
    conditioning, estimate = system.condition(lq, given)
    assert estimate.probabilities == given.probabilities and not calls
    assert conditioning.probabilities.tolist() == [[0.0, 0.25, 0.75]]
    embeddings = system.embed(lq)
    expected = system.text(embeddings, torch.tensor([[0.0, 0.25, 0.75]]))
    assert torch.equal(conditioning.prompt_embeds, expected)


@torch.no_grad()
def test_without_a_cm_adapter_the_empty_text_is_taken_and_a_given_estimate_needs_no_tower() -> None:
    system, lq = system_of(cm_adapter=None, textual_prompts=None), lq_of()
    tower: list[Any] = []
    system.parts["image_encoder"].register_forward_pre_hook(lambda module, inputs: tower.append(module))
    conditioning, _ = system.condition(lq, DegradationEstimate(NAMES, (1.0, 0.0, 0.0)))
    assert not tower
    expected = text_by_hand(system, torch.zeros(0, 8))
    torch.testing.assert_close(conditioning.prompt_embeds[0], expected, rtol=1e-4, atol=1e-5)
    system.condition(lq)
    assert len(tower) == 1
    other, _ = system.condition(lq_of().flip(-1))
    torch.testing.assert_close(other.prompt_embeds, conditioning.prompt_embeds)


def test_tokens_around_the_words_are_the_tokenizers_unless_they_are_given() -> None:
    assert system_of().tokens == SpecialTokens(start=18, end=19, padding=0)
    assert system_of(tokenizer=None).tokens == CLIP_TOKENS
    given = SpecialTokens(start=1, end=2, padding=3)
    assert system_of(tokens=given).tokens is given


def injected_by_hand(system: MPerceiver, features: tuple[Tensor, ...]) -> list[Any]:
    """Hooks that pass each residual block's branch through Eq. 5, by the level that the block has."""
    unet, injection = system.unet, system.parts["injection"]
    blocks = [*zip(unet.down_blocks, injection.down_blocks, (0, 1), strict=True)]
    blocks += [(unet.mid_block, injection.mid_block, 1)]
    blocks += [*zip(unet.up_blocks, injection.up_blocks, (1, 0), strict=True)]
    hooks = []
    for block, layers, level in blocks:
        for resnet, layer in zip(block.resnets, layers, strict=True):

            def inject(module: Any, inputs: Any, h: Tensor, layer: Any = layer, level: int = level) -> Tensor:
                hidden = layer.mlp_shared(features[level])
                return h + layer.mlp_gamma(hidden) * layer.param_free_norm(h) + layer.mlp_beta(hidden)

            hooks.append(resnet.conv2.register_forward_hook(inject))
    return hooks


@torch.no_grad()
def test_a_prediction_is_the_unet_of_diffusers_with_features_in_each_residual_block() -> None:
    system, lq, latents = system_of(), lq_of(), noise()
    begun = begun_of(system, lq)
    found = system.predict(latents, T, begun=begun)
    expected_latents = system.vae.encode(lq * 2 - 1).latent_dist.mode() * system.vae.config.scaling_factor
    torch.testing.assert_close(begun.lq_latents, expected_latents, rtol=1e-4, atol=1e-6)
    features = system.ir_adapter(begun.lq_latents, T, begun.conditioning.probabilities)
    system.attachment.detach()
    plain = system.unet(latents, T, begun.conditioning.prompt_embeds).sample
    hooks = injected_by_hand(system, features)
    expected = system.unet(latents, T, begun.conditioning.prompt_embeds).sample
    for hook in hooks:
        hook.remove()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(found, plain, atol=1e-2)


@torch.no_grad()
def test_windows_of_a_picture_are_predicted_as_pictures_of_their_own_are() -> None:
    system, lq, latents = system_of(), lq_of(32, 32), noise(8, 8)
    begun = begun_of(system, lq)
    windows = [(slice(0, 4), slice(2, 6)), (slice(4, 8), slice(0, 4))]
    found = system.predict(latents, T, windows, begun=begun)
    assert found.shape == (2, 4, 4, 4)
    for index, (rows, columns) in enumerate(windows):
        alone = system.begin(begun.lq_latents[..., rows, columns], begun.conditioning)
        expected = system.predict(latents[..., rows, columns], T, begun=alone)
        torch.testing.assert_close(found[index : index + 1], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_prompts_of_the_ir_adapter_are_prepared_once_and_change_no_bit() -> None:
    system, lq = system_of(), lq_of()
    begun = begun_of(system, lq)
    calls: list[Any] = []
    keys = system.ir_adapter.prompt_attns[0].to_k
    keys.register_forward_pre_hook(lambda module, inputs: calls.append(module))
    found = [system.predict(noise(), torch.tensor(t), begun=begun) for t in (900, 500, 100)]
    assert not calls
    again = Begun(lq_latents=begun.lq_latents, conditioning=begun.conditioning, prompts=None)
    assert torch.equal(system.predict(noise(), torch.tensor(100), begun=again), found[-1]) and len(calls) == 1


@torch.no_grad()
def test_without_an_ir_adapter_it_is_bare_stable_diffusion_with_that_text() -> None:
    system, lq = system_of(ir_adapter=None, injection=None), lq_of()
    begun = begun_of(system, lq)
    assert begun.prompts is None and system.attachment is None
    expected = system.unet(noise(), T, begun.conditioning.prompt_embeds).sample
    assert torch.equal(system.predict(noise(), T, begun=begun), expected)


@torch.no_grad()
def test_pixels_are_the_decoder_of_diffusers_with_details_before_each_upsampling() -> None:
    system, lq, latents = system_of(), lq_of(), noise()
    conditioning, _ = system.condition(lq)
    found = system.decode(latents, lq, conditioning, plan=WHOLE_PLAN)
    features = system.encode_features(lq).features
    decoder = system.vae.decoder
    scaled = latents / system.vae.config.scaling_factor
    x = decoder.mid_block(decoder.conv_in(system.vae.post_quant_conv(scaled)))
    for level, block in zip((2, 1, 0), decoder.up_blocks, strict=True):
        for resnet in block.resnets:
            x = resnet(x, None)
        x = system.drm(x, features[level], conditioning.probabilities, level=level)
        for upsampler in block.upsamplers or ():
            x = upsampler(x)
    x = decoder.conv_out(torch.nn.functional.silu(decoder.conv_norm_out(x)))
    torch.testing.assert_close(found, (x + 1) / 2, rtol=1e-4, atol=1e-5)
    plain = MPerceiver(system.parts, attachment=None, refine=False)
    expected = (system.vae.decode(scaled).sample + 1) / 2
    torch.testing.assert_close(plain.decode(latents, lq, None, plan=WHOLE_PLAN), expected, rtol=1e-4, atol=1e-5)
    assert plain.bytes_per_pixel < system.bytes_per_pixel


@torch.no_grad()
def test_a_batch_is_decoded_as_its_pictures_are() -> None:
    system, lq, latents = system_of(), lq_of(batch=2), noise(batch=2)
    probabilities = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    together = system.decode_features(latents, system.encode_features(lq).features, probabilities)
    for index in range(2):
        one = slice(index, index + 1)
        conditioning = Conditioning(prompt_embeds=torch.zeros(1, 12, 8), probabilities=probabilities[one], names=NAMES)
        alone = system.decode(latents[one], lq[one], conditioning, plan=WHOLE_PLAN)
        torch.testing.assert_close(together[one], alone, rtol=1e-4, atol=1e-5)
    swapped = system.decode_features(latents, system.encode_features(lq).features, probabilities.flip(0))
    assert not torch.allclose(swapped, together, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("fails_in", ["ir_adapter", "unet"])
def test_a_failure_leaves_no_features_and_the_next_picture_is_right(fails_in) -> None:
    system, lq = system_of(), lq_of()
    begun = begun_of(system, lq)
    expected = system.predict(noise(), T, begun=begun)

    def fail(module: Any, inputs: Any) -> None:
        raise RuntimeError("power cut")

    module = system.unet.mid_block if fails_in == "unet" else system.ir_adapter.middle_block[0]
    hook = module.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="power cut"):
        system.predict(noise(), T, begun=begun)
    assert system.attachment.slot.features is None
    hook.remove()
    assert torch.equal(system.predict(noise(), T, begun=begun), expected)


@torch.no_grad()
@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (lambda parts: parts["image_encoder"].visual_projection, "the embeddings of the picture"),
        (lambda parts: parts["predictor"], "the probabilities of degradations"),
        (lambda parts: parts["cm_adapter"], "the text's embeddings"),
        (lambda parts: parts["vae"].encoder.conv_out, "the encoder's latents"),
        (lambda parts: parts["drm"].levels[0].conv_out, "the decoder's pixels"),
    ],
)
def test_damaged_weights_are_told_of_by_the_stage_that_they_reach(damaged, message) -> None:
    system, lq = system_of(), lq_of()
    for weight in damaged(system.parts).parameters():
        weight.fill_(torch.nan)

    def restore() -> None:
        conditioning, _ = system.condition(lq)
        begun = system.begin_picture(lq, conditioning, plan=WHOLE_PLAN)
        system.decode(begun.lq_latents, lq, conditioning, plan=WHOLE_PLAN)

    with pytest.raises(UndefinedNumbersError, match=f"^{message} hold infinite or undefined numbers"):
        restore()


def test_a_picture_is_embedded_without_gradients_and_its_text_with_them() -> None:
    system, lq = system_of(), lq_of()
    for part in (system.parts["image_encoder"], system.parts["predictor"], system.parts["cm_adapter"]):
        part.requires_grad_(True)
    embeddings = system.embed(lq)
    probabilities = system.probabilities(embeddings)
    assert not embeddings.requires_grad and not probabilities.requires_grad
    assert probabilities.dtype == torch.float32 and probabilities.sum().item() == pytest.approx(1, abs=1e-5)
    system.text(embeddings, probabilities).square().mean().backward()
    assert all(weight.grad is not None for weight in system.parts["cm_adapter"].parameters())
    assert all(weight.grad is None for weight in system.parts["image_encoder"].parameters())


def test_networks_are_all_parts_with_weights() -> None:
    system = system_of(drm=None)
    assert {type(one) for one in system.networks} == {
        type(part) for part in system.parts.values() if isinstance(part, torch.nn.Module)
    }
    assert system.drm is None and not system.begins_from_lq
