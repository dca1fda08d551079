"""Attaching a fusion, DAFF or RSA, to an unmodified `UNet2DConditionModel`, and detaching it.

A hook behind each of its places hands the U-Net's features to the fusion; one before the U-Net keeps the timestep,
which those modules do not get. The U-Net keeps its keys, its class and its file format.

    attachment = attach_fusion(unet, daff)
    attachment.set_prepared(daff.prepare(lq_features, prompt_embeds))
    noise_pred = unet(latents, timestep, prompt_embeds, added_cond_kwargs=...).sample
    attachment.detach()

Attach after LoRA layers have been added, and before `torch.compile`. What is behind a place lies outside of the blocks
that gradient checkpointing computes again, so that it may be switched on and off. The fusion is called inside the
U-Net, so that a pipeline that off-loads whole models leaves it on the device (`_exclude_from_cpu_offload`).
"""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from ldrestore.adapters.daff import DAFF, PreparedLQ
from ldrestore.adapters.dispatching_attention import dispatch_attention, restore_attention
from ldrestore.adapters.residual_alignment import ResidualAlignment
from ldrestore.errors import ConfigError, InputError

LatentFusion = DAFF | ResidualAlignment
"""What can be attached."""


MAX_WHOLE_TOKENS = 16_384
"""Of a picture whose windows are aligned with all of it: 2048 x 2048 pixels of DAFF's. Attention grows with the square
of them; in larger pictures each window is aligned by itself."""


class FusionSlot:
    """What the hooks read during a forward pass."""

    def __init__(self) -> None:
        """Begin empty."""
        self.timestep: Tensor | None = None
        self.prepared: Mapping[str, PreparedLQ] | None = None
        self.aligned: Tensor | None = None
        """Windows of a map that was aligned as a whole, which takes the place of what is behind "conv_in"."""


class FusionHook:
    """Forward hook of the module at a place."""

    def __init__(self, fusion: LatentFusion, slot: FusionSlot, *, place: str) -> None:
        """Remember where things will be.

        Args:
            fusion: Acts here.
            slot: Holds timestep and damaged picture.
            place: Name of the module.
        """
        self.fusion, self.slot, self.place = fusion, slot, place

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        """A map (B, C, h, w), or a tuple that begins with one, to the same, as `register_forward_hook` wants it.

        Raises:
            InputError: no damaged picture is set.
        """
        if self.slot.aligned is not None:
            return self.slot.aligned
        if self.slot.prepared is None or self.slot.timestep is None:
            raise InputError("no damaged picture is set for the attached fusion; call set_prepared first, or detach")
        hidden_states, rest = (output[0], output[1:]) if isinstance(output, tuple) else (output, None)
        aligned = self.fusion(hidden_states, self.slot.timestep, self.slot.prepared[self.place], place=self.place)
        return aligned if rest is None else (aligned, *rest)


class FusionAttachment:
    """A U-Net and a fusion while they are connected; made by `attach_fusion`."""

    def __init__(self, unet: UNet2DConditionModel, fusion: LatentFusion) -> None:
        """Register the hooks; see `attach_fusion`, which checks first."""
        self.unet, self.fusion, self.slot = unet, fusion, FusionSlot()
        self._handles = [unet.register_forward_pre_hook(self._keep_timestep, with_kwargs=True)]
        self._handles += [
            unet.get_submodule(place).register_forward_hook(FusionHook(fusion, self.slot, place=place))
            for place in fusion.places
        ]
        self._replaced = dispatch_attention(unet)

    def set_prepared(self, prepared: Mapping[str, PreparedLQ]) -> None:
        """Let the next forward passes of the U-Net see a damaged picture.

        Args:
            prepared: What `fusion.prepare` gave.
        """
        self.slot.prepared = prepared

    def aligned_whole(self, latents: Tensor, timestep: Tensor, prepared: Mapping[str, PreparedLQ]) -> Tensor | None:
        """What is behind "conv_in" of a whole picture, aligned, for the U-Net to take in windows.

        So a window's fusion attends to all of the picture, as in the whole.

        Args:
            latents: (1, 4, h, w), as the scheduler scales them.
            timestep: In training steps.
            prepared: What `fusion.prepare` gave, of the picture.

        Returns:
            (1, C, h, w); None where there are more than `MAX_WHOLE_TOKENS` tokens, or other places.
        """
        if tuple(prepared) != ("conv_in",) or prepared["conv_in"].tokens.shape[1] > MAX_WHOLE_TOKENS:
            return None
        hidden_states = self.latent_features(latents)
        at = torch.as_tensor(timestep, device=hidden_states.device)
        return self.fusion(hidden_states, at, prepared["conv_in"], place="conv_in")

    def set_aligned(self, windows: Tensor) -> None:
        """Let the next forward pass of the U-Net take windows that are aligned already.

        Args:
            windows: (B, C, rows, columns), cut from what `aligned_whole` gave.
        """
        self.slot.aligned = windows

    def clear(self) -> None:
        """Forget the picture, so that it does not fill memory."""
        self.slot.prepared = self.slot.timestep = self.slot.aligned = None

    def latent_features(self, latents: Tensor) -> Tensor:
        """What the U-Net's `conv_in` makes of latents: of the damaged picture's for `lq="latent"`, or of a whole map.

        Args:
            latents: (B, 4, h, w).

        Returns:
            (B, C, h, w), without what a fusion adds there.
        """
        conv_in = self.unet.conv_in
        weight = conv_in.weight  # which waits on the CPU where the U-Net is off-loaded, or nowhere, layer by layer
        near = latents.to(weight.dtype) if weight.is_meta else latents.to(weight)
        return conv_in.forward(near).to(latents.device)  # not called: hooks would see it

    def detach(self) -> None:
        """Leave the U-Net as it was found; a second call does nothing."""
        for handle in self._handles:
            handle.remove()
        restore_attention(self.unet, self._replaced)
        self._handles, self._replaced = [], {}
        self.clear()

    def _keep_timestep(self, unet: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Just before the U-Net runs; it is called as (sample, timestep, ...)."""
        timestep = inputs[1] if len(inputs) > 1 else options["timestep"]
        self.slot.timestep = torch.as_tensor(timestep, device=self.fusion.device)


def attach_fusion(unet: UNet2DConditionModel, fusion: LatentFusion) -> FusionAttachment:
    """Connect a fusion with a U-Net, whose attentions go through diffusers' dispatcher while it lasts.

    Args:
        unet: Its keys stay.
        fusion: Lies on the same device.

    Returns:
        The connection; the damaged picture is given to it before each forward pass.

    Raises:
        ConfigError: the fusion is another U-Net's.
        InputError: the U-Net has a fusion attached already.
    """
    needed = {place: _channels_behind(unet, place) for place in fusion.places}
    found = {place: fusion.channels_at(place) for place in fusion.places}
    if needed != found:
        raise ConfigError(
            f"the fusion is another U-Net's: this one has channels {needed}, the fusion {found}; build it for this "
            "base, or load the one that was trained on it"
        )
    if any(isinstance(hook, FusionHook) for place in found for hook in _hooks(unet, place)):
        raise InputError("the U-Net has a fusion attached already; detach it first")
    return FusionAttachment(unet, fusion)


def _channels_behind(unet: UNet2DConditionModel, place: str) -> int | None:
    """Channels of the U-Net's features behind a module; None where there is no such module."""
    widths = unet.config["block_out_channels"]
    if place == "conv_in":
        return widths[0]
    level = int(place.partition(".")[2])
    return widths[level] if level < len(widths) else None


def _hooks(unet: UNet2DConditionModel, place: str) -> list[Any]:
    """Forward hooks of a module."""
    return list(unet.get_submodule(place)._forward_hooks.values())
