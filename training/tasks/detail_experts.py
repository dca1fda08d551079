"""Trains UniLDiff's stage 2: the decoder with its detail experts, upon what stage 1 samples."""

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.utils.data import Dataset

from ldrestore.checkpoints.run_exports import load_trained_part
from ldrestore.errors import ConfigError
from ldrestore.metrics.dists import Dists
from ldrestore.metrics.lpips import Lpips
from ldrestore.metrics.metric_weights import read_metric_weights
from ldrestore.refiners.daem import DetailExpertModule
from ldrestore.refiners.refined_decoder import downsampling_of
from ldrestore.systems.unildiff_parts import UNILDIFF_PARTS
from ldrestore.training.config import StageConfig
from ldrestore.training.data.loading import Batch
from ldrestore.training.data.pair_cache import cached_pairs
from ldrestore.training.data.training_data import create_dataset
from ldrestore.training.entry import Prepared
from ldrestore.training.loop.memory_estimate import log_memory_estimate
from ldrestore.training.losses.diffusion_loss import encoded
from ldrestore.training.losses.picture_losses import l1_loss, ssim_loss
from ldrestore.training.losses.refined_validation import RefinedValidation
from ldrestore.training.losses.validation import ValidationPair
from ldrestore.training.networks.expert_decoder import ExpertDecoder
from ldrestore.training.networks.frozen_base import load_part
from ldrestore.training.networks.rebuilding import save_part
from ldrestore.training.networks.short_sampling import validation_noise
from ldrestore.training.networks.xl_restorer import XLRestorer, load_xl_base
from ldrestore.training.tasks.decoded_latents import latents_to_decode
from ldrestore.training.tasks.detail_experts_config import DetailExpertsTrainingConfig, ExpertSizes
from ldrestore.training.tasks.fusion import earlier_fusion, earlier_parts, sampled_latents


class DetailExpertsTask:
    """The task that the loop trains."""

    def __init__(self, config: DetailExpertsTrainingConfig, *, network: ExpertDecoder, restorer: XLRestorer) -> None:
        """Keep what is needed, freeze stage 1, and read the pictures of the validation.

        Args:
            config: What the run depends on.
            network: The one that is trained.
            restorer: Of stage 1; has the base and the LQ encoder.
        """
        self.config, self.network, self.base = config, network, restorer.base
        self.restorer = restorer.requires_grad_(False).eval()
        self.scheduler = deepcopy(self.base.scheduler)  # sampling leaves its state in it
        self.distances = create_distances(config)
        self._validation = RefinedValidation(config.validation, factor=downsampling_of(self.base.vae), plain="plain")

    def dataset(self, stage: StageConfig) -> Dataset[Any]:
        """Pairs of the stage's patch size, drawn anew or cached with their samples."""
        if self.config.cache is None:
            return create_dataset(self.config.data, patch_size=stage.patch_size, seed=self.config.run.seed)
        return cached_pairs(
            self.config.cache,
            self.config.data,
            patch_size=stage.patch_size,
            settings={"decodes": self.config.decodes, "steps": self.config.latents.max_steps},
            networks=(self.base.vae, self.restorer),
            compute=self._sampled_rows,
        )

    def _sampled_rows(self, batch: Batch) -> dict[str, Tensor]:
        """What a cache keeps of pairs: both pictures, and latents of lq by the longest schedule."""
        device = self.restorer.lq_encoder.device
        self._to(device)
        lq = batch["lq"].to(device)
        return {
            "lq": lq,
            "gt": batch["gt"],
            "sampled": self._sampled(lq, len(lq), self.config.latents.max_steps),
        }

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 10: reconstruction, structure and balance.

        Args:
            model: An `ExpertDecoder`, wrapped or not.
            batch: "lq" and "gt", (B, 3, P, P), in [0, 1]; of a cache "sampled" too, (B, C, h, w).

        Returns:
            The sum of all, and each by name, with its weight.
        """
        lq, gt, weights = batch["lq"], batch["gt"], self.config.loss
        self._to(lq.device)
        with torch.no_grad():
            features = self.restorer.lq_encoder(lq).features
        sample = partial(self._sampled, lq) if "sampled" not in batch else lambda num, _: batch["sampled"][:num]
        latents = latents_to_decode(gt, vae=self.base.vae, config=self.config.latents, sample=sample)
        restored, balance = model(latents, features, lq)
        parts = {"l1": weights.l1 * l1_loss(restored, gt).mean()}
        if weights.ssim:
            parts["ssim"] = weights.ssim * ssim_loss(restored, gt).mean()
        if balance is not None:
            parts["balance"] = weights.balance * balance
        for name, distance in self.distances.items():
            parts[name] = getattr(weights, name) * distance(restored, gt).mean()
        return torch.stack(list(parts.values())).sum(), parts

    def _to(self, device: torch.device) -> None:
        """Bring what is frozen to where the training happens."""
        self.base.to(device)
        self.restorer.to(device)
        for distance in self.distances.values():
            distance.to(device)

    def _sampled(self, lq: Tensor, num: int, steps: int) -> Tensor:
        """Latents that stage 1 restores of the first pictures."""
        lq_latents = encoded(self.base.vae, lq[:num], is_sampled=False)
        return self._restored(lq[:num], lq_latents, torch.randn_like(lq_latents), steps=steps)

    def _restored(self, lq: Tensor, lq_latents: Tensor, noise: Tensor, *, steps: int) -> Tensor:
        """Latents that stage 1 restores, prompt-free; or those of the damaged pictures, where these are decoded."""
        if self.config.decodes == "lq":
            return lq_latents
        texts = [""] * len(lq)
        return sampled_latents(
            self.restorer,
            lq,
            self.base.condition(texts, texts, size=(lq.shape[-2], lq.shape[-1])),
            lq_latents=lq_latents,
            noise=noise,
            scheduler=self.scheduler,
            num_inference_steps=steps,
        )

    def validate(self, network: nn.Module) -> dict[str, float]:
        """PSNR of pictures that are restored with the longest schedule, by recipe, and with the base's own decoder.

        The latter as "plain/...".
        """
        if not self._validation.pairs:
            return {}
        device = next(network.parameters()).device
        self._to(device)

        def decode(lq: Tensor, pair: ValidationPair, is_refined: bool) -> Tensor:
            latents = self._validation.latents(pair, partial(self._validation_latents, lq))
            if not is_refined:
                return self.base.system({}).decode_features(latents)
            restored: Tensor = network(latents, self.restorer.lq_encoder(lq).features, lq).restored
            return restored

        return self._validation.measure(decode, device=device)

    def _validation_latents(self, lq: Tensor, number: int) -> Tensor:
        """Sampled with noise of its own."""
        lq_latents = encoded(self.base.vae, lq, is_sampled=False)
        noise = validation_noise(lq_latents, number)
        return self._restored(lq, lq_latents, noise, steps=self.config.latents.max_steps)

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write the module, and the autoencoder where its decoder was trained."""
        parts = {"daem": self.network.daem, "vae": self.network.vae if self.config.trains_decoder else None}
        for name, part in parts.items():
            if part is not None:
                save_part(part, weights, folder, name=name)


def prepare_detail_experts(config: DetailExpertsTrainingConfig) -> Prepared:
    """The decoder that a run trains, and what is frozen beside it."""
    base, unet = load_xl_base(config.base)
    network = create_decoder(config, vae=deepcopy(base.vae))
    base.cast(getattr(torch, config.base.dtype))
    unet, lq_encoder = earlier_parts(config.restorer, unet=unet)
    fusion = earlier_fusion(config.restorer)
    restorer = XLRestorer(base, unet=unet, lq_encoder=lq_encoder, fusion=fusion, trains_all_after=None)
    task = DetailExpertsTask(config, network=network, restorer=restorer)
    log_memory_estimate(
        config, task=task, network=network, frozen=[*base.modules(), restorer, *task.distances.values()]
    )
    return Prepared(network=network, task=task, skips_weights=config.has_experts)


def create_decoder(config: DetailExpertsTrainingConfig, *, vae: AutoencoderKL) -> ExpertDecoder:
    """A new module around a copy of the base's autoencoder, or both of an earlier run.

    Raises:
        ConfigError: the earlier run was done upon another autoencoder.
        WeightsError: a part of it is missing or damaged.
    """
    torch.manual_seed(config.run.seed)
    start = config.init_from
    if start is not None and (start / "vae").is_dir():
        vae = _upon_same_widths(load_part(AutoencoderKL, start / "vae"), vae=vae)
    daem = None
    if config.has_experts:
        daem = create_experts(config.sizes, vae=vae) if start is None else earlier_experts(start, vae=vae)
    if config.base.gradient_checkpointing:
        vae.enable_gradient_checkpointing()
    return ExpertDecoder(vae, daem, trains_decoder=config.trains_decoder)


def create_experts(sizes: ExpertSizes, *, vae: AutoencoderKL) -> DetailExpertModule:
    """A new module, without an effect yet."""
    return DetailExpertModule(
        tuple(vae.config["block_out_channels"]),
        sizes.hidden_channels,
        head_dim=sizes.head_dim,
        num_blocks=sizes.num_blocks,
        top_k=sizes.top_k,
        routing=sizes.routing,
        patch_size=sizes.patch_size,
    )


def earlier_experts(folder: Path, *, vae: AutoencoderKL) -> DetailExpertModule:
    """The module of an earlier run."""
    return _upon_same_widths(load_trained_part(folder, "daem", table=UNILDIFF_PARTS, dtype=torch.float32), vae=vae)


def _upon_same_widths(part: Any, *, vae: AutoencoderKL) -> Any:
    """A part of the earlier run, refused where it belongs to another autoencoder than the base's."""
    widths, expected = (list(each.config["block_out_channels"]) for each in (part, vae))
    if widths != expected:
        raise ConfigError(
            f"the {type(part).__name__} of init_from has widths {widths}, the base's autoencoder {expected}; give the "
            "base that it was trained upon"
        )
    return part


def create_distances(config: DetailExpertsTrainingConfig) -> dict[str, nn.Module]:
    """The distances that the config weighs, by name.

    Raises:
        WeightsUnavailableError: their weights have not been fetched.
    """
    distances: dict[str, nn.Module] = {}
    if config.loss.lpips:
        trunk = config.loss.lpips_trunk
        distances["lpips"] = Lpips(trunk, read_metric_weights("lpips" if trunk == "alex" else "lpips_vgg"))
    if config.loss.dists:
        distances["dists"] = Dists(read_metric_weights("dists"))
    return distances
