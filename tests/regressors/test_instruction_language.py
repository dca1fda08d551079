import pytest

from ldrestore.assets.sentences import HELD_OUT_FILE, OUTSIDE, read_sentences
from ldrestore.regressors.instruction_language import is_foreign


@pytest.mark.parametrize(
    "text",
    [
        "es regnet zu stark",
        "Entferne das Rauschen",
        "enlève la pluie",
        "quita la niebla",
        "rimuovi il rumore dalla foto",
        "verwijder de ruis uit het beeld",
    ],
)
def test_other_languages_are_told_by_their_words(text):
    assert is_foreign(text)


@pytest.mark.parametrize(
    "text", ["denoise", "It is raining cats and dogs, get rid of the streaks", "deblur, s'il vous plait, this picture"]
)
def test_english_with_rare_words_passes(text):
    assert not is_foreign(text)


def test_no_held_out_instruction_in_english_is_refused_and_most_others_are():
    sentences = read_sentences(HELD_OUT_FILE)
    assert not [sentence.text for sentence in sentences if sentence.class_name != OUTSIDE and is_foreign(sentence.text)]
    others = [sentence.text for sentence in sentences if sentence.topic == "other_language"]
    assert sum(map(is_foreign, others)) >= 0.75 * len(others)
