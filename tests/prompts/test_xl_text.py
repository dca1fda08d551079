import logging

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from ldrestore.errors import ShapeError
from ldrestore.prompts.xl_text import encode_xl_text, time_ids
from tests.tiny_xl import MAX_TOKENS, POOLED_DIM, TEXT_DIM, tiny_text_encoders, tiny_tokenizer, tiny_unet


@pytest.fixture(scope="module")
def parts():
    return {"tokenizers": [tiny_tokenizer(), tiny_tokenizer()], "text_encoders": tiny_text_encoders()}


def test_texts_have_both_widths_and_one_pooled_embedding(parts):
    text = encode_xl_text(["a photo of a house", ""], **parts)
    assert text.prompt_embeds.shape == (2, MAX_TOKENS, TEXT_DIM)
    assert text.pooled.shape == (2, POOLED_DIM)
    assert not torch.allclose(text.prompt_embeds[0], text.prompt_embeds[1])


def test_texts_are_what_diffusers_makes_of_them(parts):
    pipeline = StableDiffusionXLPipeline(
        vae=None,
        unet=tiny_unet(),
        scheduler=None,
        text_encoder=parts["text_encoders"][0],
        text_encoder_2=parts["text_encoders"][1],
        tokenizer=parts["tokenizers"][0],
        tokenizer_2=parts["tokenizers"][1],
    )
    embeds, _, pooled, _ = pipeline.encode_prompt(
        "remove the rain", device=torch.device("cpu"), do_classifier_free_guidance=False
    )
    text = encode_xl_text(["remove the rain"], **parts)
    torch.testing.assert_close(text.prompt_embeds, embeds)
    torch.testing.assert_close(text.pooled, pooled)


def test_what_is_cut_off_is_shown_once(parts, caplog):
    with caplog.at_level(logging.WARNING):
        encode_xl_text(["a photo of the house and the rain and the haze house", "a house"], **parts)
    (record,) = caplog.records
    assert "longer than the 10 tokens that are read; cut off: 'haze house'" in record.getMessage()


def test_sizes_are_those_of_picture_and_result():
    assert time_ids(48, 64).tolist() == [[48, 64, 0, 0, 48, 64]]


def test_one_encoder_alone_is_refused(parts):
    with pytest.raises(ShapeError, match="2 tokenizers and 2 text encoders, got 1 and 2"):
        encode_xl_text(["a"], tokenizers=parts["tokenizers"][:1], text_encoders=parts["text_encoders"])
