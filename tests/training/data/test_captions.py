import torch

from ldrestore.training.data.captions import caption_corpus, captions_of

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
