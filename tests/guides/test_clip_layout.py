import json

import pytest
import torch
from transformers import CLIPVisionModelWithProjection

from ldrestore.conversion import convert
from ldrestore.errors import InputError, WeightsError
from ldrestore.guides.clip_layout import tower_config, tower_weights
from ldrestore.guides.clip_tower import ClipTower
from ldrestore.weights.fitting import load_strictly

TEXT = {"context_length": 4, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1}


def open_clip_model(**vision):
    open_clip = pytest.importorskip("open_clip")
    torch.manual_seed(0)
    model = open_clip.CLIP(
        embed_dim=12, vision_cfg=open_clip.CLIPVisionCfg(**vision), text_cfg=open_clip.CLIPTextCfg(**TEXT)
    )
    for parameter in model.visual.parameters():  # norms and biases too
        torch.nn.init.normal_(parameter, mean=parameter.mean().item(), std=0.1)
    return model.eval()


def tiny(**options):
    return open_clip_model(width=16, head_width=8, layers=2, patch_size=4, image_size=16, **options)


def test_the_converted_tower_computes_what_open_clip_computes():
    model = tiny()
    weights = model.state_dict()
    tower = CLIPVisionModelWithProjection(tower_config(weights, num_heads=2, source="tiny")).eval()
    load_strictly(tower, tower_weights(weights, source="tiny"), source="tiny")
    pixels = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(tower(pixel_values=pixels).image_embeds, model.encode_image(pixels))


def test_a_published_width_is_converted_to_a_folder(tmp_path):
    model = open_clip_model(width=768, layers=1, patch_size=16, image_size=32)
    torch.save(model.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    folder = convert("clip_tower", tmp_path / "open_clip_pytorch_model.bin", tmp_path / "out")
    tower = ClipTower.from_pretrained(folder)
    assert (tower.dim, tower.size, tower.model.config.num_attention_heads) == (12, 32, 12)
    lq = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        expected = model.encode_image(tower.prepare(lq)[:, 0])
    torch.testing.assert_close(tower(lq)[:, 0], expected, atol=1e-4, rtol=1e-4)
    origin = json.loads((folder / "ldrestore.json").read_text(encoding="utf-8"))
    assert (origin["architecture"], origin["source_file"]) == ("clip_tower", "open_clip_pytorch_model.bin")


def test_sizes_of_the_full_tower_are_read_off_the_shapes():
    with torch.device("meta"):
        weights = {
            "visual.conv1.weight": torch.empty(1280, 3, 14, 14),
            "visual.positional_embedding": torch.empty(257, 1280),
            "visual.proj": torch.empty(1280, 1024),
            **{f"visual.transformer.resblocks.{n}.mlp.c_fc.weight": torch.empty(5120, 1280) for n in range(32)},
        }
    config = tower_config(weights, source="ViT-H-14")
    assert (config.hidden_size, config.intermediate_size, config.projection_dim) == (1280, 5120, 1024)
    assert (config.num_hidden_layers, config.num_attention_heads) == (32, 16)
    assert (config.image_size, config.patch_size, config.hidden_act) == (224, 14, "gelu")


def test_other_checkpoints_are_refused_and_nothing_written(tmp_path):
    with pytest.raises(WeightsError, match=r"no published tower is 16 wide"):
        tower_config(tiny().state_dict(), source="tiny")
    scaled = tiny(ls_init_value=1.0).state_dict()
    with pytest.raises(WeightsError, match=r"resblocks\.0\.ls_1\.gamma, which a plain vision transformer has not"):
        tower_weights(scaled, source="scaled")
    torch.save({"conv.weight": torch.ones(1)}, tmp_path / "foreign.pt")
    with pytest.raises(WeightsError, match=r"foreign\.pt is no checkpoint of an OpenCLIP .* no visual\.conv1\.weight"):
        convert("clip_tower", tmp_path / "foreign.pt", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="clip_tower takes no instruction head"):
        convert("clip_tower", tmp_path / "foreign.pt", tmp_path / "out", head="head.pt")
    with pytest.raises(InputError, match="not an empty folder"):
        convert("clip_tower", tmp_path / "foreign.pt", tmp_path)
