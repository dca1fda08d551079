"""Rows of a table that training must not touch: those of degradations that were known before it grew."""

from typing import Any

import torch
from torch import Tensor, nn


def freeze_rows(parameter: Tensor, num_rows: int, *, dim: int = 0) -> None:
    """Keep the first rows of a parameter as they are, to the bit, under AdamW.

    Their gradients become zero, so that both moments and the step stay zero; `parameter_groups` leaves the parameter
    out of weight decay. The new rows learn as they would alone.

    Args:
        parameter: Its rows lie along `dim`.
        num_rows: How many are kept.
        dim: Axis of the rows.
    """
    shape = [1] * parameter.ndim
    shape[dim] = parameter.shape[dim]
    is_old = (torch.arange(parameter.shape[dim]) < num_rows).view(shape)

    def without_old(gradient: Tensor) -> Tensor:
        return gradient.masked_fill(is_old.to(gradient.device), 0)  # a product would keep NaN and infinity

    parameter.register_hook(without_old)
    parameter.has_frozen_rows = True  # type: ignore[attr-defined]  # tells the optimizer's groups


def parameter_groups(network: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """What an optimizer is made from: parameters with frozen rows apart, without decay.

    Args:
        network: In training.
        weight_decay: Of all others.
    """
    parameters = list(network.parameters())
    frozen = [parameter for parameter in parameters if getattr(parameter, "has_frozen_rows", False)]
    others = [parameter for parameter in parameters if not getattr(parameter, "has_frozen_rows", False)]
    groups = [{"params": others, "weight_decay": weight_decay}, {"params": frozen, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
