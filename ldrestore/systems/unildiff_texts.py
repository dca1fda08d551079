"""What UniLDiff tells SDXL's U-Net and its fusion of a picture: captions, task prompts and sizes.

A picture has two texts: a caption, of what it shows, which SDXL's own attentions read; and a task prompt, of what is to
be done, which DAFF reads together with the caption. Without a DAFF that reads, SDXL's attentions read the task prompt
behind the caption, as in the paper's Table 5. Both may be empty, which is the prompt-free setting; the paper's
own numbers of that setting may still have been made with captions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ldrestore.errors import ShapeError
from ldrestore.prompts.xl_text import XLText, encode_xl_text, time_ids


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class XLConditioning:
    """What SDXL's U-Net and DAFF are told of B pictures; under guidance of 2 B: all without a text first."""

    prompt_embeds: Tensor
    """(B, L, D), for the U-Net's own attentions: of the captions, with the task prompts where no fusion reads them."""
    fusion_embeds: Tensor
    """(B, 2 L, D), of captions and task prompts, for DAFF."""
    pooled: Tensor
    """(B, D2), of the same texts as `prompt_embeds`."""
    time_ids: Tensor
    """(B, 6), sizes in pixels, see `xl_text.time_ids`."""
    guidance_scale: float = 1.0
    """How far from the prediction without a text it goes, Ho and Salimans 2022 (https://arxiv.org/abs/2207.12598); 1
    for no guidance."""

    @property
    def num_passes(self) -> int:
        """How often a picture is in the batch: twice under guidance."""
        return 1 if self.guidance_scale == 1 else 2

    def for_picture(self, lq: Tensor) -> "XLConditioning":
        """The same upon a picture's device, and told of its size.

        Args:
            lq: (1, 3, H, W).
        """
        sizes = time_ids(lq.shape[-2], lq.shape[-1]).expand_as(self.time_ids)
        texts = {name: getattr(self, name).to(lq.device) for name in ("prompt_embeds", "fusion_embeds", "pooled")}
        return replace(self, **texts, time_ids=sizes.to(lq.device, self.time_ids.dtype))

    def single_passes(self) -> "list[XLConditioning]":
        """What each pass is told, by itself."""
        names = ("prompt_embeds", "fusion_embeds", "pooled", "time_ids")
        rows = zip(*(getattr(self, name).chunk(self.num_passes) for name in names), strict=True)
        return [XLConditioning(**dict(zip(names, row, strict=True))) for row in rows]


@torch.no_grad()
def xl_conditioning(
    captions: Sequence[str],
    tasks: Sequence[str],
    *,
    size: tuple[int, int],
    read: Callable[[Sequence[str]], XLText],
    has_reader: bool = True,
    guidance_scale: float = 1.0,
) -> XLConditioning:
    """Read the texts of B pictures; each different one is read once.

    Args:
        captions: B of them; may be empty.
        tasks: B task prompts; may be empty.
        size: Height and width of the pictures.
        read: Embeds texts, see `reader_of`.
        has_reader: Whether there is a fusion that reads the task prompts, see `reads_tasks`.
        guidance_scale: See `XLConditioning`.

    Raises:
        ShapeError: captions and tasks differ in number.
    """
    if len(captions) != len(tasks):
        raise ShapeError(f"expected a task prompt for each caption, got {len(tasks)} for {len(captions)}")
    if not has_reader:
        pairs = zip(captions, tasks, strict=True)
        captions = [", ".join(text for text in pair if text) for pair in pairs]
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
