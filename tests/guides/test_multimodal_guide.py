import json
import logging

import numpy as np
import pytest
import torch

from ldrestore.errors import InputError, MissingExtraError, ShapeError, WeightsError, WeightsUnavailableError
from ldrestore.guides.multimodal_guide import (
    DEFAULT_QUESTION,
    MAX_PIXELS,
    load_multimodal_guide,
    pooled_states,
    shown_picture,
)
from ldrestore.images.inputs import to_photo
from ldrestore.images.photo import Photo

pytest.importorskip("torchvision", reason="transformers shows pictures to Qwen2.5-VL with it")
from tests.tiny_guide import IMAGE_TOKEN, write_tiny_guide, write_tiny_llava


def picture(seed=0, height=20, width=40, channels=3, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (height, width, channels), dtype=dtype)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_guide(tmp_path_factory.mktemp("models") / "tiny-guide")


@pytest.fixture(scope="module")
def guide(folder):
    return load_multimodal_guide(folder)


def test_the_three_vectors_are_means_and_the_last_token_whichever_side_is_padded():
    torch.manual_seed(0)
    states = torch.randn(2, 5, 4)
    is_image = torch.tensor([[0, 1, 1, 0, 0], [0, 0, 0, 1, 0]]).bool()
    mask = torch.tensor([[1, 1, 1, 1, 0], [0, 0, 1, 1, 1]])
    pooled = pooled_states(states, is_image=is_image, attention_mask=mask)
    left, right = states
    expected = [
        [(left[1] + left[2]) / 2, (left[0] + left[1] + left[2] + left[3]) / 4, left[3]],
        [right[3], (right[2] + right[3] + right[4]) / 3, right[4]],
    ]
    torch.testing.assert_close(pooled, torch.stack([torch.stack(row) for row in expected]))


def test_half_precision_is_summed_in_float32():
    states = torch.full((1, 3000, 2), 40.0, dtype=torch.float16)
    ones = torch.ones(1, 3000)
    pooled = pooled_states(states, is_image=ones.bool(), attention_mask=ones)
    assert pooled.dtype == torch.float32
    assert pooled.eq(40).all()


def test_a_row_without_a_picture_is_refused():
    with pytest.raises(ShapeError, match="no image token"):
        pooled_states(torch.randn(1, 3, 2), is_image=torch.zeros(1, 3).bool(), attention_mask=torch.ones(1, 3))


def test_an_embedding_is_pooled_from_the_last_hidden_states_of_a_prefill(guide, folder):
    from transformers import Qwen2_5_VLForConditionalGeneration

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder)
    pixels = picture()
    prompt = (
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>What kinds of degradation are in this image?"
        "<|im_end|>\n<|im_start|>assistant\n"
    )
    inputs = guide.processor(text=[prompt], images=[to_photo(pixels).to_pil()], return_tensors="pt")
    with torch.no_grad():
        states = model(**inputs, output_hidden_states=True).hidden_states[-1][0]
    is_image = inputs["input_ids"][0] == IMAGE_TOKEN
    embedding = guide([pixels])
    assert is_image.sum() == 10  # 20x40 pixels are shown as 16x40, in tokens of 8x8
    assert embedding.shape == (1, 3, 16) and embedding.dtype == torch.float32
    torch.testing.assert_close(embedding[0], torch.stack([states[is_image].mean(0), states.mean(0), states[-1]]))


def test_company_does_not_change_a_picture(guide):
    pictures = [picture(1), picture(2, height=64, width=16), picture(3)]
    together = guide(pictures)
    for one, embedding in zip(pictures, together, strict=True):
        assert torch.equal(guide([one])[0], embedding)
    assert (together[0] - together[2]).abs().max() > 1e-3


def test_grey_deep_and_transparent_pictures_are_shown_as_rgb(guide):
    deep = picture(dtype=np.uint16)
    grey = picture(channels=1)
    alpha = picture(seed=5, channels=1)
    assert torch.equal(guide([deep]), guide([to_photo(deep).to_pil()]))
    assert torch.equal(guide([grey]), guide([np.repeat(grey, 3, axis=2)]))
    assert torch.equal(guide([np.concatenate([picture(), alpha], axis=2)]), guide([picture()]))


def test_large_pictures_are_reduced_in_proportion():
    large = Photo(pixels=np.zeros((2000, 4000, 3), np.uint8))
    width, height = shown_picture(large).size
    assert 0.99 * MAX_PIXELS < width * height <= MAX_PIXELS
    assert width / height == pytest.approx(2, abs=0.01)
    assert shown_picture(Photo(pixels=np.zeros((30, 50, 3), np.uint8))).size == (50, 30)


def test_the_question_matters(guide, folder):
    other = load_multimodal_guide(folder, question="What degradation ?")
    assert (other([picture()]) - guide([picture()])).abs().max() > 1e-4
    assert other.identity.differences(guide.identity) == [
        f"made with the question 'What degradation ?', expected {DEFAULT_QUESTION!r}"
    ]


def test_it_is_frozen_and_has_no_head_over_words(guide):
    assert not any(parameter.requires_grad for parameter in guide.parameters())
    assert not guide.train().training and not guide.model.training
    assert not guide([picture()]).requires_grad
    assert not any("lm_head" in name for name, _ in guide.named_parameters())


def test_half_precision_runs_and_gives_float32(folder, guide):
    embedding = load_multimodal_guide(folder, dtype=torch.bfloat16)([picture()])
    assert embedding.dtype == torch.float32
    torch.testing.assert_close(embedding, guide([picture()]), atol=0.2, rtol=0.2)


def test_other_models_serve_with_their_own_width(tmp_path):
    guide = load_multimodal_guide(write_tiny_llava(tmp_path / "tiny-llava"))
    assert guide.width == 12 and guide.identity.shape == (3, 12)
    embedding = guide([picture()])
    assert embedding.shape == (1, 3, 12)
    assert embedding.isfinite().all()


def test_the_identity_tells_name_and_files(guide, tmp_path):
    assert guide.identity.name == "tiny-guide" and guide.identity.question == DEFAULT_QUESTION
    same = load_multimodal_guide(write_tiny_guide(tmp_path / "renamed"))
    other = load_multimodal_guide(write_tiny_guide(tmp_path / "tiny-guide", seed=1))
    assert same.identity.differences(guide.identity) == []
    assert "expected tiny-guide (sha256 " in other.identity.differences(guide.identity)[0]
    settings = tmp_path / "renamed" / "processor_config.json"
    settings.write_text(settings.read_text().replace("1024", "512"))
    assert load_multimodal_guide(tmp_path / "renamed").identity.differences(guide.identity)


@pytest.mark.parametrize("images", [[], "picture.png"])
def test_only_lists_of_pictures_are_taken(guide, images):
    with pytest.raises(InputError, match="expected a list of pictures"):
        guide(images)


def test_a_picture_that_the_guide_refuses_is_an_input_error(guide):
    with pytest.raises(InputError, match="tiny-guide cannot look at a picture of 900x3"):
        guide([picture(height=3, width=900)])


def test_an_empty_question_is_refused(folder):
    with pytest.raises(InputError, match="the question is empty"):
        load_multimodal_guide(folder, question=" ")


def test_a_guide_that_cannot_be_had_names_the_ways_out():
    with pytest.raises(WeightsUnavailableError) as caught:
        load_multimodal_guide(local_files_only=True)
    for way_out in ("Qwen/Qwen2.5-VL-3B-Instruct", "a local folder", "HF_ENDPOINT to a mirror", "HF_HUB_OFFLINE=1"):
        assert way_out in str(caught.value)


def test_damaged_folders_are_refused(tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)
    with pytest.raises(WeightsError, match="cannot be loaded as a multimodal guide"):
        load_multimodal_guide(tmp_path)
    cut = write_tiny_guide(tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(WeightsError, match="cannot be loaded as a multimodal guide"):
        load_multimodal_guide(cut)


def test_a_guide_without_a_chat_template_is_refused(tmp_path):
    folder = write_tiny_guide(tmp_path / "mute")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(WeightsError, match="mute has no chat template for pictures"):
        load_multimodal_guide(folder)


def test_code_in_a_folder_is_never_run(tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)
    folder = write_tiny_guide(tmp_path / "coded")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "novel",
        "auto_map": {"AutoConfig": "novel.Config", "AutoModelForImageTextToText": "novel.Model"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "novel.py").write_text("raise SystemExit('this ran')")
    with pytest.raises(WeightsError, match="code in a repository is never run"):
        load_multimodal_guide(folder)


def test_without_torchvision_the_extra_is_named(folder, monkeypatch):
    import transformers

    def fail(*args, **kwargs):
        raise ImportError("Qwen2VLVideoProcessor requires the Torchvision library")

    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", fail)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"torchvision is needed .*pip install 'ldrestore\[guide\]'"):
        load_multimodal_guide(folder)
