import sys

import numpy as np
import pytest
import torch

from ldrestore.assets.sentences import OUTSIDE, LabelledSentence
from ldrestore.errors import InputError, MissingExtraError, WeightsError
from ldrestore.explanations.sentence_map import map_sentences
from ldrestore.guides.sentence_encoder import SentenceEncoder
from ldrestore.regressors.instruction_head import InstructionHead
from tests.tiny_encoder import write_tiny_encoder

SENTENCES = [
    LabelledSentence(text, class_name, "topic")
    for text, class_name in [
        ("remove the noise", "noise"),
        ("noise .", "noise"),
        ("the rain", "rain"),
        ("remove rain !", "rain"),
        ("please", OUTSIDE),
    ]
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return SentenceEncoder.from_pretrained(write_tiny_encoder(tmp_path_factory.mktemp("encoder")), name="tiny")


@pytest.fixture(scope="module")
def head(encoder):
    torch.manual_seed(0)
    return InstructionHead("tiny", encoder.identity.sha256, encoder.dim, 6).eval()


def test_a_handful_of_sentences_is_laid_out_the_same_each_time(encoder, head):
    first, second = (map_sentences(encoder, head, SENTENCES) for _ in range(2))
    assert first.before.shape == first.after.shape == (5, 2)
    assert np.isfinite(first.before).all() and np.isfinite(first.after).all()
    assert np.array_equal(first.before, second.before) and np.array_equal(first.after, second.after)
    assert -1 <= first.silhouette_before <= 1 and -1 <= first.silhouette_after <= 1
    assert first.classes == tuple(head.config["classes"]) and set(first.predicted) <= set(first.classes)


def test_accuracy_leaves_out_what_is_outside(encoder, head):
    found = map_sentences(encoder, head, SENTENCES)
    right = [predicted == one.class_name for one, predicted in zip(SENTENCES[:4], found.predicted[:4], strict=True)]
    assert found.accuracy == sum(right) / 4
    outside = [LabelledSentence(sentence.text, OUTSIDE, "topic") for sentence in SENTENCES]
    found = map_sentences(encoder, head, outside)
    assert (found.accuracy, found.silhouette_before, found.silhouette_after) == (None, None, None)


def test_too_few_sentences_and_another_encoders_head_are_refused(encoder):
    head = InstructionHead("other", "0" * 64, encoder.dim, 6)
    with pytest.raises(WeightsError, match="this head reads vectors of other"):
        map_sentences(encoder, head, SENTENCES)
    with pytest.raises(InputError, match="at least 4 sentences, got 3"):
        map_sentences(encoder, head, SENTENCES[:3])


def test_without_scikit_learn_the_extra_is_named(encoder, head, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(MissingExtraError, match=r"scikit-learn is needed .* pip install 'ldrestore\[explain\]'"):
        map_sentences(encoder, head, SENTENCES)
