"""Gradients are scaled down to a largest norm: all of them together, or those of opponents each by themselves.

Under one norm, the opponent whose gradients are larger would slow down the other.
"""

import math
from collections.abc import Sequence

from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor, nn

from ldrestore.errors import ConfigError

Norms = dict[str, Tensor | float | None]
"""L2 norms before clipping: "grad_norm" of all, or "grad_norm/<part>" of each; None where DeepSpeed does not tell."""


def clip_gradients(
    accelerator: Accelerator, model: nn.Module, *, max_norm: float | None, parts: Sequence[str] = ()
) -> Norms:
    """Scale gradients down where their norm is larger than allowed.

    Args:
        accelerator: As it prepared the network and its optimizer.
        model: The network, wrapped, with the gradients of a step.
        max_norm: Largest L2 norm; None does not clip.
        parts: Modules of the network that are clipped each by its own norm, together all that is trained; none where
            one norm counts for all.
    """
    limit = max_norm or math.inf
    if not parts:
        return {"grad_norm": accelerator.clip_grad_norm_(model.parameters(), limit)}
    accelerator.unscale_gradients()  # once a step; accelerate's own clipping would do it once a part
    network = accelerator.unwrap_model(model)
    return {
        f"grad_norm/{part}": nn.utils.clip_grad_norm_(network.get_submodule(part).parameters(), limit) for part in parts
    }


def require_whole_gradients(distributed_type: DistributedType, parts: Sequence[str]) -> None:
    """Refuse to clip parts apart where no process sees the gradients as they are.

    Raises:
        ConfigError: DeepSpeed or FSDP runs the processes, and there are parts.
    """
    if parts and distributed_type in (DistributedType.DEEPSPEED, DistributedType.FSDP):
        raise ConfigError(
            f"{' and '.join(parts)} are clipped each by its own norm, which {distributed_type.value} does not do; "
            "start the processes without it, as configs/accelerate/multi_gpu.yaml does"
        )
