"""Which of a pair a prior is shown, and what the caption says of it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ldrestore.degradations.recipes import list_degradations
from ldrestore.training.data.loading import Batch


def show_pictures(
    batch: Batch, names: Sequence[str], *, degraded_share: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """The degraded or the clean picture of each pair, at random.

    Args:
        batch: "lq" and "gt", (B, 3, P, P); "severities", (B, D), in the order of `list_degradations()`.
        names: N degradations that are told.
        degraded_share: How many are degraded ones, in [0, 1].
        generator: On the CPU; None takes torch's own, which checkpoints hold.

    Returns:
        The pictures, (B, 3, P, P), and how strong each named degradation is, (B, N), 0 for clean pictures.
    """
    lq, known = batch["lq"], list_degradations()
    is_degraded = (torch.rand(len(lq), generator=generator) < degraded_share).to(lq.device)  # (B,)
    pictures = torch.where(is_degraded[:, None, None, None], lq, batch["gt"])
    severities = batch["severities"][:, [known.index(name) for name in names]]  # (B, N)
    return pictures, severities * is_degraded[:, None]
