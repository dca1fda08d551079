"""NAFNet with a pool of task prompts: a small blind restorer that says what it sees.

The body is Chen et al. 2022 (https://arxiv.org/abs/2204.04676); the pool follows the idea of DATPRL-IR at small size.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ldrestore.blocks.observation import observed
from ldrestore.blocks.prompt_pool import GatedInjection, PromptPool
from ldrestore.errors import ConfigError
from ldrestore.regressors.nafnet import NAFNet
from ldrestore.regressors.nafnet import options_of_checkpoint as options_of_body
from ldrestore.tiling.shared_statistics import MapStatistic


class PromptedNAFNet(ModelMixin, ConfigMixin):
    """A NAFNet whose decoder is told by prompts what the encoder saw.

    The query is made from the mean and the spread of the features of every encoder level and of the middle: noise and
    blocks of compression show in the fine ones, haze and darkness in the coarse ones. From it follow the prompt, which
    enters each decoder level through a gate, and the degradation estimate, in the same pass.
    """

    @register_to_config
    def __init__(
        self,
        degradations: Sequence[str],
        width: int = 40,
        middle_blk_num: int = 2,
        enc_blk_nums: Sequence[int] = (2, 2, 4),
        dec_blk_nums: Sequence[int] = (2, 2, 2),
        squeeze: int = 2,
        num_prompts: int = 16,
        prompt_dim: int = 96,
        top_k: int = 3,
    ) -> None:
        """Build the network.

        Args:
            degradations: Names that the estimate is about, in its order.
            width: See `NAFNet`, as the next four.
            middle_blk_num: Blocks at the lowest resolution.
            enc_blk_nums: Blocks of each encoder level, finest first.
            dec_blk_nums: Blocks of each decoder level, coarsest first.
            squeeze: Side of the pixel blocks that are folded into channels.
            num_prompts: Size of the pool.
            prompt_dim: D of queries, keys and values.
            top_k: Prompts that one picture takes.

        Raises:
            ConfigError: no degradation, or a size is out of range.
        """
        super().__init__()
        if not degradations:
            raise ConfigError("degradations is empty; name at least one")
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
        self.pool = PromptPool(num_prompts=num_prompts, dim=prompt_dim, top_k=top_k)
        self.injections = decoder_injections(widths, prompt_dim)
        self.estimator = nn.Linear(prompt_dim, len(degradations))
        self.size_multiple = self.body.size_multiple

    def forward(self, lq: Tensor, *, return_estimate: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Restore a batch of any height and width.

        Args:
            lq: (B, 3, H, W), in [0, 1].
            return_estimate: Whether to return what is wrong with the pictures, too.

        Returns:
            (B, 3, H, W), around [0, 1], not clamped; with `return_estimate` also (B, N) logits, one for each of
            `config.degradations`: each may be there or not, whatever the others.

        Raises:
            ShapeError: not four axes, or not three channels.
        """
        queries: list[Tensor] = []

        def condition(features: list[Tensor]) -> list[Callable[[Tensor], Tensor]]:
            query = self.to_query(self.statistics(*features))  # (B, D)
            queries.append(query)
            prompt, _ = self.pool(query)
            return [partial(injection, prompt=prompt) for injection in self.injections]

        restored = self.body(lq, condition)
        return (restored, self.estimator(queries[0])) if return_estimate else restored

    @torch.no_grad()
    def usage(self, lq: Tensor) -> dict[str, Tensor]:
        """How strongly each prompt of the pool is used, from one forward pass.

        Args:
            lq: See `forward`.

        Returns:
            "task" to (B, N): the softmax weights, zero for those that a picture has not chosen; each row sums to 1.

        Raises:
            ShapeError: not four axes, or not three channels.
        """
        with observed({"task": self.pool}) as outputs:
            self(lq)
        return {name: weights for name, (_, weights) in outputs.items()}


def query_layers(widths: Sequence[int], prompt_dim: int) -> nn.Sequential:
    """Layers from `means_and_spreads` of maps of these widths, (B, 2 * sum of widths), to a query (B, D)."""
    return nn.Sequential(
        nn.LayerNorm(2 * sum(widths)),
        nn.Linear(2 * sum(widths), 2 * prompt_dim),
        nn.GELU(),
        nn.Linear(2 * prompt_dim, prompt_dim),
    )


def decoder_injections(widths: Sequence[int], prompt_dim: int) -> nn.ModuleList:
    """A gate for the prompt at each decoder level, coarsest first; the widths are finest first, the middle's last."""
    return nn.ModuleList(GatedInjection(channels, dim=prompt_dim) for channels in reversed(widths[:-1]))


def means_and_spreads(*features: Tensor) -> Tensor:
    """Mean and standard deviation over the positions of each channel.

    Args:
        features: (B, C, H, W) each, C and size may differ.

    Returns:
        (B, 2 * sum of C), in the type of the features; taken in float32, in which a large picture's sum fits.
    """
    parts = []
    for feature in features:
        variance, mean = torch.var_mean(feature.float(), dim=(2, 3), correction=0)
        parts += [mean, torch.sqrt(variance + 1e-6)]
    return torch.cat(parts, dim=1).to(features[0].dtype)


def options_of_checkpoint(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Constructor arguments that a checkpoint's keys and shapes call for; names and `top_k` leave no trace in them.

    Args:
        weights: Key to tensor; has "body.intro.weight", "body.ending.weight" and "pool.keys".
    """
    inside = {key.removeprefix("body."): value for key, value in weights.items() if key.startswith("body.")}
    body = options_of_body(inside)
    num_prompts, prompt_dim = weights["pool.keys"].shape
    own = {key: value for key, value in body.items() if key not in ("img_channel", "is_affine")}
    return {**own, "num_prompts": num_prompts, "prompt_dim": prompt_dim}
