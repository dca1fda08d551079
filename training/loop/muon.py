"""Muon: steps whose directions are orthogonal matrices, Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/)."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the odd polynomial that drives all singular values towards 1, as published."""

NUM_ITERATIONS = 5
"""Times that it is applied, as published."""

MOMENTUM = 0.95
"""Share of the running mean of gradients that a step keeps, as published."""

RMS_OF_ADAMW = 0.2
"""Root mean square that a step is scaled to, about that of AdamW's, so that both live under one learning rate: Liu et
al. 2025 (https://arxiv.org/abs/2502.16982), section 2.2."""

SHORTEST_SIDE = 16
"""Matrices with a shorter side, such as those of depth-wise kernels, have no directions worth making equal."""


class Muon(torch.optim.AdamW):
    """Muon for the groups that say `is_orthogonal`, AdamW for the others.

    The gradient of a matrix is smoothed, and replaced by the nearest orthogonal one: rare directions are then learned
    as fast as frequent ones.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:  # Any: nothing, or what the closure gives
        """One step of all groups.

        Args:
            closure: Computes the loss and its gradients anew; None where the gradients lie ready.

        Returns:
            What the closure returned.
        """
        groups = self.param_groups
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        try:
            self.param_groups = [group for group in groups if not group.get("is_orthogonal")]
            super().step()
        finally:
            self.param_groups = groups
        for group in groups:
            if group.get("is_orthogonal"):
                for parameter in group["params"]:
                    self._step_of_matrix(parameter, group)
        return loss

    def _step_of_matrix(self, parameter: Tensor, group: dict[str, Any]) -> None:
        """Move one weight, seen as (rows, all the rest)."""
        gradient = parameter.grad
        if gradient is None:
            return
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)  # AdamW looks for it in every state that it loads
            state["mean"] = torch.zeros_like(parameter)
        state["step"] += 1
        mean = state["mean"].lerp_(gradient, 1 - MOMENTUM)
        direction = orthogonal(gradient.lerp(mean, MOMENTUM).flatten(1))  # Nesterov's look ahead
        scale = RMS_OF_ADAMW * math.sqrt(max(direction.shape))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(direction.view(parameter.shape), alpha=-group["lr"] * scale)


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix with the same singular vectors, all singular values between about 0.7 and 1.2.

    Args:
        matrix: (M, N).

    Returns:
        (M, N), in the type of the matrix, computed in float32.
    """
    linear, cubic, quintic = NEWTON_SCHULZ
    wide = matrix.float() if len(matrix) <= matrix.shape[1] else matrix.float().T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(NUM_ITERATIONS):
        gram = wide @ wide.T
        wide = linear * wide + (cubic * gram + quintic * gram @ gram) @ wide
    return (wide if len(matrix) <= matrix.shape[1] else wide.T).to(matrix.dtype)


def matrices_apart(network: nn.Module, groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Split groups of an optimizer: weights of dense layers of at least `SHORTEST_SIDE` lie in groups of their own.

    Args:
        network: Whose parameters the groups hold.
        groups: With "params"; those without decay, whose rows may be frozen, are left as they are.
    """
    dense = {
        id(module.weight)
        for module in network.modules()
        if (isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1))
        and min(module.weight.flatten(1).shape) >= SHORTEST_SIDE
        and not getattr(module.weight, "has_frozen_rows", False)
    }
    split = []
    for group in groups:
        for is_orthogonal in (False, True):
            params = [parameter for parameter in group["params"] if (id(parameter) in dense) == is_orthogonal]
            if params:
                split.append({**group, "params": params, "is_orthogonal": is_orthogonal})
    return split
