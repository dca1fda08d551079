"""What frozen networks say of damaged pictures before anything is denoised."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ldrestore.errors import ConfigError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.training.losses.diffusion_loss import encoded
from ldrestore.training.networks.frozen_base import FrozenBase


@dataclass(frozen=True, slots=True, eq=False)
class LqFeatures:
    """Of B damaged pictures."""

    lq_latents: Tensor
    """(B, C, h, w), the mode of the posterior, scaled."""
    embeddings: Tensor
    """(B, K, D), of CLIP's tower, one a view."""
    probabilities: Tensor
    """(B, N), P."""

    def expand(self, num: int) -> "LqFeatures":
        """That of one picture, for `num` noised versions of it."""
        known = (self.lq_latents, self.embeddings, self.probabilities)
        return LqFeatures(*(one.expand(num, *one.shape[1:]) for one in known))

    def first(self, num: int) -> "LqFeatures":
        """That of the first `num` pictures."""
        return LqFeatures(self.lq_latents[:num], self.embeddings[:num], self.probabilities[:num])


@torch.no_grad()
def lq_features_of(
    lq: Tensor,
    *,
    base: FrozenBase,
    predictor: DegradationPredictor,
    lq_latents: Tensor | None = None,
) -> LqFeatures:
    """Latents, embeddings and probabilities of damaged pictures; the frozen networks move to where these are.

    Args:
        lq: (B, 3, H, W), in [0, 1].
        base: Has the tower and the autoencoder.
        predictor: Frozen; says what the tower is shown.
        lq_latents: (B, C, h, w), scaled, where they are known already; None encodes the pictures.
    """
    base.to(lq.device)
    system = base.system({"predictor": predictor.to(lq.device)})
    embeddings = system.embed(lq)  # (B, K, D)
    lq_latents = encoded(base.vae, lq, is_sampled=False) if lq_latents is None else lq_latents
    return LqFeatures(lq_latents, embeddings, system.probabilities(embeddings))


def check_predictor(predictor: DegradationPredictor, base: FrozenBase) -> None:
    """Refuse a predictor that was trained upon another tower.

    Raises:
        ConfigError: it was.
    """
    if predictor.config["embedding_dim"] != base.tower.dim:
        raise ConfigError(
            f"the predictor reads embeddings of width {predictor.config['embedding_dim']}, the tower's are "
            f"{base.tower.dim} wide; give the predictor that was trained upon this tower"
        )


def as_picture(pixels: Tensor, device: torch.device) -> Tensor:
    """(3, H, W) uint8 to (1, 3, H, W) in [0, 1], on the device."""
    return pixels.to(device).float().div(255.0).unsqueeze(0)
