"""MPerceiver's textual prompt pool, Ai et al. 2024, Sec. 3.2 (https://arxiv.org/abs/2312.02918)."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Generator, Tensor, nn

from ldrestore.blocks.degradation_rows import checked_names, draw_rows, grown_names, grown_rows
from ldrestore.errors import ConfigError, ShapeError, UnknownNameError
from ldrestore.structures import MPERCEIVER_SET

PromptOrder = Literal["released", "paper"]
"""What comes first: T_i as in the release, or e_cm_i as Eq. 3 is written."""

ORDERS: tuple[PromptOrder, ...] = get_args(PromptOrder)


class TextualPromptPool(ModelMixin, ConfigMixin):
    """Learned words for each degradation, T, which stand beside those that the CM-Adapter reads off the picture.

    The parameter's name is that of the released checkpoint.
    """

    @register_to_config
    def __init__(
        self,
        degradations: Sequence[str] = MPERCEIVER_SET,
        num_tokens: int = 16,
        text_dim: int = 1024,
        order: PromptOrder = "released",
    ) -> None:
        """Draw the pool; the defaults are the released layout.

        Args:
            degradations: Names of the N rows, in their order.
            num_tokens: L, words a degradation.
            text_dim: D of the text encoder's token embeddings.
            order: "released" puts T_i before e_cm_i, "paper" after; a pool serves only the order it was trained in.

        Raises:
            ConfigError: no name, one twice, or a size that is not positive.
            UnknownNameError: no such order.
        """
        super().__init__()
        if min(num_tokens, text_dim) < 1:
            raise ConfigError(f"sizes must be positive, got num_tokens {num_tokens} and text_dim {text_dim}")
        if order not in ORDERS:
            raise UnknownNameError("order of prompts", order, ORDERS)
        self.tp = nn.Parameter(draw_rows(len(checked_names(degradations)), num_tokens, text_dim))

    @property
    def names(self) -> tuple[str, ...]:
        """The N degradations."""
        return tuple(self.config["degradations"])

    def forward(self, e_cm: Tensor) -> Tensor:
        """Put the pool's words beside those of the CM-Adapter, {e_cm_i, T_i} of Eq. 3.

        Args:
            e_cm: (B, N, K, D).

        Returns:
            (B, N, K + L, D).

        Raises:
            ShapeError: other degradations, or another width, than the pool's.
        """
        N, _, D = self.tp.shape
        if e_cm.ndim != 4 or e_cm.shape[1] != N or e_cm.shape[3] != D:
            raise ShapeError(f"expected words of shape (B, {N}, K, {D}), got {tuple(e_cm.shape)}")
        prompts = self.tp.to(e_cm.dtype).expand(len(e_cm), -1, -1, -1)  # (B, N, L, D)
        parts = (prompts, e_cm) if self.config["order"] == "released" else (e_cm, prompts)
        return torch.cat(parts, dim=2)  # (B, N, K + L, D)

    def grow(self, names: Sequence[str], *, generator: Generator | None = None) -> None:
        """Add the prompts of further degradations, drawn as those of a new pool; the old ones stay to the bit.

        The pool is another parameter afterwards: make the optimizer after this.

        Args:
            names: Of the new degradations.
            generator: Draws the new rows.

        Raises:
            ConfigError: there is no new name, or one is known already.
        """
        grown = grown_names(self.names, names)
        self.tp = grown_rows(self.tp, len(names), generator=generator)
        self.register_to_config(degradations=list(grown))
