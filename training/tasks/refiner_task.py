"""What the loop needs to train stage 2: latents to decode, the losses, validation and export."""

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.images.padding import crop_to, pad_to_multiple
from ldrestore.refiners.refined_decoder import decode_refined, downsampling_of, encode_picture
from ldrestore.training.config import StageConfig, num_steps
from ldrestore.training.data.loading import Batch
from ldrestore.training.data.training_data import create_dataset
from ldrestore.training.losses.diffusion_loss import encoded
from ldrestore.training.losses.refiner_losses import PerceptualLoss, discriminator_loss, refiner_losses
from ldrestore.training.losses.validation import ValidationPair, create_pairs, validate_pairs
from ldrestore.training.networks.judged_decoder import JudgedDecoder
from ldrestore.training.networks.rebuilding import rebuilt
from ldrestore.training.networks.short_sampling import sample_latents, validation_noise
from ldrestore.training.networks.stable_adapters import StableAdapters
from ldrestore.training.networks.steering import LqFeatures, as_picture, lq_features_of
from ldrestore.training.tasks.refiner_config import RefinerTrainingConfig


class RefinerTask:
    """The task that the loop trains."""

    def __init__(
        self,
        config: RefinerTrainingConfig,
        *,
        network: JudgedDecoder,
        predictor: DegradationPredictor,
        adapters: StableAdapters | None,
        perceptual: PerceptualLoss | None,
    ) -> None:
        """Keep what is needed, freeze all but the network, and read the pictures of the validation.

        Args:
            config: What the run depends on.
            network: The one that is trained.
            predictor: Frozen here.
            adapters: Of stage 1, upon the same base, frozen here; None where nothing is sampled.
            perceptual: The perceptual loss; None where its weight is 0.
        """
        self.config, self.network, self.base, self.perceptual = config, network, network.base, perceptual
        self.predictor = predictor.requires_grad_(False).eval()
        self.adapters = None if adapters is None else adapters.requires_grad_(False).eval()
        self.scheduler = deepcopy(self.base.scheduler)  # sampling leaves its state in it
        self._pairs = create_pairs(config.validation)
        self._latents: dict[int, Tensor] = {}
        self._unrefined: dict[str, float] | None = None

    def dataset(self, stage: StageConfig) -> Dataset[Any]:
        """Pairs of the stage's patch size."""
        return create_dataset(self.config.data, patch_size=stage.patch_size, seed=self.config.run.seed)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The losses of `refiner_losses`, and that of the discriminator.

        Args:
            model: A `JudgedDecoder`, wrapped or not.
            batch: "lq" and "gt", (B, 3, P, P), in [0, 1].

        Returns:
            The sum of all, and each by name, with its weight.
        """
        lq, gt = batch["lq"], batch["gt"]
        with self.base.autocast(lq.device):
            picture = encode_picture(self.base.vae, lq)
            steering = self._steering(lq, picture.latents)
            latents = self._latents_of(gt, steering)
        judged = model(latents, picture.features, steering.probabilities, gt, judges_from=self._judges_from())
        losses = refiner_losses(
            judged.restored,
            gt,
            weights=self.config.loss,
            perceptual=None if self.perceptual is None else self.perceptual.to(lq.device),
            restored_scores=judged.restored_scores,
        )
        if judged.detached_scores is not None and judged.gt_scores is not None:
            losses["judge"] = discriminator_loss(judged.detached_scores, judged.gt_scores)
        parts = {name: values.mean() for name, values in losses.items()}
        return torch.stack(list(parts.values())).sum(), parts

    @property
    def num_passes(self) -> int:
        """Forward passes of the whole run, in one process."""
        return num_steps(self.config.stages) * self.config.run.gradient_accumulation_steps

    def _judges_from(self) -> int | None:
        """Passes after which the discriminator takes part."""
        loss = self.config.loss
        return None if loss.adversarial == 0 else int(loss.adversarial_from * self.num_passes)

    def _steering(self, lq: Tensor, lq_latents: Tensor) -> LqFeatures:
        """What frozen networks say of damaged pictures, whose latents are known."""
        return lq_features_of(lq, base=self.base, predictor=self.predictor, lq_latents=lq_latents.float())

    @torch.no_grad()
    def _latents_of(self, gt: Tensor, steering: LqFeatures) -> Tensor:
        """What is decoded: samples for the first pictures of the batch, noised latents of gt for the others.

        Args:
            gt: (B, 3, P, P), in [0, 1].
            steering: Of their damaged twins.

        Returns:
            (B, C, h, w), float32, scaled.
        """
        options = self.config.latents
        wanted = options.sampled_share * len(gt)
        num_sampled = int(wanted) + int(torch.rand(()) < wanted % 1)  # what is left of a picture is drawn
        parts = []
        if num_sampled > 0:
            steps = int(torch.randint(options.min_steps, options.max_steps + 1, ()))
            known = steering.first(num_sampled)
            parts.append(self._sampled(known, torch.randn_like(known.lq_latents), num_inference_steps=steps))
        if num_sampled < len(gt):
            latents = encoded(self.base.vae, gt[num_sampled:], is_sampled=False)
            spread = torch.rand(len(latents), 1, 1, 1, device=latents.device) * options.max_noise
            parts.append(latents + spread * torch.randn_like(latents))
        return torch.cat(parts)

    def _sampled(self, steering: LqFeatures, noise: Tensor, *, num_inference_steps: int) -> Tensor:
        """Latents that the adapters restore from noise."""
        assert self.adapters is not None
        return sample_latents(
            self.adapters.to(noise.device),
            steering,
            noise,
            scheduler=self.scheduler,
            num_inference_steps=num_inference_steps,
        )

    def validate(self, network: nn.Module) -> dict[str, float]:
        """PSNR of pictures that are restored with the longest schedule, by recipe: refined, and as "unrefined/..." not.

        Without adapters it is the ground truth's latents that are decoded.
        """
        if not self._pairs:
            return {}
        numbers = {id(pair): number for number, pair in enumerate(self._pairs)}
        device = next(network.parameters()).device

        def decode(lq: Tensor, pair: ValidationPair, *, is_refined: bool) -> Tensor:
            padded = pad_to_multiple(lq, downsampling_of(self.base.vae))
            picture = encode_picture(self.base.vae, padded)
            steering = self._steering(padded, picture.latents)
            latents = self._validation_latents(numbers[id(pair)], pair, steering)
            if is_refined:
                restored = network(latents, picture.features, steering.probabilities).restored
            else:
                restored = decode_refined(self.base.vae, latents, drm=None)
            return crop_to(restored, *lq.shape[-2:])

        if self._unrefined is None:  # training changes nothing in it
            self._unrefined = validate_pairs(partial(decode, is_refined=False), self._pairs, device=device)
        refined = validate_pairs(partial(decode, is_refined=True), self._pairs, device=device)
        return refined | {f"unrefined/{name}": value for name, value in self._unrefined.items()}

    def _validation_latents(self, number: int, pair: ValidationPair, steering: LqFeatures) -> Tensor:
        """Sampled once with noise of its own, since what samples does not change."""
        if number not in self._latents:
            device = steering.lq_latents.device
            if self.adapters is None:
                gt = pad_to_multiple(as_picture(pair.gt, device), downsampling_of(self.base.vae))
                latents = encoded(self.base.vae, gt, is_sampled=False)
            else:
                noise = validation_noise(steering.lq_latents, number)
                latents = self._sampled(steering, noise, num_inference_steps=self.config.latents.max_steps)
            self._latents[number] = latents
        return self._latents[number]

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write the module's folder; the discriminator stays in the checkpoints."""
        own = {key.removeprefix("drm."): value for key, value in weights.items() if key.startswith("drm.")}
        rebuilt(self.network.drm, own, source="the refinement module in training").save_pretrained(folder / "drm")
