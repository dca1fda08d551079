"""Attaching injection layers to an unmodified `UNet2DConditionModel`, and detaching them.

A hook on the last convolution of every residual block hands its result to the block's injection layer before the skip
connection is added. The U-Net keeps its keys, its class and its file format; the layers stay a component of their own.

    attachment = attach(unet, injection)
    attachment.set_features(ir_adapter(lq_latents, timestep, probabilities))
    noise_pred = unet(latents, timestep, prompt_embeds).sample
    attachment.detach()

Attach after LoRA layers have been added, since these replace convolutions, and before `torch.compile`. Gradient
checkpointing may be switched on and off at any time. The layers are called inside the U-Net, so that a pipeline that
off-loads whole models leaves them on the device (`_exclude_from_cpu_offload`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ldrestore.adapters.dispatching_attention import dispatch_attention, restore_attention
from ldrestore.adapters.injection import InjectionLayer, InjectionLayers
from ldrestore.errors import ConfigError, InputError, ShapeError


class FeatureSlot:
    """What the hooks read: the features of the present forward pass."""

    def __init__(self) -> None:
        """Begin empty."""
        self.features: tuple[Tensor, ...] | None = None

    @contextmanager
    def holding(self, features: tuple[Tensor, ...] | None) -> Iterator[None]:
        """Hold other features for a while."""
        present, self.features = self.features, features
        try:
            yield
        finally:
            self.features = present


class InjectionHook:
    """Forward hook of a residual block's last convolution: the features of its level enter."""

    def __init__(self, layer: InjectionLayer, slot: FeatureSlot, *, level: int) -> None:
        """Remember where the features will be.

        Args:
            layer: Belongs to the residual block.
            slot: Holds the features of all levels.
            level: Which of them; 0 is the finest.
        """
        self.layer, self.slot, self.level = layer, slot, level

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], hidden_states: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape, as `register_forward_hook` wants it.

        Raises:
            InputError: no features are set.
        """
        if self.slot.features is None:
            raise InputError("no features are set for the attached injection; call set_features first, or detach")
        return self.layer(hidden_states, self.slot.features[self.level])


class CheckpointingWithFeatures:
    """Gradient checkpointing under which a block is recomputed with the features that its forward pass had.

    Without this the recomputation reads what the slot holds by then: after two forward passes, the second one's.
    """

    def __init__(self, checkpoint: Callable[..., Any], slot: FeatureSlot) -> None:
        """Wrap a checkpointing function.

        Args:
            checkpoint: What the block used before; takes a function and its arguments.
            slot: Read when the block runs, filled again when it is recomputed.
        """
        self.checkpoint, self.slot = checkpoint, slot

    def __call__(self, function: Callable[..., Any], *inputs: Any) -> Any:
        """Run `function`, to be run again in the backward pass."""
        features = self.slot.features

        def run_with_features(*inner: Any) -> Any:
            with self.slot.holding(features):
                return function(*inner)

        return self.checkpoint(run_with_features, *inputs)


class Attachment:
    """A U-Net and its injection layers while they are connected; made by `attach`."""

    def __init__(self, unet: UNet2DConditionModel, injection: InjectionLayers) -> None:
        """Register the hooks; see `attach`, which checks first."""
        self.unet = unet
        self.injection = injection
        self.slot = FeatureSlot()
        self._checkpointed = [module for module in unet.modules() if hasattr(module, "gradient_checkpointing")]
        self._handles = [unet.register_forward_pre_hook(self._guard_checkpointing), *self._register()]
        self._replaced = dispatch_attention(unet)

    def _register(self) -> list[RemovableHandle]:
        """One hook for each residual block."""
        return [
            resnet.conv2.register_forward_hook(InjectionHook(layer, self.slot, level=level))
            for resnet, layer, level in _pairs(self.unet, self.injection)
        ]

    def set_features(self, features: Sequence[Tensor]) -> None:
        """Let the next forward passes of the U-Net use these features.

        Args:
            features: (B, C, H, W) for each level, finest first; the finest is as high and wide as the latents, each
                other one half as high and wide, rounded up.

        Raises:
            ShapeError: another number of features.
        """
        if len(features) != self.injection.num_levels:
            raise ShapeError(f"expected {self.injection.num_levels} features, finest first, got {len(features)}")
        self.slot.features = tuple(features)

    def clear(self) -> None:
        """Forget the features, so that they do not fill memory."""
        self.slot.features = None

    def _guard_checkpointing(self, unet: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Make every block that is checkpointed by now keep its features, just before the U-Net runs."""
        for module in self._checkpointed:
            function = getattr(module, "_gradient_checkpointing_func", None)
            is_wrapped = isinstance(function, CheckpointingWithFeatures)
            if module.gradient_checkpointing and function is not None and not is_wrapped:
                module._gradient_checkpointing_func = CheckpointingWithFeatures(function, self.slot)

    def detach(self) -> None:
        """Leave the U-Net as it was found; a second call does nothing.

        Not between a forward pass and its backward pass: checkpointed blocks are computed again in the latter.
        """
        for handle in self._handles:
            handle.remove()
        restore_attention(self.unet, self._replaced)
        for module in self._checkpointed:
            function = getattr(module, "_gradient_checkpointing_func", None)
            if isinstance(function, CheckpointingWithFeatures) and function.slot is self.slot:
                module._gradient_checkpointing_func = function.checkpoint
        self._handles, self._replaced, self._checkpointed = [], {}, []
        self.clear()


def attach(unet: UNet2DConditionModel, injection: InjectionLayers) -> Attachment:
    """Connect injection layers with a U-Net.

    `down_blocks[k]` takes the k-th feature, the middle the coarsest, `up_blocks[j]` the j-th from the coarsest on: by
    level, not by width. The attentions of the U-Net go through diffusers' dispatcher while it lasts.

    Args:
        unet: Its keys stay.
        injection: Lies on the same device.

    Returns:
        The connection; features are given to it before each forward pass.

    Raises:
        ConfigError: the layers are another U-Net's.
        InputError: the U-Net has layers attached already.
    """
    _check_match(unet, injection)
    if any(
        isinstance(hook, InjectionHook)
        for resnet, _, _ in _pairs(unet, injection)
        for hook in resnet.conv2._forward_hooks.values()
    ):
        raise InputError("the U-Net has injection layers attached already; detach them first")
    return Attachment(unet, injection)


def _pairs(unet: UNet2DConditionModel, injection: InjectionLayers) -> Iterator[tuple[Any, InjectionLayer, int]]:
    """Residual blocks, their layers and the levels of their features."""
    levels = [*range(injection.num_levels)]
    levels = [*levels, levels[-1], *reversed(levels)]
    for block, layers, level in zip(_blocks(unet), injection.blocks, levels, strict=True):
        for resnet, layer in zip(block.resnets, layers, strict=True):
            yield resnet, layer, level


def _check_match(unet: UNet2DConditionModel, injection: InjectionLayers) -> None:
    """Refuse layers that were made for another U-Net.

    Raises:
        ConfigError: blocks, residual blocks or channels differ.
    """
    needed = [[resnet.out_channels for resnet in block.resnets] for block in _blocks(unet)]
    found = [[layer.mlp_beta.out_channels for layer in layers] for layers in injection.blocks]
    if needed != found:
        raise ConfigError(
            f"the injection layers are another U-Net's: its residual blocks have {needed} channels, the layers "
            f"{found}; make them with InjectionLayers.for_unet, or load those that were trained on this base"
        )


def _blocks(unet: UNet2DConditionModel) -> list[Any]:
    """Down blocks, middle and up blocks, in the order of the forward pass; diffusers names no class for all."""
    return [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
