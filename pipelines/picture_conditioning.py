"""What steers the denoising of one picture; it depends on the picture alone and is computed once."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ldrestore.errors import InputError
from ldrestore.estimators.degradation_predictor import estimates_of
from ldrestore.estimators.given_degradations import Degradations, given_estimate
from ldrestore.guides.clip_tower import ClipTower
from ldrestore.prompts.text_sequences import CLIP_TOKENS, SpecialTokens, mixed_text, text_conditioning
from ldrestore.structures import Conditioning, DegradationEstimate
from ldrestore.systems.finite_numbers import check_finite


def read_degradations(
    given: Degradations | Sequence[Degradations | None] | None, *, names: Sequence[str], num_pictures: int
) -> list[DegradationEstimate | None]:
    """P of each picture, as far as it is given.

    Args:
        given: For all pictures, or a list with one or None for each.
        names: The degradations that the model knows.
        num_pictures: How many there are.

    Raises:
        UnknownNameError: the model does not know one; the closest ones are named.
        InputError: weights that do not sum to 1 within 1e-3, or another number than pictures.
    """
    listed = list(given) if isinstance(given, (list, tuple)) else [given] * num_pictures
    if len(listed) != num_pictures:
        raise InputError(
            f"expected one or None for each of the {num_pictures} pictures, got {len(listed)} degradations"
        )
    return [None if one is None else given_estimate(one, names) for one in listed]


@torch.no_grad()
def condition(
    lq: Tensor, given: DegradationEstimate | None, *, parts: Mapping[str, Any]
) -> tuple[Conditioning, DegradationEstimate]:
    """Text and P of one picture.

    Args:
        lq: (1, 3, H, W), in [0, 1].
        given: What is said of the picture; None lets the predictor look.
        parts: Of the pipeline, by name. Without a CM-Adapter the text is empty.

    Raises:
        UndefinedNumbersError: a model gives infinite or undefined numbers.
    """
    predictor, cm_adapter = parts["predictor"], parts["cm_adapter"]
    embeddings = None
    if given is None or cm_adapter is not None:
        embeddings = ClipTower(parts["image_encoder"])(lq, view=predictor.view)
        check_finite(embeddings, of="the embeddings of the picture")
    if given is None:
        probabilities = predictor.probabilities(embeddings.to(predictor.dtype))  # (1, N)
        check_finite(probabilities, of="the probabilities of degradations")
    else:
        probabilities = torch.tensor([given.probabilities], device=lq.device)
    tokens = CLIP_TOKENS if parts["tokenizer"] is None else SpecialTokens.of(parts["tokenizer"])
    text_encoder = parts["text_encoder"]
    if cm_adapter is None:
        no_words = lq.new_zeros(1, 1, 0, text_encoder.config.hidden_size)
        empty = mixed_text(no_words, lq.new_ones(1, 1), text_encoder=text_encoder, tokens=tokens)
        conditioning = Conditioning(prompt_embeds=empty, probabilities=probabilities, names=predictor.names)
    else:
        conditioning = text_conditioning(
            embeddings.mean(dim=1).to(cm_adapter.dtype),
            probabilities,
            text_encoder=text_encoder,
            cm_adapter=cm_adapter,
            pool=parts["textual_prompts"],
            tokens=tokens,
        )
    check_finite(conditioning.prompt_embeds, of="the text's embeddings")
    return conditioning, estimates_of(probabilities, predictor.names)[0]
