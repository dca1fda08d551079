"""The refined decoder in training, beside the discriminator that judges it."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ldrestore.refiners.drm import DetailRefinementModule
from ldrestore.training.losses.discriminator import PatchDiscriminator
from ldrestore.training.networks.frozen_base import FrozenBase


class JudgedPictures(NamedTuple):
    """What a pass gives; scores are None before the discriminator takes part."""

    restored: Tensor
    """(B, 3, H, W), not clipped."""
    restored_scores: Tensor | None = None
    """(B, 1, h, w), whose gradients reach the refinement module and not the discriminator."""
    detached_scores: Tensor | None = None
    """Same shape, whose gradients reach the discriminator and not the module."""
    gt_scores: Tensor | None = None
    """Same shape, of the ground truth, for the discriminator."""


class JudgedDecoder(nn.Module):
    """Module and discriminator as one network, so that one optimizer and one checkpoint hold both.

    Their losses share no gradient, so one backward pass over the sum of both is two steps of a game.
    """

    num_passes: Tensor

    def __init__(self, base: FrozenBase, drm: DetailRefinementModule, judge: PatchDiscriminator | None) -> None:
        """Put them together.

        Args:
            base: Frozen, has the autoencoder; copies of this network share it.
            drm: In training.
            judge: In training; None to train without it.
        """
        super().__init__()
        self.base, self.drm, self.judge = base, drm, judge
        self.register_buffer("num_passes", torch.zeros((), dtype=torch.int64))

    def forward(
        self,
        latents: Tensor,
        features: Sequence[Tensor],
        probabilities: Tensor,
        gt: Tensor | None = None,
        *,
        judges_from: int | None = None,
    ) -> JudgedPictures:
        """Decode, and judge where it is time to.

        Passes in training mode are counted; the count is part of checkpoints, so that a resumed run goes on with it.

        Args:
            latents: (B, C, h, w), scaled.
            features: The encoder's, of the damaged pictures, the full resolution first.
            probabilities: (B, N), P.
            gt: (B, 3, H, W), in [0, 1]; for the discriminator.
            judges_from: Passes in training after which the discriminator takes part; None for never.
        """
        is_judged = self.training and judges_from is not None and int(self.num_passes) >= judges_from
        self.num_passes += int(self.training)  # before all else: reading a count cuts a compiled pass in two
        restored = self.base.system({"drm": self.drm}).decode_features(latents, features, probabilities)
        restored = restored.float()  # the autoencoder may be of another type than the discriminator
        if self.judge is None or gt is None or not is_judged:
            return JudgedPictures(restored)
        self.judge.requires_grad_(False)
        restored_scores = self.judge(restored)
        self.judge.requires_grad_(True)
        return JudgedPictures(restored, restored_scores, self.judge(restored.detach()), self.judge(gt))
