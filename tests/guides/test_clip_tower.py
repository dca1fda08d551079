import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel

from ldrestore.errors import ShapeError, UnknownNameError, WeightsError, WeightsUnavailableError
from ldrestore.guides.clip_tower import OPENAI_MEAN, OPENAI_STD, ClipTower
from ldrestore.guides.clip_views import native_views
from ldrestore.guides.loading_quietly import without_progress_bar
from tests.tiny_clip import VISION, tiny_tower


def tiny_model(**options):
    return tiny_tower(projection_dim=12, **options)


def save(model, folder):
    with without_progress_bar():
        model.save_pretrained(folder)
    return folder


@pytest.fixture
def tower():
    return ClipTower(tiny_model())


def test_pictures_become_one_embedding_a_view(tower):
    lq = torch.rand(2, 3, 20, 40)
    tower.crop_size = 16
    embeddings = tower(lq)
    assert embeddings.shape == (2, 5, 12) and embeddings.dtype == torch.float32
    views = native_views(lq, 16, crop_size=16)
    normed = (views - torch.tensor(OPENAI_MEAN)[:, None, None]) / torch.tensor(OPENAI_STD)[:, None, None]
    for picture in range(2):
        for index in range(5):
            expected = tower.model(pixel_values=normed[picture, index][None]).image_embeds[0]
            torch.testing.assert_close(embeddings[picture, index], expected)


def test_the_released_view_is_the_squashed_whole(tower):
    lq = torch.rand(2, 3, 20, 40)
    embeddings = tower(lq, view="released")
    assert embeddings.shape == (2, 1, 12)
    torch.testing.assert_close(embeddings[:, 0], tower(lq)[:, 0])


def test_it_is_frozen(tower):
    assert not tower(torch.rand(1, 3, 16, 16)).requires_grad
    assert not tower.train().training and not tower.model.training
    assert not any(parameter.requires_grad for parameter in tower.parameters())


def test_half_precision_gives_wide_embeddings():
    tower = ClipTower(tiny_model().bfloat16())
    assert tower(torch.rand(1, 3, 16, 16)).dtype == torch.float32


def test_a_tower_loads_from_a_folder_with_its_preparation(tmp_path):
    model = tiny_model(image_mean=[0.5, 0.4, 0.3], native_crop_size=24)
    tower = ClipTower.from_pretrained(save(model, tmp_path))
    assert (tower.dim, tower.size, tower.crop_size) == (12, 16, 24)
    assert tower.mean == (0.5, 0.4, 0.3) and tower.std == OPENAI_STD
    lq = torch.rand(1, 3, 30, 30)
    assert torch.equal(tower(lq), ClipTower(model)(lq))
    again = ClipTower.from_pretrained(save(tower.model, tmp_path / "again"))
    assert again.crop_size == 24 and torch.equal(again(lq), tower(lq))


def test_a_tower_loads_from_a_whole_clip(tmp_path, caplog):
    text = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "vocab_size": 9,
        "bos_token_id": 7,
        "eos_token_id": 8,
    }
    torch.manual_seed(0)
    clip = CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=12)).eval()
    save(clip, tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}')
    tower = ClipTower.from_pretrained(tmp_path)
    assert (tower.dim, tower.mean, tower.std) == (12, (0, 0, 0), (1, 1, 1))
    assert not caplog.records
    lq = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        expected = clip.get_image_features(lq).pooler_output
    torch.testing.assert_close(tower(lq)[:, 0], expected)


def test_folders_without_a_whole_tower_are_refused(tmp_path):
    with pytest.raises(WeightsUnavailableError, match="no folder"):
        ClipTower.from_pretrained(tmp_path / "absent")
    with pytest.raises(WeightsUnavailableError, match=r"convert\('clip_tower'"):
        ClipTower.from_pretrained(tmp_path)
    save(tiny_model(), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["vision_model.pre_layrnorm.bias"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"no weights for vision_model\.pre_layrnorm\.bias"):
        ClipTower.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="cannot be loaded as a CLIP tower"):
        ClipTower.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(WeightsError, match="a model of type 'bert', expected a CLIP"):
        ClipTower.from_pretrained(tmp_path)


def test_weights_of_other_sizes_are_refused(tmp_path):
    save(tiny_model(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps({**config, "projection_dim": 10}), encoding="utf-8")
    with pytest.raises(WeightsError, match="cannot be loaded as a CLIP tower"):
        ClipTower.from_pretrained(tmp_path)


def test_wrong_pictures_and_views_are_refused(tower):
    with pytest.raises(ShapeError, match=r"expected pictures of shape \(B, 3, H, W\), got \(3, 16, 16\)"):
        tower(torch.rand(3, 16, 16))
    with pytest.raises(UnknownNameError, match="unknown view 'nativ'; did you mean 'native'"):
        tower(torch.rand(1, 3, 16, 16), view="nativ")
