"""What the loop needs to train the small prior's autoencoder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate

from ldrestore.datasets.synthetic import SyntheticDataset
from ldrestore.training.config import StageConfig
from ldrestore.training.data.loading import Batch
from ldrestore.training.data.shown_pictures import show_pictures
from ldrestore.training.losses.picture_losses import l1_loss
from ldrestore.training.losses.validation import create_pairs, psnr_8bit
from ldrestore.training.networks.rebuilding import rebuilt
from ldrestore.training.tasks.backbone_config import BackboneTrainingConfig

NUM_MEASURED = 32
"""Pictures over which the spread of the latents is measured."""


class VaeRoundTrip(nn.Module):
    """An autoencoder as one forward pass there and back."""

    def __init__(self, vae: AutoencoderKL) -> None:
        """Wrap it."""
        super().__init__()
        self.vae = vae

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Encode, draw from the posterior while training, decode.

        Args:
            pictures: (B, 3, H, W), in [0, 1].

        Returns:
            The pictures again, (B, 3, H, W), and the divergence of each posterior from a standard normal in nats, (B,).
        """
        posterior = self.vae.encode(pictures * 2 - 1).latent_dist
        latents = posterior.sample() if self.training else posterior.mode()
        return self.vae.decode(latents).sample / 2 + 0.5, posterior.kl()


class VaeTask:
    """The task that the loop trains."""

    def __init__(
        self,
        config: BackboneTrainingConfig,
        *,
        network: VaeRoundTrip,
        perceptual: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        """Keep what is needed, and read the pictures of the validation.

        Args:
            config: What the run depends on.
            network: The one that is trained.
            perceptual: Takes two pictures (B, 3, H, W) to their distances (B,); a module, or None.
        """
        self.config, self.network, self.perceptual = config, network, perceptual
        self._pairs = create_pairs(config.validation)

    def dataset(self, stage: StageConfig) -> Dataset[Any]:
        """Pairs of the stage's patch size, with severities."""
        seed = self.config.run.seed
        return SyntheticDataset(self.config.data, patch_size=stage.patch_size, seed=seed, tells_severities=True)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean absolute difference, perceptual distance and divergence, Rombach et al. 2022, App. G.

        Args:
            model: A `VaeRoundTrip`.
            batch: "lq" and "gt", (B, 3, P, P), in [0, 1], and "severities".

        Returns:
            The weighted sum, and the means of its parts.
        """
        weights = self.config.vae_loss
        pictures, _ = show_pictures(batch, (), degraded_share=self.config.degraded_share)
        again, divergence = model(pictures)
        parts = {"l1": l1_loss(again, pictures).mean(), "kl": divergence.float().mean() / pictures[0].numel()}
        total = parts["l1"] + weights.kl_weight * parts["kl"]
        if self.perceptual is not None:
            if isinstance(self.perceptual, nn.Module):
                self.perceptual.to(pictures.device)
            parts["perceptual"] = self.perceptual(again, pictures).mean()
            total = total + weights.perceptual_weight * parts["perceptual"]
        return total, parts

    def validate(self, network: nn.Module) -> dict[str, float]:
        """PSNR in dB of pictures that went through, by recipe: the ceiling of what a prior upon it can restore."""
        if not self._pairs:
            return {}
        device, factor = next(network.parameters()).device, 2 ** (len(self.config.sizes.vae.widths) - 1)
        values: dict[str, list[float]] = {}
        for pair in self._pairs:
            height, width = (side // factor * factor for side in pair.lq.shape[-2:])
            pixels = pair.lq[:, :height, :width]
            again, _ = network(pixels.to(device).float().div(255.0).unsqueeze(0))
            again = again.squeeze(0).clamp(0, 1).mul(255.0).round().to(torch.uint8).cpu()
            values.setdefault(f"round_trip/{pair.recipe}", []).append(psnr_8bit(again, pixels))
        return {name: float(np.mean(figures)) for name, figures in values.items()}

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write the autoencoder's folder; its `scaling_factor` brings the latents to unit variance."""
        own = {key.removeprefix("vae."): value for key, value in weights.items()}
        vae = rebuilt(self.network.vae, own, source="the autoencoder in training")
        vae.register_to_config(scaling_factor=1 / self._spread_of_latents(vae))
        vae.save_pretrained(folder / "vae")

    @torch.no_grad()
    def _spread_of_latents(self, vae: AutoencoderKL) -> float:
        """Standard deviation over the first clean crops of the last stage."""
        dataset = self.dataset(self.config.stages[-1])
        numbers = range(min(NUM_MEASURED, len(dataset)))  # type: ignore[arg-type]  # it has a length
        pictures = [default_collate([dataset[(0, number)]])["gt"] for number in numbers]
        return (
            torch.cat([vae.encode(picture * 2 - 1).latent_dist.mode().flatten() for picture in pictures]).std().item()
        )
