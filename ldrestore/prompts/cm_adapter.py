"""MPerceiver's CM-Adapter, Ai et al. 2024, Sec. 3.2 (https://arxiv.org/abs/2312.02918), in the released layout."""

from collections.abc import Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Generator, Tensor, nn

from ldrestore.blocks.degradation_rows import checked_names, grown_names, reset_linear
from ldrestore.blocks.dispatched_attention import DispatchedAttention
from ldrestore.blocks.typed_modules import ModulesOf
from ldrestore.errors import ConfigError, ShapeError
from ldrestore.structures import MPERCEIVER_SET


class TokenAttention(DispatchedAttention):
    """Self-attention over a picture's tokens, without a residual; q, k and v have no bias, the projection has one."""

    def __init__(self, dim: int, *, num_heads: int) -> None:
        """Build the layer.

        Args:
            dim: D of the tokens, a multiple of `num_heads`.
            num_heads: Heads, each D / num_heads wide.
        """
        super().__init__()
        self.num_heads = num_heads
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k = nn.Linear(dim, dim, bias=False)
        self.to_v = nn.Linear(dim, dim, bias=False)
        self.to_out: ModulesOf[nn.Linear] = ModulesOf([nn.Linear(dim, dim)])

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw all weights anew, as those of a new layer."""
        for linear in (self.to_q, self.to_k, self.to_v, self.to_out[0]):
            reset_linear(linear, generator)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        heads = (self.num_heads, -1)
        query = self.to_q(tokens).unflatten(-1, heads)  # (B, L, heads, D / heads)
        key = self.to_k(tokens).unflatten(-1, heads)
        value = self.to_v(tokens).unflatten(-1, heads)
        return self.to_out[0](self.processor(query, key, value).flatten(-2))  # (B, L, D)


class CMAdapter(ModelMixin, ConfigMixin):
    """Turns CLIP's embedding of a picture into words for each degradation, the cross-modal inversion of Eq. 2.

        e_cm_i = Attn_i(LN(FC(e_img))),  i = 1 .. N.

    FC and LN are the same for all degradations, Attn_i is each one's own. Attribute names are those of the released
    checkpoint.
    """

    @register_to_config
    def __init__(
        self,
        degradations: Sequence[str] = MPERCEIVER_SET,
        embedding_dim: int = 1024,
        text_dim: int = 1024,
        num_tokens: int = 16,
        num_heads: int = 8,
    ) -> None:
        """Build the adapter; the defaults are the released layout, 54.6 M parameters.

        Args:
            degradations: Names of the N attentions, in their order.
            embedding_dim: Width of the tower's embeddings.
            text_dim: D of the text encoder's token embeddings.
            num_tokens: L, words a degradation.
            num_heads: Heads of each attention.

        Raises:
            ConfigError: no name, one twice, a size that is not positive, or heads that do not divide D.
        """
        super().__init__()
        if min(embedding_dim, text_dim, num_tokens, num_heads) < 1 or text_dim % num_heads:
            raise ConfigError(
                f"sizes must be positive and text_dim a multiple of num_heads, got embedding_dim {embedding_dim}, "
                f"text_dim {text_dim}, num_tokens {num_tokens} and num_heads {num_heads}"
            )
        self.proj = nn.Linear(embedding_dim, num_tokens * text_dim)
        self.norm = nn.LayerNorm(text_dim)
        self.attns: ModulesOf[TokenAttention] = ModulesOf(
            TokenAttention(text_dim, num_heads=num_heads) for _ in checked_names(degradations)
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The N degradations."""
        return tuple(self.config["degradations"])

    def forward(self, embeddings: Tensor) -> Tensor:
        """Words of each picture for each degradation.

        Args:
            embeddings: (B, embedding_dim), e_img.

        Returns:
            (B, N, L, D), e_cm.

        Raises:
            ShapeError: the embeddings have another shape.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.config["embedding_dim"]:
            raise ShapeError(
                f"expected embeddings (B, {self.config['embedding_dim']}), got {tuple(embeddings.shape)}; average "
                "those of several views first"
            )
        tokens = self.norm(self.proj(embeddings).unflatten(-1, (self.config["num_tokens"], -1)))  # (B, L, D)
        return torch.stack([attention(tokens) for attention in self.attns], dim=1)  # (B, N, L, D)

    def grow(self, names: Sequence[str], *, generator: Generator | None = None) -> None:
        """Add the attentions of further degradations, drawn as new layers; the old ones stay to the bit.

        There are more parameters afterwards: make the optimizer after this.

        Args:
            names: Of the new degradations.
            generator: Draws the new weights.

        Raises:
            ConfigError: there is no new name, or one is known already.
        """
        grown = grown_names(self.names, names)
        for _ in names:
            attention = TokenAttention(self.config["text_dim"], num_heads=self.config["num_heads"])
            if generator is not None:
                attention.to(generator.device).reset_parameters(generator)
            is_trained = self.attns[0].to_q.weight.requires_grad
            self.attns.append(attention.to(self.device, self.dtype).requires_grad_(is_trained).train(self.training))
        self.register_to_config(degradations=list(grown))
