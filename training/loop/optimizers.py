"""The optimizer that a config names."""

import torch
from accelerate.utils import DistributedType
from torch import nn

from ldrestore.errors import ConfigError
from ldrestore.training.config import OptimizerConfig
from ldrestore.training.loop.frozen_rows import parameter_groups
from ldrestore.training.loop.muon import Muon, matrices_apart


def create_optimizer(
    network: nn.Module, config: OptimizerConfig, distributed_type: DistributedType
) -> torch.optim.Optimizer:
    """Make the optimizer of a network in training.

    Args:
        network: Its parameters are stepped in place.
        config: Name, learning rate, betas and decay.
        distributed_type: How accelerate runs the processes.

    Raises:
        ConfigError: Muon, where each process holds only a part of the weights; or rows that are to stay as they are,
            under FSDP.
    """
    has_frozen_rows = any(getattr(parameter, "has_frozen_rows", False) for parameter in network.parameters())
    if has_frozen_rows and distributed_type == DistributedType.FSDP:  # it puts other weights in place, without hooks
        raise ConfigError(
            "rows of degradations that were known before stay as they are, which FSDP does not hold to; start the "
            "processes without it, as configs/accelerate/multi_gpu.yaml does"
        )
    groups = parameter_groups(network, weight_decay=config.weight_decay)
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas)
    if distributed_type in (DistributedType.DEEPSPEED, DistributedType.FSDP):
        raise ConfigError(
            f"optimizer.name muon needs the whole gradient of each weight, which {distributed_type.value} does not "
            "give; write 'name: adamw', or start the processes as configs/accelerate/multi_gpu.yaml does"
        )
    return Muon(matrices_apart(network, groups), lr=config.learning_rate, betas=config.betas)
