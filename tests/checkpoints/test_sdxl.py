import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from ldrestore.checkpoints.base_model import load_base_parts
from ldrestore.checkpoints.bases import find_base
from ldrestore.checkpoints.sdxl import XLSizes, sdxl
from ldrestore.checkpoints.stable_diffusion import stable_diffusion_2
from ldrestore.errors import ConfigError, WeightsError
from ldrestore.guides.loading_quietly import without_progress_bar
from tests.original_layout import original_layout, original_xl_layout
from tests.tiny_stable import tiny_base
from tests.tiny_xl import tiny_xl_base, xl_sizes_of

NETWORKS = ("unet", "vae", "text_encoder", "text_encoder_2")


def save(folder, parts):
    with without_progress_bar():
        for name, part in parts.items():
            part.save_pretrained(folder / name)
    return folder


def write(path, weights):
    save_file({key: value.clone().contiguous() for key, value in weights.items()}, path)
    return path


def same(left, right):
    return all(torch.equal(left.state_dict()[key], value) for key, value in right.state_dict().items())


def test_a_single_file_holds_the_same_base(tmp_path):
    base = tiny_xl_base()
    path = write(tmp_path / "xl.safetensors", original_xl_layout(base))
    parts = load_base_parts(path, layout=sdxl(xl_sizes_of(base)), prediction_type="epsilon")
    assert all(same(parts[name], base[name]) for name in NETWORKS)
    assert parts["tokenizer"] is None and parts["tokenizer_2"] is None
    assert not any(weight.requires_grad for name in NETWORKS for weight in parts[name].parameters())
    with pytest.raises(ConfigError, match=r"'epsilon' for SDXL base 1\.0"):
        load_base_parts(path, layout=sdxl(xl_sizes_of(base)))


def test_positions_of_older_files_are_left_out(tmp_path):
    base = tiny_xl_base()
    weights = original_xl_layout(base)
    weights["conditioner.embedders.0.transformer.text_model.embeddings.position_ids"] = torch.arange(12)[None]
    path = write(tmp_path / "xl.safetensors", weights)
    parts = load_base_parts(path, layout=sdxl(xl_sizes_of(base)), prediction_type="epsilon")
    assert same(parts["text_encoder"], base["text_encoder"])


def test_a_folder_holds_the_same_base(tmp_path):
    base = tiny_xl_base()
    parts = load_base_parts(save(tmp_path, base), layout=sdxl())
    assert parts.keys() == base.keys() and all(same(parts[name], base[name]) for name in NETWORKS)
    assert parts["tokenizer_2"]("remove the rain").input_ids == base["tokenizer_2"]("remove the rain").input_ids


def test_a_base_of_the_other_track_is_refused_by_name_both_ways(tmp_path):
    stable, xl = save(tmp_path / "stable", tiny_base()), save(tmp_path / "xl", tiny_xl_base())
    save(stable, {"text_encoder_2": tiny_xl_base()["text_encoder_2"]})
    with pytest.raises(WeightsError, match=r"is a Stable Diffusion 1 or 2 \(text of width 8\), expected an SDXL; name"):
        load_base_parts(stable, layout=sdxl())
    with pytest.raises(WeightsError, match=r"is an SDXL, expected a Stable Diffusion 2\.1; name one"):
        load_base_parts(xl, layout=stable_diffusion_2())


def test_single_files_of_other_kinds_are_refused_by_name(tmp_path):
    stable = write(tmp_path / "stable.safetensors", original_layout(tiny_base()))
    with pytest.raises(WeightsError, match="is a Stable Diffusion 1 or 2, expected an SDXL"):
        load_base_parts(stable, layout=sdxl(), prediction_type="epsilon")
    weights = original_xl_layout(tiny_xl_base())
    refiner = {key: value for key, value in weights.items() if not key.startswith("conditioner.embedders.0.")}
    with pytest.raises(WeightsError, match="as its refiner has none; name the base"):
        load_base_parts(write(tmp_path / "r.safetensors", refiner), layout=sdxl(), prediction_type="epsilon")
    with pytest.raises(WeightsError, match="is no SDXL: it has no keys"):
        load_base_parts(
            write(tmp_path / "n.safetensors", {"a": torch.ones(1)}), layout=sdxl(), prediction_type="epsilon"
        )
    lost = {key: value for key, value in weights.items() if not key.endswith("text_projection")}
    layout = sdxl(xl_sizes_of(tiny_xl_base()))
    with pytest.raises(WeightsError, match=r"has no conditioner\.embedders\.1\.model\.text_projection"):
        load_base_parts(write(tmp_path / "l.safetensors", lost), layout=layout, prediction_type="epsilon")


def test_the_sizes_of_single_files_are_those_of_sdxl():
    sizes = XLSizes()
    with torch.device("meta"):
        networks = (
            UNet2DConditionModel(**sizes.unet),
            AutoencoderKL(**sizes.vae),
            CLIPTextModel(CLIPTextConfig(**sizes.text_encoder)),
            CLIPTextModelWithProjection(CLIPTextConfig(**sizes.text_encoder_2)),
        )
    numbers = [sum(weight.numel() for weight in network.parameters()) for network in networks]
    assert numbers == [2_567_463_684, 83_653_863, 123_060_480, 694_659_840]
    assert networks[1].config.scaling_factor == 0.13025


def test_the_base_has_an_autoencoder_for_half_precision():
    record = find_base("stable-diffusion-xl-base-1-0")
    assert record.repository == "stabilityai/stable-diffusion-xl-base-1.0" and record.prediction_type == "epsilon"
    assert record.half_precision_vae == "madebyollin/sdxl-vae-fp16-fix"
