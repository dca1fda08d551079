"""The autoencoder's decoder in training, with UniLDiff's detail experts in it."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather

from ldrestore.blocks.observation import observed
from ldrestore.blocks.routing import Routing, balance_loss
from ldrestore.refiners.daem import DetailExpertModule
from ldrestore.systems.unildiff import UniLDiff


class DecodedPictures(NamedTuple):
    """What a pass gives."""

    restored: Tensor
    """(B, 3, H, W), float32, not clipped."""
    balance: Tensor | None
    """Scalar, how unevenly the experts are used over the batches of all processes; None without experts."""


class ExpertDecoder(nn.Module):
    """Autoencoder and experts as one network; the autoencoder's encoder is frozen, its decoder trained where asked."""

    def __init__(self, vae: AutoencoderKL, daem: DetailExpertModule | None, *, trains_decoder: bool) -> None:
        """Put them together.

        Args:
            vae: In float32; made trainable or not here.
            daem: In training; None decodes without.
            trains_decoder: Whether the decoder, with what comes before it, is trained.
        """
        super().__init__()
        self.vae, self.daem = vae.requires_grad_(False), daem
        for part in (vae.decoder, vae.post_quant_conv):
            if part is not None:
                part.requires_grad_(trains_decoder)

    def forward(self, latents: Tensor, features: Sequence[Tensor], lq: Tensor) -> DecodedPictures:
        """Decode.

        Args:
            latents: (B, C, h, w), scaled.
            features: The LQ encoder's, of the damaged pictures, the full resolution first.
            lq: (B, 3, H, W), in [0, 1], these pictures.
        """
        parts = {"vae": self.vae, "unet": None, "lq_encoder": None, "daem": self.daem}
        system = UniLDiff(parts, attachment=None)
        if self.daem is None:
            return DecodedPictures(system.decode_features(latents).float(), None)
        with observed(self.daem.routers) as routings:
            restored = system.decode_features(latents, features, lq).float()
        top_k: int = self.daem.config["top_k"]
        losses = [balance_loss(of_all_processes(one), correction=0, top_k=top_k) for one in routings.values()]
        return DecodedPictures(restored, torch.stack(losses).mean())


def of_all_processes(routing: Routing) -> Routing:
    """What the same router said in all processes, so that the balance is that of the whole batch.

    Gradients go back to where each row came from. Accumulated passes are balanced each by itself.
    """
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return routing
    return Routing(*(torch.cat(all_gather(values)) for values in routing))
