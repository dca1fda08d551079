"""Trains stage 2 of MPerceiver: the detail refinement module in the decoder of a frozen autoencoder."""

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ldrestore.errors import ConfigError, WeightsUnavailableError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.images.padding import pad_to_multiple
from ldrestore.refiners.drm import DetailRefinementModule
from ldrestore.refiners.refined_decoder import downsampling_of
from ldrestore.training.config import StageConfig, num_steps
from ldrestore.training.data.loading import Batch
from ldrestore.training.data.training_data import create_dataset
from ldrestore.training.entry import Prepared
from ldrestore.training.loop.frozen_rows import freeze_rows
from ldrestore.training.loop.memory_estimate import log_memory_estimate
from ldrestore.training.losses.diffusion_loss import encoded
from ldrestore.training.losses.discriminator import PatchDiscriminator
from ldrestore.training.losses.refined_validation import RefinedValidation
from ldrestore.training.losses.refiner_losses import PerceptualLoss, discriminator_loss, refiner_losses
from ldrestore.training.losses.validation import ValidationPair
from ldrestore.training.networks.frozen_base import FrozenBase, load_base
from ldrestore.training.networks.judged_decoder import JudgedDecoder
from ldrestore.training.networks.rebuilding import save_part
from ldrestore.training.networks.short_sampling import sample_latents, validation_noise
from ldrestore.training.networks.stable_adapters import StableAdapters, load_parts
from ldrestore.training.networks.steering import LqFeatures, as_picture, check_predictor, lq_features_of
from ldrestore.training.tasks.decoded_latents import latents_to_decode
from ldrestore.training.tasks.estimator import load_predictor
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
        self._validation = RefinedValidation(
            config.validation, factor=downsampling_of(self.base.vae), plain="unrefined"
        )

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
            picture = self.base.system({}).encode_features(lq)
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

        def sample(num: int, steps: int) -> Tensor:
            known = steering.first(num)
            return self._sampled(known, torch.randn_like(known.lq_latents), num_inference_steps=steps)

        return latents_to_decode(gt, vae=self.base.vae, config=self.config.latents, sample=sample)

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
        if not self._validation.pairs:
            return {}
        system = self.base.system({})

        def decode(lq: Tensor, pair: ValidationPair, is_refined: bool) -> Tensor:
            picture = system.encode_features(lq)
            steering = self._steering(lq, picture.latents)
            latents = self._validation.latents(pair, partial(self._validation_latents, pair, steering))
            if not is_refined:
                return system.decode_features(latents)
            restored: Tensor = network(latents, picture.features, steering.probabilities).restored
            return restored

        return self._validation.measure(decode, device=next(network.parameters()).device)

    def _validation_latents(self, pair: ValidationPair, steering: LqFeatures, number: int) -> Tensor:
        """Sampled with noise of its own; without adapters those of the ground truth."""
        if self.adapters is None:
            gt = pad_to_multiple(as_picture(pair.gt, steering.lq_latents.device), self._validation.factor)
            return encoded(self.base.vae, gt, is_sampled=False)
        noise = validation_noise(steering.lq_latents, number)
        return self._sampled(steering, noise, num_inference_steps=self.config.latents.max_steps)

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write the module's folder; the discriminator stays in the checkpoints."""
        save_part(self.network.drm, weights, folder, name="drm")


def prepare_refiner(config: RefinerTrainingConfig) -> Prepared:
    """The module that a run trains with its discriminator, and what is frozen beside them."""
    task = create_task(config)
    frozen = [*task.base.modules(), task.predictor, *(part for part in (task.adapters, task.perceptual) if part)]
    task.network.num_passes.fill_(task.num_passes)  # at the end, when the discriminator takes part
    log_memory_estimate(config, task=task, network=task.network, frozen=frozen)
    task.network.num_passes.zero_()
    is_judged = task.network.judge is not None
    return Prepared(
        network=task.network,
        task=task,
        skips_weights=is_judged,
        clipped_apart=("drm", "judge") if is_judged else (),
    )


def create_task(config: RefinerTrainingConfig) -> RefinerTask:
    """The networks of a run, with what they are trained by.

    Raises:
        ConfigError: parts do not know the same degradations.
        WeightsError: a part is missing or damaged.
        MissingExtraError: the perceptual loss is not installed.
    """
    base = load_base(config.base)
    place = config.predictor or config.adapters
    assert place is not None  # the config's own check
    predictor = load_predictor(place)
    check_predictor(predictor, base)
    if config.base.gradient_checkpointing:
        base.vae.enable_gradient_checkpointing()
    adapters = None if config.adapters is None else StableAdapters(base, load_parts(config.adapters))
    if adapters is not None and adapters.names != predictor.names:
        raise ConfigError(
            f"the adapters know {', '.join(adapters.names)}, the predictor {', '.join(predictor.names)}; take both "
            "from one run"
        )
    torch.manual_seed(config.run.seed)
    drm = create_module(config, base=base, names=predictor.names)
    judge = None
    if config.loss.adversarial > 0:
        judge = PatchDiscriminator(config.judge.base_channels, num_layers=config.judge.num_layers)
    perceptual = PerceptualLoss() if config.loss.perceptual > 0 else None
    network = JudgedDecoder(base, drm, judge)
    return RefinerTask(config, network=network, predictor=predictor, adapters=adapters, perceptual=perceptual)


def create_module(config: RefinerTrainingConfig, *, base: FrozenBase, names: tuple[str, ...]) -> DetailRefinementModule:
    """A new module, or an earlier one with prompts for what the predictor knows beyond it.

    Raises:
        ConfigError: the predictor does not know the earlier degradations, in their order, or widths do not fit.
        WeightsUnavailableError: there is no earlier one.
    """
    widths, sizes = tuple(base.vae.config.block_out_channels), config.sizes
    if config.init_from is None:
        return DetailRefinementModule(
            widths,
            sizes.hidden_channels,
            names,
            num_prompts=sizes.num_prompts,
            prompt_dim=sizes.prompt_dim,
            num_res_blocks=sizes.num_res_blocks,
            num_swin_blocks=sizes.num_swin_blocks,
            head_dim=sizes.head_dim,
            window_size=sizes.window_size,
            norm_num_groups=sizes.norm_num_groups,
        )
    drm = load_module(config.init_from)
    if tuple(drm.config["block_out_channels"]) != widths:
        raise ConfigError(
            f"the module of init_from is made for an autoencoder of widths {list(drm.config['block_out_channels'])}, "
            f"the base's are {list(widths)}"
        )
    num_old = len(drm.names)
    if names[:num_old] != drm.names:
        raise ConfigError(
            f"the module of init_from knows {', '.join(drm.names)}, the predictor {', '.join(names)}; give a "
            "predictor that begins with the same"
        )
    new_names = names[num_old:]
    if not new_names:
        if not config.train_shared:
            raise ConfigError("train_shared: false leaves nothing to train; the predictor knows no new degradation")
        return drm
    drm.requires_grad_(config.train_shared).grow(new_names)
    for level in drm.levels:
        freeze_rows(level.modulator.visual_prompt.requires_grad_(True), num_old)
    return drm


def load_module(folder: Path) -> DetailRefinementModule:
    """A module from its folder, or from that of a run's export or pipeline.

    Raises:
        WeightsUnavailableError: none lies there.
    """
    found = next((place for place in (folder, folder / "drm") if _is_module(place)), None)
    if found is None:
        raise WeightsUnavailableError(f"no refinement module in {folder}; give the export of a run of the refiner")
    return DetailRefinementModule.from_pretrained(found, local_files_only=True)


def _is_module(folder: Path) -> bool:
    """Whether a folder is that of a module, and not of what has one among others."""
    return (folder / "config.json").is_file()
