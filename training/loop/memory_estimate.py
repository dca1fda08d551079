"""How much memory a run will need, told before it starts."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from ldrestore.training.config import StageConfig, TrainingConfig
from ldrestore.training.data.loading import load_item

if TYPE_CHECKING:
    from ldrestore.training.loop.training_loop import Task

logger = logging.getLogger(__name__)

GIB = 2**30
"""Bytes."""

PROBE_SIDES = (64, 96)
"""Sides in pixels of the two small pictures from which the larger ones are reckoned; the first also for the second
where patches are no larger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """Bytes on the device of one process."""

    frozen: int
    """Weights that are not trained."""
    trained: int
    """Weights in training, their gradients, both moments of AdamW, and the averaged weights."""
    states: int
    """What the forward pass keeps for the backward pass, in the stage that needs most."""

    def __str__(self) -> str:
        """For the log."""
        total = self.frozen + self.trained + self.states
        return (
            f"about {total / GIB:.2f} GiB a process: {self.frozen / GIB:.2f} frozen weights, {self.trained / GIB:.2f} "
            f"weights in training with optimizer and average, {self.states / GIB:.2f} states for the backward pass"
        )


def log_memory_estimate(
    config: TrainingConfig, *, task: "Task", network: nn.Module, frozen: Sequence[nn.Module]
) -> MemoryEstimate:
    """Estimate the memory of a run and write it to the log.

    States are counted in two forward passes over one small picture on the CPU, and grow with the number of pixels and
    pictures from there. What the backward pass, the allocator and the libraries need besides is not in it; with
    gradient checkpointing that is one block's states.

    Args:
        config: Precision, stages, whether weights are averaged.
        task: Data and loss. Random states and the network's buffers are left as they were.
        network: What is trained.
        frozen: What is not.
    """
    sides = [min(side, max(stage.patch_size for stage in config.stages)) for side in PROBE_SIDES]
    small, large = (_states_of(config, task=task, network=network, side=side) for side in sides)
    per_pixel = (large - small) / (sides[1] ** 2 - sides[0] ** 2) if sides[1] > sides[0] else small / sides[0] ** 2
    fixed = max(0.0, small - per_pixel * sides[0] ** 2)
    states = max(stage.batch_size * (fixed + per_pixel * stage.patch_size**2) for stage in config.stages)
    in_training = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
    at_rest = sum(_bytes_of(weight) for weight in network.parameters() if not weight.requires_grad)
    average = 0 if config.ema is None else sum(4 * weight.numel() for weight in network.parameters())
    estimate = MemoryEstimate(
        frozen=at_rest + sum(_bytes_of(weight) for part in frozen for weight in part.parameters()),
        trained=4 * 4 * in_training + average,
        states=int(states),
    )
    logger.info("memory: %s", estimate)
    return estimate


def _states_of(config: TrainingConfig, *, task: "Task", network: nn.Module, side: int) -> int:
    """Bytes that one picture's forward pass keeps, each tensor once, weights apart."""
    weights = {weight.untyped_storage().data_ptr() for weight in network.parameters()}
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and not (tensor.is_leaf and isinstance(tensor, nn.Parameter)):
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    dtype = {"bf16": torch.bfloat16, "fp16": torch.bfloat16}.get(config.run.mixed_precision)
    with (
        torch.random.fork_rng(devices=[]),
        torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor),
        torch.autocast("cpu", dtype=dtype, enabled=dtype is not None),
    ):
        item = load_item(task.dataset(StageConfig(patch_size=side, batch_size=1, steps=1)), (0, 0))
        task.loss(network, default_collate([item]))
    for name, buffer in network.named_buffers():
        buffer.copy_(buffers[name])
    return sum(kept.values())


def _bytes_of(tensor: Tensor) -> int:
    """Bytes of a tensor."""
    return tensor.numel() * tensor.element_size()
