"""What the loop needs to train the small prior's U-Net: clean and degraded pictures with captions that say which."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from ldrestore.datasets.compared_pairs import CLEAN_RECIPE
from ldrestore.datasets.synthetic import SyntheticDataset, severities_of
from ldrestore.degradations.recipes import list_degradations, parse_recipe
from ldrestore.training.config import StageConfig
from ldrestore.training.data.captions import EMPTY_CAPTION, caption_of, captions_of
from ldrestore.training.data.loading import Batch
from ldrestore.training.data.shown_pictures import show_pictures
from ldrestore.training.losses.denoising_validation import validate_denoising
from ldrestore.training.losses.diffusion_loss import (
    diffusion_loss,
    draw_timesteps,
    encoded,
    min_snr_weights,
    prediction_target,
)
from ldrestore.training.losses.validation import UNNAMED_PAIRS, ValidationPair, create_pairs
from ldrestore.training.networks.rebuilding import rebuilt
from ldrestore.training.networks.small_prior import create_scheduler
from ldrestore.training.networks.steering import as_picture
from ldrestore.training.tasks.backbone_clip import tokens_of
from ldrestore.training.tasks.backbone_config import BackboneTrainingConfig


class UnetTask:
    """The task that the loop trains."""

    def __init__(
        self,
        config: BackboneTrainingConfig,
        *,
        network: UNet2DConditionModel,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        image_encoder: CLIPVisionModelWithProjection | None,
    ) -> None:
        """Keep what is needed, freeze all but the U-Net, and read the pictures of the validation.

        Args:
            config: What the run depends on.
            network: The one that is trained.
            vae: Frozen; makes the latents.
            text_encoder: Frozen; reads the captions.
            tokenizer: Of the text encoder.
            image_encoder: Goes into the exported base as it is; None for a base without one.
        """
        self.config, self.network, self.tokenizer = config, network, tokenizer
        self.vae, self.text_encoder = (part.requires_grad_(False).eval() for part in (vae, text_encoder))
        self.image_encoder = image_encoder
        self.scheduler = create_scheduler()
        self._pairs = create_pairs(config.validation)

    def dataset(self, stage: StageConfig) -> Dataset[Any]:
        """Pairs of the stage's patch size, with severities."""
        seed = self.config.run.seed
        return SyntheticDataset(self.config.data, patch_size=stage.patch_size, seed=seed, tells_severities=True)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The latent diffusion loss; some captions are left out, Ho and Salimans 2022 (https://arxiv.org/abs/2207.12598).

        Args:
            model: The U-Net.
            batch: "lq" and "gt", (B, 3, P, P), in [0, 1], and "severities", (B, D).

        Returns:
            The mean, weighted by timestep; and the plain mean as "squared".
        """
        weights, names = self.config.unet_loss, self.config.degradations
        pictures, severities = show_pictures(batch, names, degraded_share=self.config.degraded_share)
        is_left_out = (torch.rand(len(pictures)) < weights.caption_dropout).tolist()
        captions = captions_of(severities, names)
        texts = [EMPTY_CAPTION if is_left else text for is_left, text in zip(is_left_out, captions, strict=True)]
        conditions = self.conditions(texts, pictures)
        latents = encoded(self.vae.to(pictures.device), pictures, is_sampled=True)
        timesteps = draw_timesteps(len(latents), scheduler=self.scheduler, device=latents.device, generator=None)
        noise = torch.randn_like(latents)
        prediction = model(self.scheduler.add_noise(latents, noise, timesteps), timesteps, **conditions).sample
        errors = diffusion_loss(prediction, prediction_target(self.scheduler, latents, noise, timesteps))  # (B,)
        if weights.min_snr_gamma is None:
            return errors.mean(), {"squared": errors.mean()}
        weighted = errors * min_snr_weights(self.scheduler, timesteps, gamma=weights.min_snr_gamma)
        return weighted.mean(), {"squared": errors.mean()}

    @torch.no_grad()
    def conditions(self, captions: list[str], pictures: Tensor) -> dict[str, Any]:
        """What the U-Net is told: its further arguments, by name.

        Args:
            captions: B of them, or one for all.
            pictures: (B, 3, H, W), for the device.
        """
        texts = sorted(set(captions))
        self.text_encoder.to(pictures.device)
        tokens = tokens_of(self.tokenizer, texts).to(pictures.device)
        embeds = self.text_encoder(tokens).last_hidden_state  # (M, L, D)
        read = embeds[[texts.index(caption) for caption in captions]]
        return {"encoder_hidden_states": read.expand(len(pictures), -1, -1)}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """The loss on degraded pictures with their captions, for each recipe of the validation, without weights."""
        if not self._pairs:
            return {}
        device = next(network.parameters()).device
        self.vae.to(device)

        def latents_of(pair: ValidationPair) -> Tensor:
            return encoded(self.vae, as_picture(pair.lq, device), is_sampled=False)

        def predict(pair: ValidationPair, noised: Tensor, timesteps: Tensor) -> Tensor:
            shown = as_picture(pair.lq, device).expand(len(noised), -1, -1, -1)
            return network(noised, timesteps, **self.conditions([self._caption_of(pair.recipe)], shown)).sample

        return validate_denoising(latents_of, predict, self._pairs, scheduler=self.scheduler)

    def _caption_of(self, recipe: str) -> str:
        """What a caption says of a validation picture."""
        assert self.config.validation is not None
        if recipe == UNNAMED_PAIRS:
            return EMPTY_CAPTION
        parsed = None if recipe == CLEAN_RECIPE else parse_recipe(recipe)
        severities = severities_of(parsed, severity=self.config.validation.severity)
        known = list_degradations()
        names = self.config.degradations
        return caption_of([float(severities[known.index(name)]) for name in names], names)

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write the whole base, which diffusers' own pipelines load too."""
        StableDiffusionPipeline(
            vae=self.vae.cpu(),
            text_encoder=self.text_encoder.cpu(),
            tokenizer=self.tokenizer,
            unet=rebuilt(self.network, weights, source="the U-Net in training"),
            scheduler=self.scheduler,
            safety_checker=None,
            feature_extractor=None,
            image_encoder=self.image_encoder,
            requires_safety_checker=False,
        ).save_pretrained(folder)
