import re

import pytest

from ldrestore.assets.sentences import HELD_OUT_FILE, OUTSIDE, TRAINING_FILE, read_sentences
from ldrestore.errors import ConfigError
from ldrestore.regressors.instruction_head import CLASSES
from ldrestore.structures import FIRST_SET


def words(sentence):
    return re.findall(r"[^\W_]+(?:'\w+)?", sentence.text.lower())


@pytest.mark.parametrize(("path", "least"), [(TRAINING_FILE, 300), (HELD_OUT_FILE, 120)])
def test_there_are_enough_sentences_of_every_class(path, least):
    sentences = read_sentences(path)
    counts = {name: sum(sentence.class_name == name for sentence in sentences) for name in (*CLASSES, OUTSIDE)}
    assert sum(counts.values()) == len(sentences)
    assert sum(counts.values()) - counts[OUTSIDE] >= least
    assert min(counts.values()) >= least // 10
    assert len({sentence.text.lower() for sentence in sentences}) == len(sentences)


def test_every_degradation_of_the_first_set_has_training_sentences():
    assert set(FIRST_SET) <= {sentence.topic for sentence in read_sentences(TRAINING_FILE)}


def test_held_out_sentences_share_no_run_of_four_words_with_those_trained_on():
    def runs(path):
        found = [words(sentence) for sentence in read_sentences(path)]
        return {tuple(text[i : i + 4]) for text in found for i in range(len(text) - 3)}

    assert runs(TRAINING_FILE) & runs(HELD_OUT_FILE) == set()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("noise:\n- grain\n", "must map a class to topics"),
        ("- grain\n", "must map a class to topics"),
        ("noise:\n  jpeg: grain\n", "must map a class to topics, and each topic to a list"),
        ("noise:\n  jpeg:\n", "must map a class to topics, and each topic to a list"),
        ("", "must map a class to topics"),
        ("noise: [grain\n", "must map a class to topics"),
        ("noise:\n  jpeg:\n  - fine\n  - 3\n", "3 under jpeg is no sentence; quote what YAML misreads"),
        ("noise:\n  jpeg:\n  - yes\n", "True under jpeg is no sentence"),
        ('noise:\n  jpeg:\n  - ""\n', "'' under jpeg is no sentence"),
    ],
)
def test_other_files_are_refused(text, message, tmp_path):
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_sentences(tmp_path / "a.yaml")
