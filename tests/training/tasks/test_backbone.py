from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionImg2ImgPipeline, UNet2DConditionModel
from stable_runs import NAMES, SIZES, backbone_config, last_metrics, save_base, save_pictures
from torch import nn
from transformers import CLIPTextModel

from ldrestore.checkpoints.base_model import load_base_parts
from ldrestore.checkpoints.sdxl import sdxl
from ldrestore.config import load_config
from ldrestore.errors import ConfigError, WeightsError
from ldrestore.guides.clip_tower import ClipTower
from ldrestore.training.data.shown_pictures import show_pictures
from ldrestore.training.networks.small_prior import create_vae
from ldrestore.training.networks.small_xl_prior import grown_text_encoders, grown_unet
from ldrestore.training.tasks.backbone import prepare_backbone
from ldrestore.training.tasks.backbone_clip import sigmoid_loss
from ldrestore.training.tasks.backbone_config import BackboneTrainingConfig
from ldrestore.training.tasks.backbone_vae import VaeRoundTrip, VaeTask
from ldrestore.training.trainers import train_by_config


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_base(tmp_path_factory.mktemp("base"))


def test_the_autoencoder_is_exported_with_latents_of_unit_variance(tmp_path, pictures):
    assert train_by_config(backbone_config(tmp_path, pictures, "vae"), overrides=[], resume=None)
    metrics = last_metrics(tmp_path)
    assert {"l1", "kl", "validation/round_trip/clean", "validation/round_trip/rain"} <= metrics.keys()
    vae = AutoencoderKL.from_pretrained(tmp_path / "run/export/vae")
    config = load_config(BackboneTrainingConfig, tmp_path / "vae.yaml")
    dataset = VaeTask(config, network=VaeRoundTrip(vae)).dataset(config.stages[0])
    crops = torch.stack([dataset[(0, number)]["gt"] for number in range(2)])
    with torch.no_grad():
        latents = vae.encode(crops * 2 - 1).latent_dist.mode() * vae.config.scaling_factor
    assert latents.std().item() == pytest.approx(1, rel=1e-3)


def test_the_loss_of_the_autoencoder_is_the_weighted_sum_of_its_parts(tmp_path, pictures):
    overrides = ["vae_loss={perceptual_weight: 0.5, kl_weight: 0.1}"]
    config = load_config(BackboneTrainingConfig, backbone_config(tmp_path, pictures, "vae"), overrides)
    network = VaeRoundTrip(create_vae(SIZES.vae)).eval()
    task = VaeTask(config, network=network, perceptual=lambda again, shown: torch.full((len(shown),), 3.0))
    batch = {"lq": torch.rand(2, 3, 16, 16), "gt": torch.rand(2, 3, 16, 16), "severities": torch.zeros(2, 99)}
    total, parts = task.loss(network, batch)
    torch.testing.assert_close(total, parts["l1"] + 0.1 * parts["kl"] + 1.5)


def test_the_clip_pair_is_exported_as_a_base_has_it(tmp_path, pictures):
    assert train_by_config(backbone_config(tmp_path, pictures, "clip"), overrides=[], resume=None)
    assert {"contrast", "class", "severity", "validation/top1", "validation/top1/haze"} <= last_metrics(tmp_path).keys()
    export = tmp_path / "run/export"
    assert ClipTower.from_pretrained(export / "image_encoder").dim == 6
    assert {path.name for path in export.iterdir()} == {"text_encoder", "tokenizer", "image_encoder"}


def test_the_unet_completes_a_base_that_diffusers_loads(tmp_path, pictures, base):
    config = backbone_config(tmp_path, pictures, "unet", vae=str(base), clip=str(base))
    assert train_by_config(config, overrides=[], resume=None)
    assert {"squared", "validation/loss/clean", "validation/loss/rain"} <= last_metrics(tmp_path).keys()
    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(tmp_path / "run/export")
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert pipeline.image_encoder.config.native_crop_size == 16
    trained, kept = pipeline.unet.state_dict(), pipeline.vae.state_dict()
    before = AutoencoderKL.from_pretrained(base / "vae").state_dict()
    assert all(torch.equal(kept[name], weight) for name, weight in before.items())
    fresh = type(pipeline.unet).from_pretrained(base / "unet").state_dict()
    assert sum(not torch.equal(trained[name], weight) for name, weight in fresh.items()) > 0.9 * len(fresh)


def test_the_xl_unet_grows_from_the_other_and_completes_an_xl_base(tmp_path, pictures, base):
    parts = {"vae": str(base), "clip": str(base), "init_from": str(base)}
    assert train_by_config(backbone_config(tmp_path, pictures, "xl_unet", **parts), overrides=[], resume=None)
    assert {"squared", "validation/loss/clean", "validation/loss/rain"} <= last_metrics(tmp_path).keys()
    found = load_base_parts(tmp_path / "run/export", layout=sdxl())
    assert found["unet"].config.cross_attention_dim == 16
    scheduler = found["scheduler"]
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.alphas_cumprod[-1].sqrt().item() == pytest.approx(0.068, abs=5e-4)  # as of SDXL
    trained = found["unet"].state_dict()
    small = UNet2DConditionModel.from_pretrained(base / "unet")
    fresh = grown_unet(small, pooled_dim=8).state_dict()
    assert trained.keys() == fresh.keys()
    assert sum(not torch.equal(trained[name], weight) for name, weight in fresh.items()) > 0.9 * len(fresh)


def test_the_xl_unet_begins_as_the_one_that_it_grows_from(base):
    small = UNet2DConditionModel.from_pretrained(base / "unet").eval()
    unet = grown_unet(small, pooled_dim=8).eval()
    latents, words = torch.randn(1, 4, 8, 8), torch.randn(1, 5, 8)
    added = {"text_embeds": torch.randn(1, 8), "time_ids": torch.full((1, 6), 64.0)}
    with torch.no_grad():
        known = small(latents, 300, words).sample
        grown = unet(latents, 300, torch.cat([words, words], dim=-1), added_cond_kwargs=added).sample
    torch.testing.assert_close(grown, known)


def test_the_xl_text_is_what_the_small_encoder_says_before_its_last_norm(base):
    small = CLIPTextModel.from_pretrained(base / "text_encoder").eval()
    first, second = grown_text_encoders(small)
    tokens = torch.tensor([[3, 5, 7, 9]])
    with torch.no_grad():
        for encoder, norm in ((first, small.final_layer_norm), (second, small.final_layer_norm)):
            states = encoder(tokens, output_hidden_states=True).hidden_states[-2]
            torch.testing.assert_close(norm(states), small(tokens).last_hidden_state)


def test_texts_of_the_same_caption_are_no_negatives():
    matches = torch.tensor([[2.0, -1.0], [0.5, 3.0], [1.0, -2.0]])
    text_of = torch.tensor([0, 1, 0])
    expected = 0.0
    for picture in range(3):
        for text in range(2):
            sign = 1.0 if text_of[picture] == text else -1.0
            expected -= torch.sigmoid(sign * matches[picture, text]).log().item()
    assert sigmoid_loss(matches, text_of).item() == pytest.approx(expected / 3, rel=1e-5)


def test_clean_pictures_are_said_to_be_clean():
    batch = {"lq": torch.zeros(64, 3, 2, 2), "gt": torch.ones(64, 3, 2, 2), "severities": torch.full((64, 99), 0.5)}
    generator = torch.Generator().manual_seed(0)
    shown, severities = show_pictures(batch, NAMES, degraded_share=0.5, generator=generator)
    is_clean = shown[:, 0, 0, 0] == 1
    assert 16 < is_clean.sum() < 48
    assert torch.equal(severities, 0.5 * (~is_clean).float()[:, None].expand(-1, 2))


@pytest.mark.parametrize(
    ("part", "overrides", "message"),
    [
        ("unet", [], "give vae and clip, the exports of their runs"),
        ("vae", ["degraded_share=2"], r"degraded_share must lie in \[0, 1\], got 2"),
        ("vae", ["vae_loss={kl_weight: -1}"], "must not be negative"),
        ("vae", ["unet_loss={caption_dropout: 1}"], "expected caption_dropout in"),
        ("clip", ["stages=[]"], "stages is empty"),
    ],
)
def test_configs_that_make_no_sense_are_refused(tmp_path, pictures, part, overrides, message):
    with pytest.raises(ConfigError, match=message):
        train_by_config(backbone_config(tmp_path, pictures, part), overrides=overrides, resume=None)


def test_a_missing_part_is_named(tmp_path, pictures):
    config = backbone_config(tmp_path, pictures, "unet", vae=str(tmp_path), clip=str(tmp_path))
    with pytest.raises(WeightsError, match="vae cannot be loaded as AutoencoderKL"):
        train_by_config(config, overrides=[], resume=None)


def test_a_perceptual_network_is_no_part_of_what_is_saved(tmp_path, pictures):
    config = load_config(BackboneTrainingConfig, backbone_config(tmp_path, pictures, "vae"))
    network = VaeRoundTrip(create_vae(SIZES.vae))
    task = VaeTask(config, network=network, perceptual=nn.Identity())
    task.export(network.state_dict(), tmp_path)
    assert (tmp_path / "vae/config.json").is_file()


@pytest.mark.parametrize(("names", "caption"), [([], ""), (["rain"], "a photo with moderate rain")])
def test_pairs_of_files_are_validated_under_what_is_known_of_them(
    tmp_path: Path, pictures: Path, base: Path, names: list[str], caption: str
) -> None:
    """Of pairs that name no degradation nobody knows what a caption would say."""
    pairs = {"lq_folder": str(pictures), "gt_folder": str(pictures), "degradations": names}
    config = load_config(
        BackboneTrainingConfig,
        backbone_config(
            tmp_path,
            pictures,
            "unet",
            vae=str(base),
            clip=str(base),
            validation={"pairs": pairs, "crop_size": 16, "num_pictures": 1},
        ),
    )
    prepared = prepare_backbone(config)
    read, task = [], prepared.task
    conditions = task.conditions
    task.conditions = lambda captions, shown: read.extend(captions) or conditions(captions, shown)
    with torch.no_grad():
        metrics = task.validate(prepared.network.eval())
    assert read == [caption] and metrics.keys() == {"loss", f"loss/{'+'.join(names) or 'pairs'}"}
