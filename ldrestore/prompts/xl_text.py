"""Text for SDXL: two CLIP text encoders side by side, a pooled embedding, and the sizes that the U-Net is told.

Podell et al. 2023, SDXL (https://arxiv.org/abs/2307.01952), Sec. 2: the penultimate layers of both encoders are joined
along the channels, the second one's pooled output and the time ids enter the timestep embedding.
"""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ldrestore.errors import ShapeError

logger = logging.getLogger(__name__)

SHOWN_CHARACTERS = 60
"""Of a text that is cut off, in the warning."""

NUM_TIME_IDS = 6
"""Sizes that SDXL's U-Net is told, see `time_ids`."""


class XLText(NamedTuple):
    """Texts as SDXL's U-Net takes them."""

    prompt_embeds: Tensor
    """(B, 77, D1 + D2)."""
    pooled: Tensor
    """(B, D2)."""


@torch.no_grad()
def encode_xl_text(texts: Sequence[str], *, tokenizers: Sequence[Any], text_encoders: Sequence[Any]) -> XLText:
    """Embed texts.

    Args:
        texts: B of them; an empty one is SDXL's unconditional text. What does not fit into 77 tokens is cut off, and a
            warning shows it.
        tokenizers: Both, in the order of the encoders.
        text_encoders: `CLIPTextModel` and `CLIPTextModelWithProjection`.

    Raises:
        ShapeError: not two of each.
    """
    if len(tokenizers) != 2 or len(text_encoders) != 2:
        raise ShapeError(f"SDXL has 2 tokenizers and 2 text encoders, got {len(tokenizers)} and {len(text_encoders)}")
    parts, pooled = [], []
    for tokenizer, encoder in zip(tokenizers, text_encoders, strict=True):
        tokens = tokenizer(
            list(texts),
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        # weights that accelerate off-loads one by one are on no device until they are called
        near = tokens if encoder.device.type == "meta" else tokens.to(encoder.device)
        output = encoder(near, output_hidden_states=True)
        parts.append(output.hidden_states[-2])
        pooled.append(output[0])  # of the second one: the projected embedding of the end of the text
    for text in dict.fromkeys(texts):
        warn_of_cut(text, tokenizers[0])
    device = parts[-1].device
    return XLText(torch.cat([part.to(device) for part in parts], dim=-1), pooled[-1])


def warn_of_cut(text: str, tokenizer: Any) -> None:
    """Show the end of a text that is longer than the encoder reads."""
    room = tokenizer.model_max_length - 2  # the tokens of start and end
    tokens = tokenizer(text, add_special_tokens=False).input_ids
    if len(tokens) <= room:
        return
    lost = tokenizer.decode(tokens[room:], skip_special_tokens=True)
    shown = lost if len(lost) <= SHOWN_CHARACTERS else f"{lost[:SHOWN_CHARACTERS]} ..."
    logger.warning("the text is longer than the %d tokens that are read; cut off: %r", room, shown)


def time_ids(height: int, width: int) -> Tensor:
    """What SDXL is told of sizes: that of the picture, where its crop begins (nowhere), and that of the result.

    Args:
        height: In pixels.
        width: In pixels.

    Returns:
        (1, 6), float32.
    """
    return torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float32)
