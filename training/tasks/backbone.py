"""Trains the small prior, one part a run: first the autoencoder and the CLIP pair, then the U-Net upon both."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from ldrestore.training.data.captions import caption_corpus
from ldrestore.training.entry import Prepared
from ldrestore.training.loop.memory_estimate import log_memory_estimate
from ldrestore.training.networks.frozen_base import load_part
from ldrestore.training.networks.small_prior import (
    create_image_encoder,
    create_text_encoder,
    create_tokenizer,
    create_unet,
    create_vae,
)
from ldrestore.training.networks.small_xl_prior import grown_text_encoders, grown_unet
from ldrestore.training.tasks.backbone_clip import ClipPair, ClipTask
from ldrestore.training.tasks.backbone_config import BackboneTrainingConfig
from ldrestore.training.tasks.backbone_unet import UnetTask
from ldrestore.training.tasks.backbone_unet_xl import XLUnetTask
from ldrestore.training.tasks.backbone_vae import VaeRoundTrip, VaeTask

if TYPE_CHECKING:
    from ldrestore.training.loop.training_loop import Task

logger = logging.getLogger(__name__)


def prepare_backbone(config: BackboneTrainingConfig) -> Prepared:
    """The part that a run trains, which always begins from random weights."""
    torch.manual_seed(config.run.seed)
    network, task, frozen = {"vae": _vae, "clip": _clip, "unet": _unet, "xl_unet": _xl_unet}[config.part](config)
    logger.info("%s: %d parameters", config.part, sum(weight.numel() for weight in network.parameters()))
    log_memory_estimate(config, task=task, network=network, frozen=frozen)
    return Prepared(network=network, task=task)


def _vae(config: BackboneTrainingConfig) -> tuple[nn.Module, "Task", list[nn.Module]]:
    """The autoencoder."""
    network = VaeRoundTrip(create_vae(config.sizes.vae))
    perceptual = _perceptual() if config.vae_loss.perceptual_weight > 0 else None
    frozen = [perceptual] if isinstance(perceptual, nn.Module) else []
    return network, VaeTask(config, network=network, perceptual=perceptual), frozen


def _clip(config: BackboneTrainingConfig) -> tuple[nn.Module, "Task", list[nn.Module]]:
    """Text encoder and vision tower."""
    tokenizer = create_tokenizer(config.sizes.clip, caption_corpus(config.degradations))
    text_encoder, image_encoder = create_text_encoder(config.sizes.clip), create_image_encoder(config.sizes.clip)
    network = ClipPair(text_encoder, image_encoder, num_degradations=len(config.degradations))
    return network, ClipTask(config, network=network, tokenizer=tokenizer), []


def _unet(config: BackboneTrainingConfig) -> tuple[nn.Module, "Task", list[nn.Module]]:
    """The U-Net upon the exports of the two others.

    Raises:
        WeightsError: one of these is missing or damaged.
    """
    assert config.vae is not None and config.clip is not None
    vae = load_part(AutoencoderKL, config.vae / "vae")
    text_encoder = load_part(CLIPTextModel, config.clip / "text_encoder")
    network = create_unet(
        config.sizes.unet,
        latent_channels=vae.config.latent_channels,
        text_width=text_encoder.config.hidden_size,
    )
    task = UnetTask(
        config,
        network=network,
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=load_part(CLIPTokenizer, config.clip / "tokenizer"),
        image_encoder=load_part(CLIPVisionModelWithProjection, config.clip / "image_encoder"),
    )
    return network, task, [vae, text_encoder]


def _xl_unet(config: BackboneTrainingConfig) -> tuple[nn.Module, "Task", list[nn.Module]]:
    """The U-Net in SDXL's form, grown from another.

    Raises:
        WeightsError: a part is missing or damaged.
    """
    assert config.vae is not None and config.clip is not None and config.init_from is not None
    vae = load_part(AutoencoderKL, config.vae / "vae")
    encoders = grown_text_encoders(load_part(CLIPTextModel, config.clip / "text_encoder"))
    small = load_part(UNet2DConditionModel, config.init_from / "unet")
    network = grown_unet(small, pooled_dim=encoders[1].config.projection_dim)
    tokenizer = load_part(CLIPTokenizer, config.clip / "tokenizer")
    task = XLUnetTask(config, network=network, vae=vae, text_encoders=encoders, tokenizer=tokenizer)
    return network, task, [vae, *encoders]


def _perceptual() -> Callable[[Tensor, Tensor], Tensor]:
    """ST-LPIPS.

    Raises:
        MissingExtraError: its package is not installed.
    """
    from ldrestore.training.losses.refiner_losses import PerceptualLoss  # reads weights, and only where it is asked for

    return PerceptualLoss()
