"""Trains stage 1 of MPerceiver: adapters and prompts upon a frozen Stable Diffusion 2.1, or upon the small prior."""

import logging
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ldrestore.adapters.injection import InjectionLayers
from ldrestore.adapters.ir_adapter import IRAdapter
from ldrestore.errors import ConfigError, WeightsError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.images.padding import crop_to, pad_to_multiple
from ldrestore.prompts.cm_adapter import CMAdapter
from ldrestore.prompts.textual_prompts import TextualPromptPool
from ldrestore.refiners.refined_decoder import downsampling_of
from ldrestore.training.config import StageConfig
from ldrestore.training.data.loading import Batch
from ldrestore.training.data.training_data import create_dataset
from ldrestore.training.entry import Prepared
from ldrestore.training.loop.memory_estimate import log_memory_estimate
from ldrestore.training.losses.denoising_validation import validate_denoising
from ldrestore.training.losses.diffusion_loss import encoded
from ldrestore.training.losses.restoring_loss import restoring_loss
from ldrestore.training.losses.validation import ValidationPair, create_pairs, validate_pairs
from ldrestore.training.networks.frozen_base import FrozenBase, load_base
from ldrestore.training.networks.short_sampling import sample_latents, validation_noise
from ldrestore.training.networks.stable_adapters import StableAdapters, load_parts, save_parts
from ldrestore.training.networks.steering import LqFeatures, as_picture, check_predictor, lq_features_of
from ldrestore.training.tasks.adapters_config import AdaptersTrainingConfig
from ldrestore.training.tasks.estimator import load_predictor

logger = logging.getLogger(__name__)


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
            The mean, weighted by timestep where the config asks for it; and the plain mean by the name of its norm.
        """
        with self.base.autocast(batch["gt"].device):
            steering = self._steering(batch["lq"])
            latents = encoded(self.base.vae, batch["gt"], is_sampled=True)  # (B, C, h, w)
        predict = partial(model, steering=steering)
        return restoring_loss(predict, latents, scheduler=self.base.scheduler, config=self.config.loss)

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
            return crop_to(self.base.system({}).decode_features(latents), *lq.shape[-2:])

        return validate_pairs(restore, pairs, device=device)

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write a folder for each part, the predictor's too; the base is not copied."""
        save_parts(self.network, weights, folder)
        self.predictor.save_pretrained(folder / "predictor")


def prepare_adapters(config: AdaptersTrainingConfig) -> Prepared:
    """The adapters that a run trains, and what is frozen beside them."""
    base = load_base(config.base)
    predictor = load_predictor(config.predictor)
    torch.manual_seed(config.run.seed)
    network = create_network(config, base=base, predictor=predictor)
    task = AdaptersTask(config, network=network, predictor=predictor)
    log_memory_estimate(config, task=task, network=network, frozen=[*base.modules(), predictor])
    return Prepared(network=network, task=task)


def create_network(
    config: AdaptersTrainingConfig, *, base: FrozenBase, predictor: DegradationPredictor
) -> StableAdapters:
    """New parts, or those of an earlier run with rows for what the predictor knows beyond them.

    Raises:
        ConfigError: the predictor does not know the earlier run's degradations, in their order, or widths differ.
        WeightsError: there are no such parts.
    """
    check_predictor(predictor, base)
    if config.init_from is None:
        parts = create_parts(config, base=base, names=predictor.names)
        return StableAdapters(base, {name: parts[name] for name in config.parts})
    found = load_parts(config.init_from)
    missing = [name for name in config.parts if name not in found]
    if missing:
        raise WeightsError(f"{config.init_from} has no {', '.join(missing)}; leave them out of parts")
    network = StableAdapters(base, {name: found[name] for name in config.parts})
    num_old = len(network.names)
    if predictor.names[:num_old] != network.names:
        raise ConfigError(
            f"the adapters of init_from know {', '.join(network.names)}, the predictor {', '.join(predictor.names)}; "
            "give a predictor that begins with the same, grown from theirs"
        )
    new_names = predictor.names[num_old:]
    logger.info("from %s, new: %s", config.init_from, ", ".join(new_names) or "nothing")
    if not new_names and not config.train_shared:
        raise ConfigError("train_shared: false leaves nothing to train; the predictor knows no new degradation")
    network.grow(new_names, train_shared=config.train_shared)
    return network


def create_parts(config: AdaptersTrainingConfig, *, base: FrozenBase, names: tuple[str, ...]) -> dict[str, nn.Module]:
    """New parts that fit the base, with random weights."""
    sizes, text_dim = config.sizes, base.text_encoder.config.hidden_size
    return {
        "cm_adapter": CMAdapter(
            names,
            embedding_dim=base.tower.dim,
            text_dim=text_dim,
            num_tokens=sizes.num_tokens,
            num_heads=sizes.num_token_heads,
        ),
        "textual_prompts": TextualPromptPool(names, num_tokens=sizes.num_tokens, text_dim=text_dim, order=sizes.order),
        "ir_adapter": IRAdapter(
            degradations=names,
            in_channels=base.unet.config.in_channels,
            channels=sizes.channels,
            num_res_blocks=sizes.num_res_blocks,
            attention_levels=sizes.attention_levels,
            num_heads=sizes.num_heads,
            num_groups=sizes.num_groups,
            out_channels=sizes.feature_channels,
            num_prompts=sizes.num_prompts,
            prompt_dim=sizes.prompt_dim,
            num_prompt_heads=sizes.num_prompt_heads,
            prompt_head_dim=sizes.prompt_head_dim,
        ),
        "injection": InjectionLayers.for_unet(
            base.unet,
            feature_channels=sizes.feature_channels,
            hidden_channels=sizes.hidden_channels,
            injection=sizes.injection,
        ),
    }
