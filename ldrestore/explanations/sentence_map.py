"""Instructions as points in the plane: how an encoder sees them, and how the head that was trained on it does."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ldrestore.assets.sentences import OUTSIDE, LabelledSentence
from ldrestore.errors import InputError
from ldrestore.explanations.point_map import flattened, silhouette_of
from ldrestore.guides.sentence_encoder import SentenceEncoder
from ldrestore.regressors.instruction_head import InstructionHead

MIN_SENTENCES = 4
"""Fewer make no map."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SentenceMap:
    """S sentences before and after the head."""

    encoder: str
    """The sentence encoder."""
    classes: tuple[str, ...]
    """Of the head, in its order."""
    sentences: tuple[LabelledSentence, ...]
    predicted: tuple[str, ...]
    """What the head takes each sentence for; it knows no outside."""
    before: np.ndarray
    """(S, 2), t-SNE of the encoder's vectors; distances mean little, neighbours do."""
    after: np.ndarray
    """(S, 2), t-SNE of the head's embeddings."""
    silhouette_before: float | None
    """How well the classes are apart in the encoder's vectors: -1 to 1, by cosine, without the sentences outside; None
    where fewer than two classes, or a sentence a class, leave nothing to compare."""
    silhouette_after: float | None
    """The same in the head's embeddings."""

    @property
    def accuracy(self) -> float | None:
        """Share of the sentences that the head takes for their class, those outside left out; None without any."""
        pairs = zip(self.sentences, self.predicted, strict=True)
        right = [predicted == one.class_name for one, predicted in pairs if one.class_name != OUTSIDE]
        return sum(right) / len(right) if right else None


@torch.no_grad()
def map_sentences(
    encoder: SentenceEncoder, head: InstructionHead, sentences: Sequence[LabelledSentence]
) -> SentenceMap:
    """Lay sentences out by t-SNE, before and after the head.

    Args:
        encoder: Reads sentences.
        head: Of that very encoder.
        sentences: At least `MIN_SENTENCES`, with their classes.

    Raises:
        InputError: too few sentences.
        WeightsError: the head was trained on another encoder.
        MissingExtraError: scikit-learn is not installed.
    """
    if len(sentences) < MIN_SENTENCES:
        raise InputError(f"a map needs at least {MIN_SENTENCES} sentences, got {len(sentences)}")
    head.check_encoder(encoder.identity, dim=encoder.dim)
    vectors = encoder([sentence.text for sentence in sentences])  # (S, D)
    embeddings, logits = head(vectors.to(head.device, head.dtype))
    classes = tuple(head.config["classes"])
    before, after = vectors.float().cpu().numpy(), embeddings.float().cpu().numpy()
    labels = np.array([sentence.class_name for sentence in sentences])
    is_inside = labels != OUTSIDE
    return SentenceMap(
        encoder=str(head.encoder_identity),
        classes=classes,
        sentences=tuple(sentences),
        predicted=tuple(classes[index] for index in logits.argmax(dim=1).tolist()),
        before=flattened(before),
        after=flattened(after),
        silhouette_before=silhouette_of(before[is_inside], labels[is_inside]),
        silhouette_after=silhouette_of(after[is_inside], labels[is_inside]),
    )
