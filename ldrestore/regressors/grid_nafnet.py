"""A blind restorer that looks at the whole picture once, then restores it part by part.

What concerns the whole picture (haze, darkness, colour) is decided from a reduced copy and applied as a bilateral grid
of affine colour transforms, the same for every part; noise, rain, blur and blocks are restored upon it by a NAFNet with
a pool of task prompts (Chen et al. 2022, https://arxiv.org/abs/2204.04676; Gharbi et al. 2017,
https://arxiv.org/abs/1707.02880; the pool follows DATPRL-IR, https://arxiv.org/abs/2603.01725).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.blocks.observation import observed
from ldrestore.blocks.prompt_pool import PromptPool
from ldrestore.blocks.zero_layers import start_at_zero
from ldrestore.errors import ConfigError, ShapeError, WeightsError
from ldrestore.regressors.bilateral_grid import NUM_COEFFICIENTS
from ldrestore.regressors.nafnet import NAFNet
from ldrestore.regressors.picture_look import PictureLook, Relighting
from ldrestore.regressors.prompted_nafnet import decoder_injections, means_and_spreads, query_layers
from ldrestore.regressors.prompted_nafnet import options_of_checkpoint as options_of_prompted
from ldrestore.structures import CLEAN
from ldrestore.tiling.picture_views import reduced_copy
from ldrestore.tiling.shared_statistics import MapStatistic


class Restoration(NamedTuple):
    """What one pass gives."""

    restored: Tensor
    """(B, 3, H, W), around [0, 1], not clamped."""
    logits: Tensor
    """(B, N + 1), of `GridNAFNet.estimate_names`."""
    relit: Tensor
    """(B, 3, H, W), the picture with its light changed alone."""


class GridNAFNet(ModelMixin, ConfigMixin):
    """A bilateral grid from one look at the whole picture, and a prompted NAFNet upon what it gives.

    Hints say what the user knows: (B, 2N), for each degradation first whether something was said of it (0 or 1), then,
    N further on, how strongly it is to be removed, in [0, 1]; 0 leaves it as it is. Without hints the network decides.
    """

    @register_to_config
    def __init__(
        self,
        degradations: Sequence[str],
        width: int = 40,
        middle_blk_num: int = 4,
        enc_blk_nums: Sequence[int] = (3, 3, 6),
        dec_blk_nums: Sequence[int] = (3, 3, 4),
        squeeze: int = 2,
        num_prompts: int = 16,
        prompt_dim: int = 96,
        top_k: int = 3,
        code_dim: int = 128,
        num_levels: int = 8,
    ) -> None:
        """Build the network.

        Args:
            degradations: Names that hints and estimate are about, in their order.
            width: See `NAFNet`, as the next four.
            middle_blk_num: Blocks at the lowest resolution.
            enc_blk_nums: Blocks of each encoder level, finest first.
            dec_blk_nums: Blocks of each decoder level, coarsest first.
            squeeze: Side of the pixel blocks that are folded into channels.
            num_prompts: Size of the pool.
            prompt_dim: Width of queries, keys and values.
            top_k: Prompts that one picture takes.
            code_dim: Width of the code of the whole picture.
            num_levels: Cells of the bilateral grid along brightness.

        Raises:
            ConfigError: no degradation, or a size is out of range.
        """
        super().__init__()
        if not degradations:
            raise ConfigError("degradations is empty; name at least one")
        num_hints = 2 * len(degradations)
        self.picture_look = PictureLook(num_hints=num_hints, code_dim=code_dim, num_levels=num_levels)
        self.body = NAFNet(
            width=width,
            middle_blk_num=middle_blk_num,
            enc_blk_nums=enc_blk_nums,
            dec_blk_nums=dec_blk_nums,
            squeeze=squeeze,
            is_affine=True,
        )
        widths = [width * 2**level for level in range(len(enc_blk_nums) + 1)]
        self.statistics = MapStatistic(means_and_spreads)
        self.to_query = query_layers(widths, prompt_dim)
        self.hint_to_query = nn.Linear(num_hints + code_dim, prompt_dim)
        self.pool = PromptPool(num_prompts=num_prompts, dim=prompt_dim, top_k=top_k)
        self.injections = decoder_injections(widths, prompt_dim)
        self.hint_to_prompt = nn.Linear(num_hints, prompt_dim)
        self.estimator = nn.Linear(prompt_dim + code_dim, len(degradations) + 1)
        start_at_zero(self.hint_to_query, self.hint_to_prompt)
        self.size_multiple = self.body.size_multiple

    def forward(
        self,
        lq: Tensor,
        *,
        hints: Tensor | None = None,
        whole: Tensor | None = None,
        window: Tensor | None = None,
        return_estimate: bool = False,
        return_light: bool = False,
        light_only: bool = False,
    ) -> Tensor | tuple[Tensor, ...]:
        """Restore pictures, or a part of each.

        Args:
            lq: (B, 3, H, W), in [0, 1].
            hints: (B, 2N), see the class; None for none.
            whole: (B, 3, h, w), the whole pictures that `lq` are parts of, or their reduced copies; None where these
                are the whole.
            window: (B, 4), where the parts lie: top, left, bottom and right as shares of the whole's height and width.
            return_estimate: Whether to return what is wrong with the pictures, too.
            return_light: Whether to return a `Restoration`, all that one pass gives.
            light_only: Whether to change the light alone, which is quick, and to give that.

        Returns:
            (B, 3, H, W), around [0, 1], not clamped; with `return_estimate` also (B, N + 1) logits, one for each of
            `estimate_names`: each may be there or not, whatever the others.

        Raises:
            ShapeError: not four axes, or not three channels; hints of another width.
        """
        hints = self._checked_hints(lq, hints)
        whole = lq if whole is None else whole
        window = lq.new_tensor([[0.0, 0.0, 1.0, 1.0]]).expand(len(lq), -1) if window is None else window
        relighting = self.picture_look(reduced_copy(whole), hints)
        if light_only:
            return self.relight(lq, relighting, window=window)
        restoration = self.restore_part(lq, relighting, window=window, hints=hints)
        if return_light:
            return restoration
        return restoration[:2] if return_estimate else restoration.restored

    @property
    def estimate_names(self) -> tuple[str, ...]:
        """What the logits are about: `config.degradations`, and that nothing is wrong."""
        return (*self.config["degradations"], CLEAN)

    def restore_part(self, lq: Tensor, relighting: Relighting, *, window: Tensor, hints: Tensor) -> Restoration:
        """Restore a part of a picture upon what the look at the whole decided; see `forward`."""
        relit = self.relight(lq, relighting, window=window)
        logits: list[Tensor] = []

        def condition(features: list[Tensor]) -> list[Callable[[Tensor], Tensor]]:
            query = self.to_query(self.statistics(*features)).expand(len(lq), -1)  # (B, D)
            logits.append(self.estimator(torch.cat([query, relighting.plain_code], dim=1)))
            prompt, _ = self.pool(query + self.hint_to_query(torch.cat([hints, relighting.code], dim=1)))
            prompt = prompt + self.hint_to_prompt(hints)
            return [partial(injection, prompt=prompt) for injection in self.injections]

        restored = self.body(relit, condition)
        return Restoration(restored, logits[0], relit)

    def relight(self, lq: Tensor, relighting: Relighting, *, window: Tensor) -> Tensor:
        """Change the light of a part of a picture alone; see `forward`."""
        height, width = lq.shape[-2:]
        if height % 2 == 0 and width % 2 == 0:
            return self.picture_look.relight(lq, relighting, window)
        even = F.pad(lq, (0, width % 2, 0, height % 2), mode="replicate")
        grown = even.new_tensor([even.shape[-2] / height, even.shape[-1] / width])
        first, last = window.chunk(2, dim=1)  # (B, 2) each
        window = torch.cat([first, first + (last - first) * grown], dim=1)
        return self.picture_look.relight(even, relighting, window)[..., :height, :width]

    @torch.no_grad()
    def usage(self, lq: Tensor, *, hints: Tensor | None = None) -> dict[str, Tensor]:
        """How strongly each prompt of the pool is used, from one forward pass.

        Args:
            lq: See `forward`.
            hints: See `forward`.

        Returns:
            "task" to (B, N): the softmax weights, zero for those that a picture has not chosen; each row sums to 1.

        Raises:
            ShapeError: not four axes, or not three channels; hints of another width.
        """
        with observed({"task": self.pool}) as outputs:
            self(lq, hints=hints)
        return {name: weights for name, (_, weights) in outputs.items()}

    def adopt(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of a `PromptedNAFNet`, or of a shallower network of this class, and compute what it did.

        A NAFBlock starts as the identity, so that blocks added at the end of a level change nothing at first; neither
        does the look, whose grid starts at zero, nor hints.

        Args:
            weights: Of a network of the same width.

        Raises:
            WeightsError: a weight does not fit, or one is missing that does not start as the identity.
        """
        own = self.state_dict()
        weights = {name: _widened(value, own[name]) if name in _WIDENED else value for name, value in weights.items()}
        misfits = [name for name, value in weights.items() if name not in own or own[name].shape != value.shape]
        new = (
            "picture_look.",
            "hint_to_query.",
            "hint_to_prompt.",
            "body.encoders.",
            "body.decoders.",
            "body.middle_blks.",
        )
        missing = [name for name in own if name not in weights and not name.startswith(new)]
        if misfits or missing:
            raise WeightsError(f"weights to begin from do not fit: misfits {misfits[:3]}, missing {missing[:3]}")
        self.load_state_dict({**own, **weights})

    def _checked_hints(self, lq: Tensor, hints: Tensor | None) -> Tensor:
        """Hints of the right width, none as zeros.

        Raises:
            ShapeError: see `forward`.
        """
        if lq.ndim != 4 or lq.shape[1] != 3:
            raise ShapeError(f"expected lq of shape (B, 3, H, W), got {tuple(lq.shape)}")
        shape = (len(lq), 2 * len(self.config["degradations"]))
        if hints is None:
            return lq.new_zeros(shape)
        if hints.shape != shape:
            raise ShapeError(f"expected hints of shape {shape}, got {tuple(hints.shape)}")
        return hints


_WIDENED = ("estimator.weight", "estimator.bias")
"""Weights that a `PromptedNAFNet` has too, for fewer names and without the code."""


def _widened(weight: Tensor, like: Tensor) -> Tensor:
    """A weight with zeros behind it on each axis, as another one is long; itself where it does not fit into that."""
    if any(size > limit for size, limit in zip(weight.shape, like.shape, strict=True)):
        return weight
    widened = torch.zeros_like(like)
    widened[tuple(slice(size) for size in weight.shape)] = weight
    return widened


def options_of_checkpoint(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Constructor arguments that a checkpoint's keys and shapes call for; names and `top_k` leave no trace in them.

    Args:
        weights: Key to tensor; has "body.intro.weight", "body.ending.weight", "pool.keys" and
            "picture_look.to_grid.weight".
    """
    code_dim = weights["picture_look.to_code.3.weight"].shape[0]
    num_levels = weights["picture_look.to_grid.weight"].shape[0] // NUM_COEFFICIENTS
    return {**options_of_prompted(weights), "code_dim": code_dim, "num_levels": num_levels}
