import random

import pytest
import torch
from torch.nn import functional as F
from train_instruction_head import HeadTraining, card, labels_of, misspelt, score, train_head, training_vectors

from ldrestore.assets.sentences import OUTSIDE, LabelledSentence
from ldrestore.guides.sentence_encoder import SentenceEncoder
from ldrestore.regressors.instruction_head import CLASSES, InstructionHead
from tests.tiny_encoder import write_tiny_encoder

QUICK = HeadTraining(steps=150, batch_size=64, learning_rate=2e-2, misspelt_copies=1)


def clusters(seed):
    """(90, 8) vectors of length 1: ten around each of eight axes, the last one outside, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(8).repeat_interleave(10)
    vectors = torch.eye(8)[labels] + 0.1 * torch.randn(80, 8, generator=generator)
    return F.normalize(vectors, dim=-1), torch.where(labels == 7, -1, labels)


def trained():
    torch.manual_seed(0)
    head = InstructionHead(encoder_dim=8, txtdim=6)
    train_head(head, *clusters(seed=0), how=QUICK)
    return head


def test_a_trained_head_tells_classes_apart_and_is_unsure_outside():
    result = score(trained(), *clusters(seed=1))
    assert (result.num_known, result.right, result.wrong) == (70, 1.0, ())
    assert result.outside_refused >= 0.9
    assert result.accepted == pytest.approx(1 - result.refused)


def test_training_is_repeatable():
    assert all(torch.equal(a, b) for a, b in zip(trained().parameters(), trained().parameters(), strict=True))


def test_a_score_counts_what_is_wrong_or_refused():
    head = InstructionHead(encoder_dim=7, txtdim=7)
    with torch.no_grad():
        for layer, factor in ((head.fc1, 1.0), (head.fc2, 20.0)):
            layer.weight.copy_(factor * torch.eye(7))
            layer.bias.zero_()
    vectors = torch.cat([torch.eye(7)[:3], torch.ones(1, 7) / 7**0.5])
    result = score(head, vectors, torch.tensor([0, 2, -1, -1]))
    assert (result.num_known, result.right, result.refused, result.outside_refused) == (2, 0.5, 0.0, 0.5)
    assert result.wrong == (1,)


def test_labels_are_positions_of_classes():
    names = ["haze", OUTSIDE, "noise"]
    assert labels_of([LabelledSentence("a", name, "b") for name in names]).tolist() == [3, -1, 0]


def test_typing_errors_keep_words_and_short_words():
    generator = random.Random(0)
    wrong = [misspelt("remove the noise please", generator) for _ in range(200)]
    assert all(len(text.split(" ")) == 4 and text.split(" ")[1] == "the" for text in wrong)
    assert 40 < sum(text == "remove the noise please" for text in wrong) < 160
    assert all(abs(len(text) - len("remove the noise please")) <= 3 for text in wrong)


def test_vectors_are_of_sentences_and_their_copies(tmp_path):
    encoder = SentenceEncoder.from_pretrained(write_tiny_encoder(tmp_path / "tiny"))
    sentences = [LabelledSentence(text, "noise", "jpeg") for text in ("remove the noise", "haze !", "a b")]
    vectors = training_vectors(encoder, sentences, copies=2)
    assert vectors.shape == (3, 3, 8)
    torch.testing.assert_close(vectors[0], encoder([sentence.text for sentence in sentences]))
    assert training_vectors(encoder, sentences, copies=0).shape == (1, 3, 8)


def test_the_card_tells_what_was_measured():
    head = InstructionHead("a/encoder", "0" * 64)
    held_out = [LabelledSentence("x", name, "y") for name in (*CLASSES, OUTSIDE)]
    result = score(head, torch.eye(384)[:8], torch.tensor([0, 1, 2, 3, 4, 5, 6, -1]))
    text = card(head, held_out, result, [result])
    assert f"**{result.right:.1%}**" in text
    assert "a/encoder" in text and "| sha256 of its weights | `0000" in text
    assert text.count("| 1 | ") == 7
