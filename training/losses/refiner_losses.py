"""Losses of the refined decoder: L1, colour, perceptual and adversarial, MPerceiver, Sec. 3.3.

Ai et al. 2024 (https://arxiv.org/abs/2312.02918) name the four and publish no weights. All give one value a picture.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.errors import ConfigError, MissingExtraError
from ldrestore.training.losses.picture_losses import l1_loss

COLOUR_FLOOR = 1e-3
"""Compared with the product of two colours' lengths: below about eight 8-bit levels each, an angle counts less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinerLossWeights:
    """How much each loss counts."""

    l1: float = 1.0
    """Weight of the mean absolute difference."""
    colour: float = 0.1
    """Weight of the mean angle between colours, in radians."""
    perceptual: float = 0.1
    """Weight of ST-LPIPS."""
    adversarial: float = 0.005
    """Weight of the discriminator's judgement, at most 0.01."""
    adversarial_from: float = 0.5
    """Share of the steps after which the discriminator starts to judge, in [0, 1]."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: a weight out of its range.
        """
        negative = [field.name for field in fields(self) if getattr(self, field.name) < 0]
        if negative:
            raise ConfigError(f"weights of losses must not be negative, got negative {', '.join(negative)}")
        if self.adversarial > 0.01:
            raise ConfigError(f"adversarial must be at most 0.01, or it rules over l1, got {self.adversarial}")
        if self.adversarial_from > 1:
            raise ConfigError(f"adversarial_from is a share of the steps in [0, 1], got {self.adversarial_from}")


def colour_loss(restored: Tensor, gt: Tensor) -> Tensor:
    """Mean angle between the RGB vectors of the same pixel, which brightness does not change.

    Wang et al. 2019 (Underexposed Photo Enhancement Using Deep Illumination Estimation, CVPR), here as an arc tangent
    of cross and dot product: exactly zero for equal pictures, with gradients that are finite everywhere, black
    included. Values below zero count as zero.

    Args:
        restored: (B, 3, H, W).
        gt: Same shape, in [0, 1].

    Returns:
        (B,), float32, in [0, pi / 2], radians.
    """
    colours = restored.float().clamp_min(0), gt.float().clamp_min(0)
    cross = torch.linalg.cross(*colours, dim=1).square().sum(dim=1)  # (B, H, W), squared lengths
    length = (cross + COLOUR_FLOOR**2).sqrt() - COLOUR_FLOOR
    dot = (colours[0] * colours[1]).sum(dim=1)
    return torch.atan2(length, dot + COLOUR_FLOOR).mean(dim=(1, 2))


class PerceptualLoss(nn.Module):
    """ST-LPIPS with AlexNet, Ghildyal and Liu 2022 (https://arxiv.org/abs/2207.13686); its weights lie in the package.

    In float32 under mixed precision too. Nothing of it is trained.
    """

    def __init__(self) -> None:
        """Load the network.

        Raises:
            MissingExtraError: stlpips-pytorch is not installed.
        """
        super().__init__()
        try:
            from stlpips_pytorch.stlpips import LPIPS
        except ImportError as error:
            raise MissingExtraError("stlpips-pytorch", "metrics", "for the perceptual loss") from error
        self.network = LPIPS(net="alex", variant="shift_tolerant", verbose=False).requires_grad_(False)

    def train(self, mode: bool = True) -> "PerceptualLoss":
        """Stay in evaluation mode: the network has dropout."""
        return super().train(False)

    def forward(self, restored: Tensor, gt: Tensor) -> Tensor:
        """The distance of each picture from its ground truth.

        Args:
            restored: (B, 3, H, W); sides of 32 pixels at least.
            gt: Same shape, in [0, 1].

        Returns:
            (B,), float32.
        """
        with torch.autocast(restored.device.type, enabled=False):
            return self.network(restored.float() * 2 - 1, gt.float() * 2 - 1).flatten()


def adversarial_loss(restored_scores: Tensor) -> Tensor:
    """What the restorer pays for being found out: the discriminator's mean score with the sign turned.

    Lim and Ye 2017, Geometric GAN (https://arxiv.org/abs/1705.02894), the hinge loss.

    Args:
        restored_scores: (B, 1, h, w), of restored pictures.

    Returns:
        (B,), float32.
    """
    return -restored_scores.float().mean(dim=(1, 2, 3))


def discriminator_loss(restored_scores: Tensor, gt_scores: Tensor) -> Tensor:
    """Hinge loss of the discriminator: real patches shall score above 1, restored ones below -1.

    Args:
        restored_scores: (B, 1, h, w), of restored pictures without their gradients.
        gt_scores: Same shape, of the ground truth.

    Returns:
        (B,), float32, not negative.
    """
    hinges = F.relu(1 + restored_scores.float()) + F.relu(1 - gt_scores.float())
    return hinges.mean(dim=(1, 2, 3))


def refiner_losses(
    restored: Tensor,
    gt: Tensor,
    *,
    weights: RefinerLossWeights,
    perceptual: PerceptualLoss | None,
    restored_scores: Tensor | None = None,
) -> dict[str, Tensor]:
    """All losses of the module, each with its weight; their sum is what it is trained on.

    Args:
        restored: (B, 3, H, W), not clipped.
        gt: Same shape, in [0, 1].
        weights: How much each counts; what counts nothing is not computed.
        perceptual: The perceptual loss; None where its weight is 0.
        restored_scores: (B, 1, h, w), the discriminator's; None before it takes part.

    Returns:
        By name, (B,), float32.

    Raises:
        ConfigError: a perceptual weight without the loss.
    """
    losses = {"l1": weights.l1 * l1_loss(restored, gt)}
    if weights.colour:
        losses["colour"] = weights.colour * colour_loss(restored, gt)
    if weights.perceptual:
        if perceptual is None:
            raise ConfigError("a perceptual weight above 0 needs the perceptual loss, got None")
        losses["perceptual"] = weights.perceptual * perceptual(restored, gt)
    if weights.adversarial and restored_scores is not None:
        losses["adversarial"] = weights.adversarial * adversarial_loss(restored_scores)
    return losses
