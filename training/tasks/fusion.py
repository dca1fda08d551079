"""Trains UniLDiff's stage 1: the fusion upon a frozen SDXL, and from a switch on the LQ encoder and the U-Net too."""

import logging
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.utils.data import Dataset

from ldrestore.adapters.daff import DAFF
from ldrestore.adapters.fusion_attachment import LatentFusion
from ldrestore.adapters.local_start import look_at_own_place
from ldrestore.adapters.lq_encoder import EncodedLQ, LQEncoder
from ldrestore.adapters.residual_alignment import ResidualAlignment
from ldrestore.checkpoints.run_exports import load_trained_part
from ldrestore.checkpoints.sdxl import check_xl_unet_config
from ldrestore.degradations.recipes import list_degradations
from ldrestore.errors import ConfigError, WeightsUnavailableError
from ldrestore.images.padding import crop_to, pad_to_multiple
from ldrestore.prompts.task_prompts import TASK_PROMPTS, task_prompt
from ldrestore.refiners.refined_decoder import downsampling_of
from ldrestore.systems.unildiff_parts import FUSIONS, UNILDIFF_PARTS, name_of_fusion, reads_tasks
from ldrestore.systems.unildiff_texts import XLConditioning
from ldrestore.training.config import StageConfig
from ldrestore.training.data.loading import Batch
from ldrestore.training.data.pair_cache import cached_pairs
from ldrestore.training.data.training_data import create_dataset
from ldrestore.training.entry import Prepared
from ldrestore.training.loop.memory_estimate import log_memory_estimate
from ldrestore.training.losses.denoising_validation import validate_denoising
from ldrestore.training.losses.diffusion_loss import encoded
from ldrestore.training.losses.restoring_loss import restoring_loss
from ldrestore.training.losses.validation import ValidationPair, create_pairs, validate_pairs
from ldrestore.training.networks.frozen_base import load_part
from ldrestore.training.networks.short_sampling import sample_whole, validation_noise
from ldrestore.training.networks.steering import as_picture
from ldrestore.training.networks.xl_restorer import XLRestorer, add_low_rank, load_xl_base, save_xl_parts
from ldrestore.training.tasks.fusion_config import FusionTrainingConfig

logger = logging.getLogger(__name__)


class FusionTask:
    """The task that the loop trains."""

    def __init__(self, config: FusionTrainingConfig, *, network: XLRestorer) -> None:
        """Keep what is needed, and read the pictures of the validation.

        Args:
            config: What the run depends on.
            network: The one that is trained.
        """
        self.config, self.network, self.base = config, network, network.base
        self._pairs = create_pairs(config.validation)

    def dataset(self, stage: StageConfig) -> Dataset[Any]:
        """Pairs of the stage's patch size, drawn anew or cached."""
        if self.config.cache is None:
            return create_dataset(self.config.data, patch_size=stage.patch_size, seed=self.config.run.seed)
        return cached_pairs(
            self.config.cache,
            self.config.data,
            patch_size=stage.patch_size,
            settings={"trainer": self.config.trainer},
            networks=(self.base.vae, self.network.lq_encoder),
            compute=self._encoded_rows,
        )

    def _encoded_rows(self, batch: Batch) -> dict[str, Tensor]:
        """What a cache keeps of pairs: the posterior of gt, scaled, and what the LQ encoder makes of lq."""
        device, scale = self.network.lq_encoder.device, self.base.vae.config["scaling_factor"]
        self.base.to(device)
        pictures = (batch["gt"].to(device) * 2 - 1).to(self.base.vae.dtype)
        posterior = self.base.vae.encode(pictures).latent_dist
        lq_encoded = self.network.lq_encoder(batch["lq"].to(device))
        return {
            "gt_mean": posterior.mean * scale,
            "gt_std": posterior.std * scale,
            "lq_latents": lq_encoded.latents,
            "lq_last": lq_encoded.last,
            "degradations": batch["degradations"],
        }

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 9, see `restoring_loss`, on latents of gt that are drawn from the posterior.

        Args:
            model: An `XLRestorer`, wrapped or not.
            batch: "lq" and "gt", (B, 3, P, P), in [0, 1], or the rows of a cache; "degradations", (B, D), above 0 for
                what is there.

        Returns:
            The loss; its parts, and as "trains_all" whether U-Net and LQ encoder are trained.
        """
        self.base.to(batch["degradations"].device)
        latents, lq = self._encoded_pair(batch)
        conditioning = self._conditioning(batch)
        trains_all = torch.tensor(float(self.network.trains_all), device=latents.device)
        predict = partial(model, lq=lq, conditioning=conditioning)
        loss, parts = restoring_loss(predict, latents, scheduler=self.base.scheduler, config=self.config.loss)
        return loss, {**parts, "trains_all": trains_all}

    def _encoded_pair(self, batch: Batch) -> tuple[Tensor, Tensor | EncodedLQ]:
        """Latents of gt, (B, C, h, w), drawn from the posterior, and lq as the network takes it."""
        if "gt" in batch:
            return encoded(self.base.vae, batch["gt"], is_sampled=True), batch["lq"]
        mean = batch["gt_mean"]
        latents = mean + batch["gt_std"] * torch.randn_like(mean)
        return latents, EncodedLQ(batch["lq_latents"], batch["lq_last"], ())

    def _conditioning(self, batch: Batch) -> XLConditioning:
        """Task prompts of a batch, some left out."""
        num = len(batch["degradations"])
        tasks = [""] * num
        if self.config.text.has_tasks:
            is_left_out = (torch.rand(num) < self.config.text.dropout).tolist()
            tasks = [
                "" if is_left else task_of(row)
                for is_left, row in zip(is_left_out, batch["degradations"].tolist(), strict=True)
            ]
        factor = 1 if "gt" in batch else downsampling_of(self.base.vae)
        height, width = (side * factor for side in batch["gt" if "gt" in batch else "gt_mean"].shape[-2:])
        return self.base.condition(
            [""] * num, tasks, size=(height, width), has_reader=reads_tasks(self.network.parts())
        )

    def validate(self, network: nn.Module) -> dict[str, float]:
        """The loss for each recipe of the validation config, prompt-free, and the PSNR of short samples."""
        if not self._pairs:
            return {}
        device = next(network.parameters()).device
        self.base.to(device)
        read, factor = partial(self.base.condition, [""], [""]), downsampling_of(self.base.vae)

        def latents_of(pair: ValidationPair) -> Tensor:
            return encoded(self.base.vae, pad_to_multiple(as_picture(pair.gt, device), factor), is_sampled=False)

        def predict(pair: ValidationPair, noised: Tensor, timesteps: Tensor) -> Tensor:
            lq = pad_to_multiple(as_picture(pair.lq, device), factor).expand(len(noised), -1, -1, -1)
            return network(noised, timesteps, lq=lq, conditioning=read(size=(lq.shape[-2], lq.shape[-1])))

        losses = validate_denoising(latents_of, predict, self._pairs, scheduler=self.base.scheduler)
        self.network.look_for_plateau(losses["loss"])
        counted = {} if self.network.plateau is None else {"not_lower": float(self.network.num_not_lower)}
        return losses | counted | self._validate_samples(network, device=device)

    def _validate_samples(self, network: nn.Module, *, device: torch.device) -> dict[str, float]:
        """PSNR of what is restored without a prompt, and the autoencoder decodes, see `validate_pairs`."""
        steps = self.config.sampling_steps
        if steps is None:
            return {}
        numbers = {id(pair): number for number, pair in enumerate(self._pairs)}
        scheduler = deepcopy(self.base.scheduler)  # sampling leaves its state in it

        def restore(lq: Tensor, pair: ValidationPair) -> Tensor:
            padded = pad_to_multiple(lq, downsampling_of(self.base.vae))
            conditioning = self.base.condition([""], [""], size=(padded.shape[-2], padded.shape[-1]))
            lq_latents = encoded(self.base.vae, padded, is_sampled=False)
            latents = sampled_latents(
                network,
                padded,
                conditioning,
                lq_latents=lq_latents,
                noise=validation_noise(lq_latents, numbers[id(pair)]),
                scheduler=scheduler,
                num_inference_steps=steps,
            )
            return crop_to(self.base.system({}).decode_features(latents), *lq.shape[-2:])

        return validate_pairs(restore, self._pairs, device=device)

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write a folder for each part that is trained; the rest of the base is not copied."""
        save_xl_parts(self.network, weights, folder)


def task_of(labels: list[float]) -> str:
    """What is to be done about a picture's degradations.

    Args:
        labels: (D,), in the order of `list_degradations()`, above 0 for what is there. What has no task prompt, as in
            single domains, is left out.
    """
    present = [name for name, value in zip(list_degradations(), labels, strict=True) if value > 0]
    return task_prompt(name for name in present if name in TASK_PROMPTS)


@torch.no_grad()
def sampled_latents(
    network: nn.Module,
    lq: Tensor,
    conditioning: XLConditioning,
    *,
    lq_latents: Tensor,
    noise: Tensor,
    scheduler: Any,
    num_inference_steps: int,
) -> Tensor:
    """Latents that the network restores from the noised latents of damaged pictures.

    Args:
        network: An `XLRestorer`.
        lq: (B, 3, H, W), in [0, 1].
        conditioning: Of the pictures.
        lq_latents: (B, C, h, w), scaled, of the frozen autoencoder.
        noise: Same shape, standard normal.
        scheduler: Is left in another state.
        num_inference_steps: Of the whole schedule.

    Returns:
        (B, C, h, w), float32, scaled.
    """

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        return network(latents, timestep.expand(len(latents)), lq=lq, conditioning=conditioning)

    return sample_whole(
        predict,
        lq_latents,
        noise,
        scheduler=scheduler,
        num_inference_steps=num_inference_steps,
        begins_from_lq=True,
    )


def prepare_fusion(config: FusionTrainingConfig) -> Prepared:
    """The network that a run trains, and what is frozen beside it."""
    network = create_restorer(config)
    task = FusionTask(config, network=network)
    network.set_counts(passes=network.trains_all_after or 0, not_lower=network.plateau or 0)  # when most is trained
    log_memory_estimate(config, task=task, network=network, frozen=network.base.modules())
    network.set_counts(passes=0, not_lower=0)
    return Prepared(network=network, task=task, skips_weights=True)


def create_restorer(config: FusionTrainingConfig) -> XLRestorer:
    """New parts upon the base, or those of an earlier run.

    Raises:
        ConfigError: the earlier run has another fusion, or parts do not fit the base.
        WeightsError: a part is missing or damaged.
    """
    base, unet = load_xl_base(config.base)
    torch.manual_seed(config.run.seed)
    lq_encoder = LQEncoder.from_vae(base.vae)
    base.cast(getattr(torch, config.base.dtype))
    fusion = create_fusion(config, unet=unet, lq_encoder=lq_encoder)
    if config.init_from is not None:
        unet, lq_encoder = earlier_parts(config.init_from, unet=unet)
    if config.base.gradient_checkpointing:
        lq_encoder.enable_gradient_checkpointing()
        lq_encoder.train()
    if config.switch.unet == "lora":
        add_low_rank(unet, rank=config.switch.lora_rank)
    else:
        unet.requires_grad_(config.switch.unet == "full")
    after, accumulation = config.switch.after_steps, config.run.gradient_accumulation_steps
    lq_encoder.requires_grad_(config.cache is None)
    network = XLRestorer(
        base,
        unet=unet,
        lq_encoder=lq_encoder,
        fusion=fusion,
        trains_all_after=None if after is None else after * accumulation,
        plateau=config.switch.plateau,
    )
    if after is None and config.switch.plateau is None:
        for weight in network.trained_later:
            weight.requires_grad_(False)
    return network


def create_fusion(
    config: FusionTrainingConfig, *, unet: UNet2DConditionModel, lq_encoder: LQEncoder
) -> LatentFusion | None:
    """A new fusion that fits the base, or that of an earlier run.

    Raises:
        ConfigError: sizes do not fit.
        WeightsUnavailableError: the earlier run has none.
    """
    sizes = config.fusion
    if sizes.kind == "none":
        return None
    name = {"daff": "daff", "rsa": "residual_alignment"}[sizes.kind]
    if config.init_from is not None:
        found = earlier_fusion(config.init_from)
        if found is None or name_of_fusion(found) != name:
            raise WeightsUnavailableError(
                f"{config.init_from} has no {name}; give the export of a run with fusion.kind: {sizes.kind}"
            )
        return found
    widths = tuple(unet.config["block_out_channels"])
    if sizes.kind == "rsa":
        return ResidualAlignment(
            widths[0], lq_encoder.last_channels, num_heads=sizes.num_heads, num_blocks=sizes.num_blocks
        )
    text_dim = unet.config["cross_attention_dim"]
    daff = DAFF(
        places=sizes.places,
        block_out_channels=widths,
        lq_channels=widths[0] if sizes.lq == "latent" else lq_encoder.last_channels,
        text_dim=(text_dim if isinstance(text_dim, int) else text_dim[0]) if sizes.has_text else None,
        lq=sizes.lq,
        patch_size=sizes.patch_size,
        dim=sizes.dim,
        head_dim=sizes.head_dim,
        num_double=sizes.num_double,
        num_single=sizes.num_single,
        layout=sizes.layout,
        position_scale=sizes.position_scale,
    )
    if sizes.focus is not None:
        look_at_own_place(daff, sharpness=sizes.focus)
    return daff


def earlier_fusion(folder: Path) -> LatentFusion | None:
    """The fusion of an earlier run; None where it had none.

    Raises:
        WeightsError: it is damaged.
    """
    name = next((name for name in FUSIONS if (folder / name).is_dir()), None)
    if name is None:
        return None
    fusion: LatentFusion = load_trained_part(folder, name, table=UNILDIFF_PARTS, dtype=torch.float32)
    return fusion


def earlier_parts(folder: Path, *, unet: UNet2DConditionModel) -> tuple[UNet2DConditionModel, LQEncoder]:
    """U-Net and LQ encoder of an earlier run; the base's U-Net where the run did not train it.

    Raises:
        ConfigError: the U-Net is no SDXL's of the base's sizes.
        WeightsError: a part is missing or damaged.
    """
    lq_encoder = load_trained_part(folder, "lq_encoder", table=UNILDIFF_PARTS, dtype=torch.float32)
    if not (folder / "unet").is_dir():
        return unet, lq_encoder
    trained: UNet2DConditionModel = load_part(UNet2DConditionModel, folder / "unet")
    check_xl_unet_config(trained.config)
    if trained.config["block_out_channels"] != unet.config["block_out_channels"]:
        raise ConfigError(
            f"the U-Net of {folder} has widths {list(trained.config['block_out_channels'])}, the base's "
            f"{list(unet.config['block_out_channels'])}; give the base that it was trained upon"
        )
    if unet.is_gradient_checkpointing:
        trained.enable_gradient_checkpointing()
        trained.train()
    return trained, lq_encoder
