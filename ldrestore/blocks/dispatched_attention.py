"""Attention through diffusers' dispatcher, so that `set_attention_backend` of the model around it has an effect."""

from diffusers.models.attention import AttentionModuleMixin
from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn
from torch import Tensor, nn


class AttentionDispatch:
    """Softmax attention by whichever backend is set.

    diffusers writes the chosen backend and the plan of context parallelism into these two attributes of the processor
    of every `AttentionModuleMixin`. None is diffusers' process-wide default.
    """

    _attention_backend: AttentionBackendName | None = None
    _parallel_config: object | None = None

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, *, attention_mask: Tensor | None = None) -> Tensor:
        """softmax(q k^T / sqrt(D)) v for each head.

        Args:
            query: (B, L, H, D), H being the heads.
            key: (B, M, H, D).
            value: (B, M, H, D).
            attention_mask: As `torch.nn.functional.scaled_dot_product_attention` takes it.

        Returns:
            (B, L, H, D).
        """
        return dispatch_attention_fn(
            query,
            key,
            value,
            attn_mask=attention_mask,
            backend=self._attention_backend,
            parallel_config=self._parallel_config,
        )


class DispatchedAttention(nn.Module, AttentionModuleMixin):
    """Base of our attention modules: `self.processor(query, key, value)` is the attention itself."""

    _default_processor_cls = AttentionDispatch
    _supports_qkv_fusion = False

    def __init__(self) -> None:
        """Start with diffusers' default backend."""
        super().__init__()
        self.processor = AttentionDispatch()
