from collections.abc import Callable
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
from ldrestore.degradations.recipes import list_degradations
from ldrestore.errors import ConfigError, UnknownNameError, WeightsError
from ldrestore.guides.clip_tower import ClipTower
from ldrestore.training.data.shown_pictures import show_pictures
from ldrestore.training.entry import Prepared
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


@pytest.fixture
def prepared_of(tmp_path: Path, pictures: Path, base: Path) -> Callable[..., Prepared]:
    """Network and task of a part; sections of its config may be replaced."""

    def create(part: str, **extra: object) -> Prepared:
        folders = {"vae": str(base), "clip": str(base)} if part.endswith("unet") else {}
        path = backbone_config(tmp_path, pictures, part, validation=None, **{**folders, **extra})
        return prepare_backbone(load_config(BackboneTrainingConfig, path))

    return create


def batch_of(*severities: dict[str, float]) -> dict[str, torch.Tensor]:
    """Random pictures that suffer from what is named."""
    known, table = list_degradations(), torch.zeros(len(severities), len(list_degradations()))
    for row, named in zip(table, severities, strict=True):
        for name, severity in named.items():
            row[known.index(name)] = severity
    lq, gt = torch.rand(2, len(severities), 3, 16, 16, generator=torch.Generator().manual_seed(3)).unbind()
    return {"lq": lq, "gt": gt, "severities": table}


def test_the_divergence_is_that_of_gaussians_a_value_of_the_picture(prepared_of: Callable[..., Prepared]) -> None:
    prepared = prepared_of("vae", degraded_share=1.0, vae_loss={"kl_weight": 0.25})
    batch = batch_of({}, {"rain": 0.5})
    total, parts = prepared.task.loss(prepared.network.eval(), batch)
    vae = prepared.network.vae
    posterior = vae.encode(batch["lq"] * 2 - 1).latent_dist
    mean, variance = posterior.mean, posterior.std.square()
    divergence = 0.5 * (mean.square() + variance - 1 - variance.log()).sum(dim=(1, 2, 3)) / (3 * 16 * 16)
    again = vae.decode(mean).sample / 2 + 0.5
    torch.testing.assert_close(parts["kl"], divergence.mean(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        total, (again - batch["lq"]).abs().mean() + 0.25 * divergence.mean(), rtol=1e-4, atol=1e-6
    )


def test_the_autoencoder_draws_in_training_alone() -> None:
    torch.manual_seed(0)
    network, pictures = VaeRoundTrip(create_vae(SIZES.vae)), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert not torch.equal(network.train()(pictures)[0], network(pictures)[0])
        assert torch.equal(network.eval()(pictures)[0], network(pictures)[0])


def test_the_loss_of_the_clip_pair_is_written_out(prepared_of: Callable[..., Prepared]) -> None:
    """SigLIP over the different captions; the heads' labels are full from a severity of 0.3 on."""
    prepared = prepared_of("clip", degraded_share=1.0, clip_loss={"class_weight": 0.5, "severity_weight": 2.0})
    batch = batch_of({"haze": 0.15}, {"rain": 0.9}, {"haze": 0.15}, {})
    shown = {}

    def network(pictures: torch.Tensor, input_ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        shown["texts"] = prepared.task.tokenizer.batch_decode(input_ids, skip_special_tokens=True)
        torch.manual_seed(5)
        return torch.randn(4, len(input_ids)), torch.randn(4, 2), torch.rand(4, 2)

    total, parts = prepared.task.loss(network, batch)
    texts = ["a clean photo", "a photo with light haze", "a photo with strong rain"]
    assert [text.rstrip("! ").strip() for text in shown["texts"]] == texts
    torch.manual_seed(5)
    matches, classes, strengths = torch.randn(4, 3), torch.randn(4, 2), torch.rand(4, 2)
    signs = torch.full((4, 3), -1.0)
    for row, text in enumerate((1, 2, 1, 0)):
        signs[row, text] = 1.0
    contrast = -(signs * matches).sigmoid().log().sum(dim=1).mean()
    labels = torch.tensor([[0.5, 0.0], [0.0, 1.0], [0.5, 0.0], [0.0, 0.0]])
    p = classes.sigmoid()
    entropy = -(labels * p.log() + (1 - labels) * (1 - p).log()).mean()
    severity = (strengths - torch.tensor([[0.15, 0.0], [0.0, 0.9], [0.15, 0.0], [0.0, 0.0]])).abs().mean()
    torch.testing.assert_close(parts["contrast"], contrast)
    torch.testing.assert_close(total, contrast + 0.5 * entropy + 2.0 * severity)


@pytest.mark.parametrize("part", ["vae", "clip", "unet", "xl_unet"])
def test_each_weight_in_training_gets_a_gradient(prepared_of: Callable[..., Prepared], base: Path, part: str) -> None:
    """Several processes refuse those that get none."""
    extra = {"init_from": str(base)} if part == "xl_unet" else {}
    prepared = prepared_of(part, degraded_share=1.0, **extra)
    prepared.task.loss(prepared.network.train(), batch_of({"haze": 0.5}, {"rain": 0.9}))[0].backward()
    without = [
        name for name, weight in prepared.network.named_parameters() if weight.requires_grad and weight.grad is None
    ]
    assert without == [] and not prepared.skips_weights
    if part == "clip":
        assert prepared.network.log_scale.grad != 0 and prepared.network.bias.grad != 0


@pytest.mark.parametrize("part", ["unet", "xl_unet"])
@pytest.mark.parametrize("gamma", [None, 5.0])
def test_the_loss_of_the_unet_is_the_velocity_s_under_its_captions(
    prepared_of: Callable[..., Prepared], base: Path, part: str, gamma: float | None
) -> None:
    extra = {"init_from": str(base)} if part == "xl_unet" else {}
    unet_loss = {"caption_dropout": 0.0, "min_snr_gamma": gamma}
    prepared = prepared_of(part, degraded_share=1.0, unet_loss=unet_loss, **extra)
    network, task, batch = prepared.network, prepared.task, batch_of({"haze": 0.5}, {"rain": 0.9})
    torch.manual_seed(6)
    loss, parts = task.loss(network, batch)
    torch.manual_seed(6)
    torch.rand(2), torch.rand(2)  # which pictures are shown degraded, and which captions are left out
    posterior = task.vae.encode(batch["lq"] * 2 - 1).latent_dist
    latents = posterior.sample() * task.vae.config.scaling_factor
    timesteps = torch.randint(1000, (2,))
    noise = torch.randn_like(latents)
    alpha = task.scheduler.alphas_cumprod[timesteps].view(2, 1, 1, 1)
    signal, sigma = alpha.sqrt(), (1 - alpha).sqrt()
    texts = ["a photo with moderate haze", "a photo with strong rain"]
    conditions = task.conditions(texts, batch["lq"])
    output = network(signal * latents + sigma * noise, timesteps, **conditions).sample
    errors = (output - (signal * noise - sigma * latents)).square().mean(dim=(1, 2, 3))
    ratio = alpha.flatten() / (1 - alpha.flatten()) + 1
    weights = torch.ones(2) if gamma is None else ratio.clamp_max(gamma) / ratio
    torch.testing.assert_close(loss, (weights * errors).mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(parts["squared"], errors.mean(), rtol=1e-4, atol=1e-5)
    loss.backward()
    frozen = [task.vae, task.text_encoder, *([task.text_encoder_2] if part == "xl_unet" else [])]
    assert all(weight.grad is None and not weight.requires_grad for one in frozen for weight in one.parameters())


def test_captions_are_left_out_as_often_as_the_config_says(prepared_of: Callable[..., Prepared]) -> None:
    prepared = prepared_of("unet", degraded_share=1.0, unet_loss={"caption_dropout": 0.25})
    task, read = prepared.task, []
    conditions = task.conditions
    task.conditions = lambda captions, shown: read.extend(captions) or conditions(captions, shown)
    torch.manual_seed(0)
    with torch.no_grad():
        for _ in range(12):
            task.loss(prepared.network, batch_of(*[{"rain": 0.9}] * 16))
    assert set(read) == {"", "a photo with strong rain"}
    assert read.count("") / len(read) == pytest.approx(0.25, abs=0.08)


def test_the_xl_unet_is_told_of_both_texts_and_the_sizes(prepared_of: Callable[..., Prepared], base: Path) -> None:
    task = prepared_of("xl_unet", init_from=str(base)).task
    conditions = task.conditions(["a clean photo", ""], torch.rand(2, 3, 24, 32))
    assert conditions["encoder_hidden_states"].shape == (2, SIZES.clip.max_tokens, 16)
    assert conditions["added_cond_kwargs"]["time_ids"].tolist() == [[24, 32, 0, 0, 24, 32]] * 2
    assert not torch.equal(*conditions["added_cond_kwargs"]["text_embeds"])
    alone = task.conditions([""], torch.rand(3, 3, 24, 32))
    assert len(alone["encoder_hidden_states"]) == len(alone["added_cond_kwargs"]["text_embeds"]) == 3
    torch.testing.assert_close(alone["encoder_hidden_states"][2], conditions["encoder_hidden_states"][1])


@pytest.mark.parametrize(
    ("part", "extra", "message"),
    [
        ("vae", {"vae": "a", "clip": "b"}, "these upon none: give vae and clip"),
        ("xl_unet", {"vae": "a", "clip": "b"}, r"give init_from with part: xl_unet and only then; got part: xl_unet"),
        ("unet", {"vae": "a", "clip": "b", "init_from": "c"}, "give init_from with part: xl_unet and only then"),
        ("clip", {"clip_loss": {"class_weight": -1}}, r"clip_loss: weights must not be negative, got -1"),
        ("vae", {"unet_loss": {"min_snr_gamma": 0}}, r"min_snr_gamma > 0, got 0\.1 and 0"),
        ("vae", {"degradations": ["hase"]}, "did you mean 'haze'"),
        ("vae", {"sizes": {"unet": {"num_heads": 3}}}, r"unet\.widths must be positive multiples of 3"),
    ],
)
def test_what_does_not_belong_together_says_what_to_give(
    tmp_path: Path, pictures: Path, part: str, extra: dict[str, object], message: str
) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        load_config(BackboneTrainingConfig, backbone_config(tmp_path, pictures, part, **extra))
