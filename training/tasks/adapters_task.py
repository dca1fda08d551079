"""What the loop needs to train stage 1: pairs, the latent diffusion loss, validation and export."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.images.padding import crop_to, pad_to_multiple
from ldrestore.refiners.refined_decoder import decode_refined, downsampling_of
from ldrestore.sampling.clean_estimate import clean_latents
from ldrestore.training.config import StageConfig
from ldrestore.training.data.loading import Batch
from ldrestore.training.data.training_data import create_dataset
from ldrestore.training.losses.denoising_validation import validate_denoising
from ldrestore.training.losses.diffusion_loss import (
    diffusion_loss,
    draw_timesteps,
    encoded,
    min_snr_weights,
    noise_between,
    prediction_target,
    rectified_noise,
    rolled_out,
)
from ldrestore.training.losses.validation import ValidationPair, create_pairs, validate_pairs
from ldrestore.training.networks.short_sampling import sample_latents, validation_noise
from ldrestore.training.networks.stable_adapters import StableAdapters, save_parts
from ldrestore.training.networks.steering import LqFeatures, as_picture, lq_features_of
from ldrestore.training.tasks.adapters_config import AdaptersTrainingConfig


class AdaptersTask:
    """The task that the loop trains."""

    def __init__(
        self, config: AdaptersTrainingConfig, *, network: StableAdapters, predictor: DegradationPredictor
    ) -> None:
        """Keep what is needed, and read the pictures of the validation.

        Args:
            config: What the run depends on.
            network: The one that is trained.
            predictor: Frozen here.
        """
        self.config, self.network, self.base = config, network, network.base
        self.predictor = predictor.requires_grad_(False).eval()
        self._pairs = create_pairs(config.validation)

    def dataset(self, stage: StageConfig) -> Dataset[Any]:
        """Pairs of the stage's patch size."""
        return create_dataset(self.config.data, patch_size=stage.patch_size, seed=self.config.run.seed)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 1, on latents of gt that are drawn from the posterior, as the base was trained.

        Args:
            model: A `StableAdapters`, wrapped or not.
            batch: "lq" and "gt", (B, 3, P, P), in [0, 1].

        Returns:
            The mean, weighted by timestep where the config asks for it; and the plain mean as "squared".
        """
        with self.base.autocast(batch["gt"].device):
            steering = self._steering(batch["lq"])
            latents = encoded(self.base.vae, batch["gt"], is_sampled=True)  # (B, C, h, w)
        scheduler, device = self.base.scheduler, latents.device
        shift = self.config.loss.timestep_shift
        timesteps = draw_timesteps(len(latents), scheduler=scheduler, device=device, generator=None, shift=shift)
        noise = torch.randn_like(latents)
        if self.config.loss.dream is not None:
            noise = self._rectified(model, latents, noise, timesteps, steering)
        if self.config.loss.rollout_steps is not None:
            noise = self._sampled(model, latents, noise, timesteps, steering)
        noised = scheduler.add_noise(latents, noise, timesteps)
        prediction = model(noised, timesteps, steering)
        errors = diffusion_loss(prediction, prediction_target(scheduler, latents, noise, timesteps))  # (B,)
        gamma = self.config.loss.min_snr_gamma
        if gamma is None:
            return errors.mean(), {"squared": errors.mean()}
        weighted = errors * min_snr_weights(scheduler, timesteps, gamma=gamma)
        return weighted.mean(), {"squared": errors.mean()}

    @torch.no_grad()
    def _rectified(
        self, model: nn.Module, latents: Tensor, noise: Tensor, timesteps: Tensor, steering: LqFeatures
    ) -> Tensor:
        """The noise of DREAM, by what the model makes of the drawn timesteps or of the noisiest one."""
        scheduler, loss = self.base.scheduler, self.config.loss
        guessed = timesteps if loss.dream_from == "timestep" else self._noisiest(timesteps)
        noised = scheduler.add_noise(latents, noise, guessed)
        prediction = model(noised, guessed, steering)
        estimate = clean_latents(noised, prediction, guessed, scheduler=scheduler)
        known = {"timesteps": timesteps, "scheduler": scheduler, "detail": loss.dream}
        return rectified_noise(noise, latents, estimate=estimate, **known)

    @torch.no_grad()
    def _sampled(
        self, model: nn.Module, latents: Tensor, noise: Tensor, timesteps: Tensor, steering: LqFeatures
    ) -> Tensor:
        """The noise between gt and where the model's own sampling is at the drawn timesteps."""
        scheduler, begin = self.base.scheduler, self._noisiest(timesteps)
        noised = rolled_out(
            scheduler.add_noise(latents, noise, begin),
            begin=begin,
            end=timesteps,
            num_steps=self.config.loss.rollout_steps,
            predict=lambda noised, at: model(noised, at, steering),
            scheduler=scheduler,
        )
        return noise_between(noised, latents, timesteps=timesteps, scheduler=scheduler)

    def _noisiest(self, timesteps: Tensor) -> Tensor:
        """The last timestep of the schedule, for each picture."""
        return torch.full_like(timesteps, self.base.scheduler.config.num_train_timesteps - 1)

    def _steering(self, lq: Tensor) -> LqFeatures:
        """What frozen networks say of damaged pictures."""
        return lq_features_of(lq, base=self.base, predictor=self.predictor)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """The loss for each recipe of the validation config, without weights, and the PSNR of short samples."""
        if not self._pairs:
            return {}
        device = next(network.parameters()).device

        def latents_of(pair: ValidationPair) -> Tensor:
            self.base.to(device)
            return encoded(self.base.vae, as_picture(pair.gt, device), is_sampled=False)

        def predict(pair: ValidationPair, noised: Tensor, timesteps: Tensor) -> Tensor:
            return network(noised, timesteps, self._steering(as_picture(pair.lq, device)).expand(len(noised)))

        losses = validate_denoising(latents_of, predict, self._pairs, scheduler=self.base.scheduler)
        return losses | self._validate_samples(network, self._pairs, device=device)

    def _validate_samples(self, network: Any, pairs: list[ValidationPair], *, device: torch.device) -> dict[str, float]:
        """PSNR of what the adapters restore and the autoencoder decodes, see `validate_pairs`."""
        steps = self.config.sampling_steps
        if steps is None:
            return {}
        numbers = {id(pair): number for number, pair in enumerate(pairs)}
        scheduler = deepcopy(self.base.scheduler)  # sampling leaves its state in it

        def restore(lq: Tensor, pair: ValidationPair) -> Tensor:
            steering = self._steering(pad_to_multiple(lq, downsampling_of(self.base.vae)))
            noise = validation_noise(steering.lq_latents, numbers[id(pair)])
            latents = sample_latents(network, steering, noise, scheduler=scheduler, num_inference_steps=steps)
            return crop_to(decode_refined(self.base.vae, latents, drm=None), *lq.shape[-2:])

        return validate_pairs(restore, pairs, device=device)

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write a folder for each part, the predictor's too; the base is not copied."""
        save_parts(self.network, weights, folder)
        self.predictor.save_pretrained(folder / "predictor")
