"""UniLDiff in training upon SDXL: what is trained in stage 1 as one network, and what stays frozen beside it."""

import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from ldrestore.adapters.fusion_attachment import FusionAttachment, LatentFusion, attach_fusion
from ldrestore.adapters.lq_encoder import EncodedLQ, LQEncoder
from ldrestore.checkpoints.base_model import load_base_parts
from ldrestore.checkpoints.sdxl import sdxl
from ldrestore.errors import ConfigError
from ldrestore.prompts.xl_text import XLText
from ldrestore.systems.unildiff import UniLDiff
from ldrestore.systems.unildiff_parts import UNILDIFF_PARTS, name_of_fusion
from ldrestore.systems.unildiff_texts import XLConditioning, reader_of, xl_conditioning
from ldrestore.training.networks.frozen_base import PredictionType
from ldrestore.training.networks.rebuilding import rebuilt, weights_of_part

logger = logging.getLogger(__name__)

UnetTraining = Literal["full", "lora", "frozen"]
"""What of the U-Net is trained after the switch: all, low-rank additions to its attentions, or nothing."""

LORA_PLACES = ("to_q", "to_k", "to_v", "to_out.0")
"""Layers of the U-Net's attentions that get low-rank additions, Hu et al. 2021 (https://arxiv.org/abs/2106.09685)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class XLBaseConfig:
    """Which SDXL is trained upon."""

    path: str
    """Folder in the layout of diffusers, a Hub repository such as "stabilityai/stable-diffusion-xl-base-1.0", or a
    single file in SDXL's original layout, which has no tokenizers."""
    prediction_type: PredictionType | None = None
    """What the U-Net predicts; null for what the base's scheduler says. A single file needs it: "epsilon" for SDXL."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the frozen autoencoder and text encoders; what is trained is in float32."""
    gradient_checkpointing: bool = False
    """Whether the states of U-Net and LQ encoder are computed again in the backward pass: slower, with less memory."""


@dataclass(slots=True, kw_only=True, eq=False)
class FrozenXLBase:
    """Parts that are not trained. It is no module, so that nothing finds their weights; copies share them."""

    vae: AutoencoderKL
    """Pictures to latents."""
    text_encoder: CLIPTextModel
    """CLIP's."""
    text_encoder_2: CLIPTextModelWithProjection
    """OpenCLIP's."""
    tokenizer: Any
    """Of the first."""
    tokenizer_2: Any
    """Of the second."""
    scheduler: Any
    """Noise levels and prediction type."""
    _known: dict[str, XLText] = field(default_factory=dict, init=False)
    """Texts that were read, (L, D) and (D2,) each."""

    def __post_init__(self) -> None:
        """Freeze everything.

        Raises:
            ConfigError: there are no tokenizers to read prompts with.
        """
        if self.tokenizer is None or self.tokenizer_2 is None:
            raise ConfigError(
                "base: a single file has no tokenizers; give a folder or a repository in the layout of diffusers"
            )
        for part in self.modules():
            part.requires_grad_(False).eval()

    def __deepcopy__(self, memo: dict[int, Any]) -> "FrozenXLBase":
        """Itself: averaged weights use the same base."""
        return self

    def modules(self) -> tuple[nn.Module, ...]:
        """All frozen networks."""
        return self.vae, self.text_encoder, self.text_encoder_2

    def to(self, device: torch.device) -> None:
        """Move everything to where the training happens; does nothing once it is there."""
        if self.vae.device != device:
            for part in self.modules():
                part.to(device)

    def cast(self, dtype: torch.dtype) -> None:
        """Lower the number format of all weights; what is copied of them is copied before."""
        self._known.clear()
        for part in self.modules():
            nn.Module.to(part, dtype)  # diffusers' own `to` warns of parts kept in float32, of which are none

    def condition(
        self, captions: list[str], tasks: list[str], *, size: tuple[int, int], has_reader: bool = True
    ) -> XLConditioning:
        """Read texts, see `unildiff_texts.xl_conditioning`; what is read is kept, since the texts are few."""
        return xl_conditioning(captions, tasks, size=size, read=self._read, has_reader=has_reader)

    def system(self, trained: Mapping[str, Any], *, attachment: FusionAttachment | None = None) -> UniLDiff:
        """The system upon this base.

        Args:
            trained: Parts by the names of `UNILDIFF_PARTS`, and the U-Net; those left out are missing.
            attachment: Of the fusion to the U-Net; None where there is none, or where nothing is predicted.
        """
        missing = dict.fromkeys(("unet", *UNILDIFF_PARTS.trained))
        return UniLDiff({**missing, "vae": self.vae, **trained}, attachment=attachment)

    def _read(self, texts: Sequence[str]) -> XLText:
        """Embed texts that were not read before."""
        new = [text for text in texts if text not in self._known]
        if new:
            names = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
            found = reader_of({name: getattr(self, name) for name in names})(new)
            pairs = zip(found.prompt_embeds, found.pooled, strict=True)
            self._known |= {text: XLText(*pair) for text, pair in zip(new, pairs, strict=True)}
        rows, device = [self._known[text] for text in texts], self.text_encoder.device
        return XLText(
            torch.stack([row.prompt_embeds for row in rows]).to(device),
            torch.stack([row.pooled for row in rows]).to(device),
        )


def load_xl_base(config: XLBaseConfig) -> tuple[FrozenXLBase, UNet2DConditionModel]:
    """What stays frozen, in float32 until it is cast, and the U-Net in float32, which may be trained.

    Raises:
        WeightsUnavailableError: nothing lies there.
        WeightsError: a part is missing, damaged or of another kind, such as a Stable Diffusion 2.1.
        ConfigError: nothing says what it predicts, or it has no tokenizers.
    """
    parts = load_base_parts(config.path, layout=sdxl(), prediction_type=config.prediction_type)
    unet: UNet2DConditionModel = parts.pop("unet")
    base = FrozenXLBase(**parts)
    if config.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
        unet.train()  # blocks are computed again in training mode only; it has no dropout
    return base, unet


class XLRestorer(nn.Module):
    """Fusion, LQ encoder and U-Net as one network, so that one optimizer, one average and one checkpoint hold them.

    The fusion is trained from the start. The two others are trained after the switch, which comes after so many passes
    in training, or when the validated loss stays where it is; what is counted for that is part of checkpoints.
    """

    num_passes: Tensor
    lowest_loss: Tensor
    num_not_lower: Tensor

    def __init__(
        self,
        base: FrozenXLBase,
        *,
        unet: UNet2DConditionModel,
        lq_encoder: LQEncoder,
        fusion: LatentFusion | None,
        trains_all_after: int | None,
        plateau: int | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            base: Frozen; copies of this network share it.
            unet: In float32; with low-rank additions where these are trained in its place.
            lq_encoder: A copy of the autoencoder's encoder at first.
            fusion: DAFF or RSA; None leaves the damaged picture to where sampling starts.
            trains_all_after: Passes in training before the switch; None for never.
            plateau: Validations in a row without a lower loss that bring the switch before; None for none.
        """
        super().__init__()
        self.base, self.unet, self.lq_encoder, self.fusion = base, unet, lq_encoder, fusion
        self.trains_all_after, self.plateau = trains_all_after, plateau
        named = self.named_parameters()
        self._later = [name for name, weight in named if weight.requires_grad and not name.startswith("fusion.")]
        self.register_buffer("num_passes", torch.zeros((), dtype=torch.int64))
        if plateau is not None:
            self.register_buffer("lowest_loss", torch.tensor(torch.inf))
            self.register_buffer("num_not_lower", torch.zeros((), dtype=torch.int64))
        self._attachment: FusionAttachment | None = None
        self._was_trained = True

    def __deepcopy__(self, memo: dict[int, Any]) -> "XLRestorer":
        """A network of its own upon the same base: hooks of the one must not reach into the other."""
        self.detach()
        copied = XLRestorer(
            self.base,
            unet=deepcopy(self.unet),
            lq_encoder=deepcopy(self.lq_encoder),
            fusion=deepcopy(self.fusion),
            trains_all_after=self.trains_all_after,
            plateau=self.plateau,
        )
        copied._later = self._later
        for kept, buffer in zip(copied.buffers(), self.buffers(), strict=True):
            kept.copy_(buffer)
        return copied.train(self.training)

    @property
    def trained_later(self) -> list[nn.Parameter]:
        """Weights that wait for the switch, found anew: what shares them out among processes puts others in place."""
        weights = dict(self.named_parameters())
        return [weights[name] for name in self._later]

    @property
    def trains_all(self) -> bool:
        """Whether U-Net and LQ encoder are trained by now."""
        has_passed = self.trains_all_after is not None and int(self.num_passes) >= self.trains_all_after
        return has_passed or (self.plateau is not None and int(self.num_not_lower) >= self.plateau)

    def set_counts(self, *, passes: int, not_lower: int) -> None:
        """Set what decides on the switch.

        Args:
            passes: In training.
            not_lower: Validations in a row without a lower loss; not looked at without a plateau.
        """
        self.num_passes.fill_(passes)
        if self.plateau is not None:
            self.num_not_lower.fill_(not_lower)

    def look_for_plateau(self, loss: float) -> None:
        """Count a validation before the switch; enough of them without a lower loss bring it.

        Args:
            loss: Of the validation, the same in all processes.
        """
        if self.plateau is None or self.trains_all:
            return
        rounded = self.lowest_loss.new_tensor(loss)  # the lowest is kept in float32, too
        if rounded < self.lowest_loss:
            self.lowest_loss.copy_(rounded)
            self.num_not_lower.zero_()
            return
        self.num_not_lower += 1
        if self.trains_all:
            logger.info(
                "pass %d: the loss was not lower in %d validations; stage 1a ends", int(self.num_passes), self.plateau
            )

    def forward(
        self, noised: Tensor, timesteps: Tensor, lq: Tensor | EncodedLQ, conditioning: XLConditioning
    ) -> Tensor:
        """What the U-Net predicts with the damaged pictures in it, Eq. 1 to 5.

        Args:
            noised: (B, C, h, w), z_t.
            timesteps: (B,).
            lq: (B, 3, H, W), in [0, 1]; or what the LQ encoder made of it, which is not trained then.
            conditioning: Of the B pictures.

        Returns:
            (B, C, h, w), noise or velocity as the base's scheduler says.
        """
        if self.training and torch.is_grad_enabled():  # what is drawn without gradients is no step
            self._switch()
            self.num_passes += 1
        system = self.base.system(self.parts(), attachment=self._attached())
        return system.predict_batch(noised, timesteps, lq, conditioning)

    def detach(self) -> None:
        """Take the fusion off the U-Net; the next pass attaches it again."""
        if self._attachment is not None:
            self._attachment.detach()
        self._attachment = None

    def parts(self) -> dict[str, Any]:
        """What a pipeline takes, by its name there."""
        fusion = {} if self.fusion is None else {name_of_fusion(self.fusion): self.fusion}
        return {"unet": self.unet, "lq_encoder": self.lq_encoder, **fusion}

    def _switch(self) -> None:
        """Let gradients reach U-Net and LQ encoder, or not yet."""
        is_trained = self.trains_all
        turned = [weight for weight in self.trained_later if weight.requires_grad != is_trained]
        for weight in turned:
            weight.requires_grad_(is_trained)
        if turned and self._was_trained != is_trained:  # FSDP forgets it of some weights from pass to pass
            self._was_trained = is_trained
            state = "trained" if is_trained else "frozen"
            logger.info("pass %d: U-Net and LQ encoder are %s", int(self.num_passes), state)

    def _attached(self) -> FusionAttachment | None:
        """The fusion within the U-Net.

        It stays there after the forward pass, since checkpointed blocks run again in the backward pass.
        """
        if self.fusion is not None and self._attachment is None:
            self._attachment = attach_fusion(self.unet, self.fusion)
        return self._attachment


def add_low_rank(unet: UNet2DConditionModel, *, rank: int) -> None:
    """Freeze a U-Net, and add low-rank matrices to its attentions, which are trained.

    Args:
        unet: Changed in place.
        rank: Of the matrices.
    """
    from peft import LoraConfig

    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, init_lora_weights=True, target_modules=list(LORA_PLACES)))


def save_xl_parts(network: XLRestorer, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write fusion and LQ encoder, and the U-Net where the switch has come, low-rank additions added to its weights.

    Args:
        network: Tells which parts there are, and their configurations.
        weights: Key to tensor, of the whole network.
        folder: Exists.
    """
    for name, part in network.parts().items():
        own = weights_of_part(weights, name if name in ("unet", "lq_encoder") else "fusion")
        if name == "unet":
            if not network.trains_all or not any(weight.requires_grad for weight in part.parameters()):
                continue
            own = merged_weights(own)
        rebuilt(part, own, source=f"{name} in training").save_pretrained(folder / name)


def merged_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a U-Net under its own keys, W + B A in the place of W, A and B; the scale of ours is 1.

    Args:
        weights: Key to tensor, as peft names them where there are low-rank additions.
    """
    merged = {}
    for key, value in weights.items():
        if ".lora_" in key:
            continue
        name = key.replace(".base_layer.", ".")
        stem = key.removesuffix("base_layer.weight")
        low, high = f"{stem}lora_A.default.weight", f"{stem}lora_B.default.weight"
        merged[name] = value + (weights[high] @ weights[low]).to(value) if key != name and low in weights else value
    return merged
