"""Learned words through a frozen text encoder, Eq. 3 of MPerceiver, Ai et al. 2024 (https://arxiv.org/abs/2312.02918).

    e_txt = sum_i p_i E_txt({e_cm_i, T_i})

The words enter E_txt as embeddings in place of those of tokens. SD 2.1's text encoder has 23 of OpenCLIP's 24 layers:
what it puts out, after its final norm, is the penultimate layer that the U-Net was trained with.
"""

from dataclasses import dataclass
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel

from ldrestore.errors import ConfigError, ShapeError
from ldrestore.prompts.cm_adapter import CMAdapter
from ldrestore.prompts.textual_prompts import TextualPromptPool
from ldrestore.structures import Conditioning


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialTokens:
    """Numbers of the tokens around the words; the defaults are those of CLIP's vocabulary, padded as for SD 2.1.

    They are the tokenizer's: the text encoder's config has others on the Hub, which are wrong.
    """

    start: int = 49406
    """Before the first word."""
    end: int = 49407
    """After the last word."""
    padding: int = 0
    """Up to the full length; OpenCLIP pads with "!", number 0."""

    @classmethod
    def of(cls, tokenizer: Any) -> "SpecialTokens":
        """Those of a tokenizer of transformers."""
        return cls(start=tokenizer.bos_token_id, end=tokenizer.eos_token_id, padding=tokenizer.pad_token_id)


CLIP_TOKENS = SpecialTokens()
"""Of SD 2.1."""

NEGLIGIBLE = torch.finfo(torch.float32).eps
"""A share of this or less cannot be told from rounding, since shares sum to 1."""


def text_conditioning(
    embeddings: Tensor,
    probabilities: Tensor,
    *,
    text_encoder: CLIPTextModel,
    cm_adapter: CMAdapter,
    pool: TextualPromptPool | None,
    tokens: SpecialTokens = CLIP_TOKENS,
) -> Conditioning:
    """The whole textual branch, Eq. 2 and 3; it depends on the picture alone, not on the timestep.

    Args:
        embeddings: (B, D), e_img of CLIP's vision tower, the mean over its views.
        probabilities: (B, N), P.
        text_encoder: E_txt, frozen.
        cm_adapter: Makes e_cm.
        pool: T; None leaves it out, as an ablation of the paper does.
        tokens: Around the words.

    Raises:
        ConfigError: the pool's degradations are not the adapter's, or a special token lies outside the vocabulary.
        ShapeError: tensors do not fit each other, the adapter or the encoder.
    """
    if pool is not None and pool.names != cm_adapter.names:
        raise ConfigError(
            f"the CM-Adapter knows {', '.join(cm_adapter.names)}, the textual prompt pool {', '.join(pool.names)}; "
            "take both from one model, or grow the one that lacks some"
        )
    e_cm = cm_adapter(embeddings)  # (B, N, L, D)
    words = e_cm if pool is None else pool(e_cm)  # (B, N, K, D)
    prompt_embeds = mixed_text(words, probabilities, text_encoder=text_encoder, tokens=tokens)
    return Conditioning(prompt_embeds=prompt_embeds, probabilities=probabilities, names=cm_adapter.names)


def mixed_text(
    words: Tensor, probabilities: Tensor, *, text_encoder: CLIPTextModel, tokens: SpecialTokens = CLIP_TOKENS
) -> Tensor:
    """e_txt = sum_i p_i E_txt(words_i), Eq. 3. Sequences of all degradations go through the encoder as one batch.

    Where nothing is trained, degradations whose p_i is lost in rounding in the whole batch are left out.

    Args:
        words: (B, N, K, D), learned words.
        probabilities: (B, N), P.
        text_encoder: E_txt, frozen.
        tokens: Around the words.

    Returns:
        (B, L, D), in the encoder's type; L is the encoder's length, 77.

    Raises:
        ConfigError: a special token lies outside the vocabulary.
        ShapeError: P does not fit the words, or the words do not fit the encoder.
    """
    if words.ndim != 4 or probabilities.shape != words.shape[:2]:
        raise ShapeError(
            f"expected words (B, N, K, D) and probabilities (B, N), got {tuple(words.shape)} and "
            f"{tuple(probabilities.shape)}"
        )
    if not torch.is_grad_enabled():
        is_present = ~(probabilities <= NEGLIGIBLE).all(dim=0)  # (N,); NaN counts as present, and is seen afterwards
        words, probabilities = words[:, is_present], probabilities[:, is_present]
    sequences = embed_sequences(words, text_encoder=text_encoder, tokens=tokens)  # (B, N, L, D)
    texts = encode_embeddings(text_encoder, sequences.flatten(0, 1)).unflatten(0, sequences.shape[:2])
    mixed = torch.einsum("bn,bnld->bld", probabilities.float(), texts.float())  # (B, L, D)
    return mixed.to(texts.dtype)


def embed_sequences(words: Tensor, *, text_encoder: CLIPTextModel, tokens: SpecialTokens = CLIP_TOKENS) -> Tensor:
    """Put start, end and padding around learned words: start, the K words, end, padding up to the encoder's length.

    Args:
        words: (..., K, D).
        text_encoder: Gives the embeddings of the special tokens, and the length L.
        tokens: Numbers of the special tokens.

    Returns:
        (..., L, D), in the type of the encoder's embeddings.

    Raises:
        ConfigError: a special token lies outside the vocabulary.
        ShapeError: the words are of another width than the encoder's, or too many.
    """
    table = text_encoder.get_input_embeddings()
    length = text_encoder.config.max_position_embeddings
    *batch, K, D = words.shape
    if table.embedding_dim != D or length < K + 2:
        raise ShapeError(
            f"the text encoder takes up to {length - 2} words of width {table.embedding_dim} between start and end, "
            f"got {K} of width {D}"
        )
    if max(tokens.start, tokens.end, tokens.padding) >= table.num_embeddings:
        raise ConfigError(
            f"{tokens} lie outside a vocabulary of {table.num_embeddings}; take those of the encoder's tokenizer"
        )
    # weights that accelerate off-loads one by one are on no device until they are called
    device = words.device if table.weight.is_meta else table.weight.device
    numbers = torch.tensor([tokens.start, tokens.end, tokens.padding], device=device)
    start, end, padding = table(numbers).to(words.device).split(1)  # (1, D) each
    ends = torch.cat([end, padding.expand(length - K - 2, -1)]).expand(*batch, -1, -1)  # (..., L - K - 1, D)
    return torch.cat([start.expand(*batch, -1, -1), words.to(start.dtype), ends], dim=-2)


def encode_embeddings(text_encoder: CLIPTextModel, embeddings: Tensor) -> Tensor:
    """What `CLIPTextModel` computes after looking its tokens up: positions, causal transformer, final norm.

    On the embeddings of ordinary tokens this is the model's `last_hidden_state` to the bit. Gradients reach the
    embeddings. The model takes tokens alone: it is called with some, and what it looks up for them gives way to the
    embeddings, in this thread only. So its mask, its attention and its moves between devices are its own.

    Args:
        text_encoder: Of transformers.
        embeddings: (B, L, D), of tokens or learned, without positions.

    Returns:
        (B, L, D).
    """
    thread = get_ident()

    def give_way(table: nn.Module, inputs: tuple[Tensor, ...], looked_up: Tensor) -> Tensor:
        return embeddings.to(looked_up.device) if get_ident() == thread else looked_up

    handle = text_encoder.get_input_embeddings().register_forward_hook(give_way)
    try:
        tokens = torch.zeros(embeddings.shape[:2], dtype=torch.long, device=embeddings.device)  # (B, L)
        return text_encoder(tokens).last_hidden_state
    finally:
        handle.remove()
