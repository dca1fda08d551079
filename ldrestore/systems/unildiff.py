"""UniLDiff's own steps: what steers a picture on SDXL, and what the U-Net predicts with the damaged picture in it.

"Unified Latent Diffusion for Image Restoration" (UniLDiff), Sec. 3. Training and inference call these alike. A picture
has two texts: a caption, of what it shows, which SDXL's own attentions read; and a task prompt, of what is to be done,
which DAFF reads together with the caption. Both may be empty, which is the prompt-free setting; the paper's own numbers
of that setting may still have been made with captions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from ldrestore.adapters.daff import PreparedLQ, repeated
from ldrestore.adapters.fusion_attachment import FusionAttachment
from ldrestore.adapters.lq_encoder import EncodedLQ
from ldrestore.errors import ShapeError
from ldrestore.prompts.xl_text import XLText, encode_xl_text, time_ids


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class XLConditioning:
    """What SDXL's U-Net and DAFF are told of B pictures; under guidance of 2 B: all without a text first."""

    prompt_embeds: Tensor
    """(B, L, D), of the captions, for the U-Net's own attentions."""
    fusion_embeds: Tensor
    """(B, 2 L, D), of captions and task prompts, for DAFF."""
    pooled: Tensor
    """(B, D2), of the captions."""
    time_ids: Tensor
    """(B, 6), sizes in pixels, see `xl_text.time_ids`."""
    guidance_scale: float = 1.0
    """How far from the prediction without a text it goes, Ho and Salimans 2022 (https://arxiv.org/abs/2207.12598); 1
    for no guidance."""

    @property
    def num_passes(self) -> int:
        """How often a picture is in the batch: twice under guidance."""
        return 1 if self.guidance_scale == 1 else 2


@torch.no_grad()
def xl_conditioning(
    captions: Sequence[str],
    tasks: Sequence[str],
    *,
    size: tuple[int, int],
    read: Callable[[Sequence[str]], XLText],
    guidance_scale: float = 1.0,
) -> XLConditioning:
    """Read the texts of B pictures; each different one is read once.

    Args:
        captions: B of them; may be empty.
        tasks: B task prompts; may be empty.
        size: Height and width of the pictures.
        read: Embeds texts, see `reader_of`.
        guidance_scale: See `XLConditioning`.

    Raises:
        ShapeError: captions and tasks differ in number.
    """
    if len(captions) != len(tasks):
        raise ShapeError(f"expected a task prompt for each caption, got {len(tasks)} for {len(captions)}")
    if guidance_scale != 1:
        captions, tasks = [*[""] * len(captions), *captions], [*[""] * len(tasks), *tasks]
    texts = sorted({*captions, *tasks})
    known = read(texts)
    caption, task = (_rows(known, [texts.index(text) for text in chosen]) for chosen in (captions, tasks))
    return XLConditioning(
        prompt_embeds=caption.prompt_embeds,
        fusion_embeds=torch.cat([caption.prompt_embeds, task.prompt_embeds], dim=1),
        pooled=caption.pooled,
        time_ids=time_ids(*size).to(caption.pooled.device).expand(len(captions), -1),
        guidance_scale=guidance_scale,
    )


def reader_of(parts: Mapping[str, Any]) -> Callable[[Sequence[str]], XLText]:
    """What embeds texts with the text encoders and tokenizers of a pipeline, see `encode_xl_text`.

    Args:
        parts: By name.
    """
    tokenizers = [parts[name] for name in ("tokenizer", "tokenizer_2")]
    encoders = [parts[name] for name in ("text_encoder", "text_encoder_2")]
    return partial(encode_xl_text, tokenizers=tokenizers, text_encoders=encoders)


def _rows(text: XLText, rows: list[int]) -> XLText:
    """Some texts of many."""
    return XLText(text.prompt_embeds[rows], text.pooled[rows])


def lq_for_fusion(encoded: EncodedLQ, attachment: FusionAttachment) -> Tensor:
    """What a fusion takes in of damaged pictures, as its `lq` says: (B, C, h, w).

    Args:
        encoded: Of the LQ encoder.
        attachment: Of the fusion; its U-Net's `conv_in` takes in latents.

    Raises:
        ShapeError: the encoder ends before latents, and the fusion wants them.
    """
    if attachment.fusion.config.get("lq", "features") == "features":
        return encoded.last
    if encoded.latents is None:
        raise ShapeError("the fusion takes latents, and this LQ encoder ends before them; take one with has_latents")
    return attachment.latent_features(encoded.latents)


def predict_fused(
    unet: UNet2DConditionModel,
    latents: Tensor,
    timesteps: Tensor,
    conditioning: XLConditioning,
    *,
    attachment: FusionAttachment | None,
    prepared: Mapping[str, PreparedLQ] | None,
) -> Tensor:
    """What the U-Net predicts, with guidance where it is asked for.

    Args:
        unet: SDXL's.
        latents: (B, 4, h, w), as the scheduler scales them.
        timesteps: (B,) or a scalar, in training steps.
        conditioning: Of the B pictures, or of one.
        attachment: Of the fusion; None without one.
        prepared: What the fusion makes of the damaged pictures; stays set for a backward pass that computes again.

    Returns:
        (B, 4, h, w), float32: the output of the scheduler's prediction type.
    """
    passes, batch = conditioning.num_passes, len(latents)
    if attachment is not None and prepared is not None:
        attachment.set_prepared(prepared)
    inputs = {
        "encoder_hidden_states": conditioning.prompt_embeds.to(unet.dtype),
        "text_embeds": conditioning.pooled.to(unet.dtype),
        "time_ids": conditioning.time_ids,
    }
    inputs = {name: for_batch(value, passes=passes, batch=batch) for name, value in inputs.items()}
    output = unet(
        latents.to(unet.dtype).repeat(passes, 1, 1, 1),
        timesteps if timesteps.ndim == 0 else timesteps.repeat(passes),
        inputs["encoder_hidden_states"],
        added_cond_kwargs={"text_embeds": inputs["text_embeds"], "time_ids": inputs["time_ids"]},
        return_dict=False,
    )[0].float()
    if passes == 1:
        return output
    plain, steered = output.chunk(2)
    return plain + conditioning.guidance_scale * (steered - plain)


def for_batch(text: Tensor, *, passes: int, batch: int) -> Tensor:
    """What is told of one picture, for a batch of parts of it; of many, as it is.

    Args:
        text: (passes * B, ...), or (passes, ...).
        passes: See `XLConditioning.num_passes`.
        batch: B.

    Returns:
        (passes * B, ...), all B of the first pass first.

    Raises:
        ShapeError: another number.
    """
    per_pass = [repeated(part, batch) for part in text.chunk(passes)]
    return per_pass[0] if passes == 1 else torch.cat(per_pass)
