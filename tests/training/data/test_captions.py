import pytest
import torch

from ldrestore.training.data.captions import caption_corpus, caption_of, captions_of, strength_of

NAMES = ("rain", "gaussian_noise")


def test_captions_say_what_is_wrong_and_how_much():
    severities = torch.tensor([[0.0, 0.0], [0.8, 0.0], [0.1, 1.0]])
    assert captions_of(severities, NAMES) == [
        "a clean photo",
        "a photo with strong rain",
        "a photo with light rain and strong gaussian noise",
    ]


def test_the_corpus_has_all_words():
    words = set(" ".join(caption_corpus(NAMES)).split())
    listed = {"a", "clean", "photo", "with", "light", "moderate", "strong", "rain", "gaussian", "noise", "and"}
    assert listed == words


@pytest.mark.parametrize(
    ("severity", "word"),
    [(0.01, "light"), (0.29, "light"), (0.3, "moderate"), (0.59, "moderate"), (0.6, "strong"), (1.0, "strong")],
)
def test_each_severity_has_its_word(severity: float, word: str) -> None:
    assert strength_of(severity) == word
    assert caption_of([severity], ["motion_blur"]) == f"a photo with {word} motion blur"


def test_names_are_said_in_the_order_in_which_they_are_given() -> None:
    assert caption_of([0.4, 0.4], ["rain", "haze"]) == "a photo with moderate rain and moderate haze"
    assert caption_of([0.4, 0.4], ["haze", "rain"]) == "a photo with moderate haze and moderate rain"
    assert caption_of([], []) == "a clean photo"


def test_severities_and_names_are_as_many() -> None:
    with pytest.raises(ValueError, match="zip"):
        caption_of([0.4], ["rain", "haze"])
