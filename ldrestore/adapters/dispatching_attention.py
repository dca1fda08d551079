"""A processor for the classic `Attention` of diffusers' U-Nets that goes through diffusers' dispatcher.

diffusers' own processor calls PyTorch's attention directly, so that `unet.set_attention_backend` has no effect on it.
"""

from diffusers import UNet2DConditionModel
from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn


class DispatchingAttnProcessor:
    """Multi-head attention for `Attention`, the same to the bit as `AttnProcessor2_0` with the native backend.

    diffusers writes the chosen backend and the plan of context parallelism into the two attributes.
    """

    _attention_backend: AttentionBackendName | None = None
    _parallel_config: object | None = None

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            attn: Holds norms, projections and switches.
            hidden_states: (B, L, C), or a map (B, C, H, W).
            encoder_hidden_states: (B, M, D), what is attended to; the states themselves where it is None.
            attention_mask: Added to the scores, (B, 1, M) or as `attn.prepare_attention_mask` takes it.
            temb: For a spatial norm, where there is one.

        Returns:
            The shape of `hidden_states`.
        """
        residual = hidden_states
        if attn.spatial_norm is not None:
            hidden_states = attn.spatial_norm(hidden_states, temb)
        map_shape = hidden_states.shape if hidden_states.ndim == 4 else None
        if map_shape is not None:
            hidden_states = hidden_states.flatten(2).mT  # (B, H * W, C)
        if attn.group_norm is not None:
            hidden_states = attn.group_norm(hidden_states.mT).mT
        context = hidden_states
        if encoder_hidden_states is not None:
            is_normed = attn.norm_cross
            context = attn.norm_encoder_hidden_states(encoder_hidden_states) if is_normed else encoder_hidden_states
        attended = self._attended(attn, hidden_states, context, attention_mask)
        attended = attn.to_out[1](attn.to_out[0](attended))  # projection, dropout
        if map_shape is not None:
            attended = attended.mT.reshape(map_shape)
        if attn.residual_connection:
            attended = attended + residual
        return attended / attn.rescale_output_factor

    def _attended(self, attn: Attention, hidden_states: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        """softmax(q k^T / sqrt(D)) v of all heads: (B, L, heads * D)."""
        heads = (attn.heads, -1)
        query = attn.to_q(hidden_states).unflatten(-1, heads)  # (B, L, heads, D)
        key = attn.to_k(context).unflatten(-1, heads)  # (B, M, heads, D)
        value = attn.to_v(context).unflatten(-1, heads)
        if attn.norm_q is not None:
            query = attn.norm_q(query)
        if attn.norm_k is not None:
            key = attn.norm_k(key)
        if mask is not None:
            mask = attn.prepare_attention_mask(mask, context.shape[1], len(context))  # (B * heads, 1 or L, M)
            mask = mask.unflatten(0, (len(context), attn.heads))
        answer = dispatch_attention_fn(
            query,
            key,
            value,
            attn_mask=mask,
            backend=self._attention_backend,
            parallel_config=self._parallel_config,
        )
        return answer.flatten(2).to(query.dtype)


def dispatch_attention(unet: UNet2DConditionModel) -> dict[str, object]:
    """Let the classic attentions of a U-Net go through the dispatcher.

    Only diffusers' default processors give way: xFormers, IP-Adapters and others that a user has chosen stay.

    Args:
        unet: Changed in place.

    Returns:
        The processors that were replaced, by the attention's name, for `restore_attention`.
    """
    replaced = {}
    for name, module in unet.named_modules():
        if isinstance(module, Attention) and type(module.processor) is AttnProcessor2_0:
            replaced[name] = module.processor
            module.set_processor(DispatchingAttnProcessor())
    return replaced


def restore_attention(unet: nn.Module, replaced: dict[str, object]) -> None:
    """Undo `dispatch_attention`, save where somebody has set another processor since.

    Args:
        unet: Changed in place.
        replaced: What `dispatch_attention` gave.
    """
    for name, processor in replaced.items():
        attention = unet.get_submodule(name)
        if isinstance(attention, Attention) and isinstance(attention.processor, DispatchingAttnProcessor):
            attention.set_processor(processor)
