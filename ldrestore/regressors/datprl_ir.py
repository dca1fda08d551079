"""DATPRL-IR in the layout of the published checkpoints, Dong et al. 2026 (https://arxiv.org/abs/2603.01725)."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.blocks.observation import observed
from ldrestore.blocks.restormer_block import Downsample, PatchEmbedding, TransformerBlock, Upsample
from ldrestore.errors import ConfigError, ShapeError
from ldrestore.images.padding import crop_to
from ldrestore.regressors.prompt_combination import Combination, PromptCombination, QueryMapper
from ldrestore.regressors.prompt_injection import InjectorKind, Prompt, PromptedTransformerBlock
from ldrestore.regressors.prompt_losses import (
    alignment_loss,
    combination_balance_loss,
    contrastive_loss,
    diversity_loss,
)
from ldrestore.regressors.restormer import options_of_checkpoint as options_of_body
from ldrestore.weights.fitting import count_modules

SIZE_MULTIPLE = 8

FUSION_HEADS = 8
"""Heads of the attention that fuses the two representations; they divide D."""

PUBLISHED_TOP_K = (5, 3)
"""Prompts that a picture takes of the domain pool and of the task pool; no shape of a checkpoint tells."""

DomainSource = Literal["pool", "text", "none"]
"""What knows the domain: a pool of prompts, a text's features that are given with each picture, or nothing."""


class DATPRLIR(ModelMixin, ConfigMixin):
    """A Restormer whose latent, decoder and refinement are guided by prompts that the picture chooses.

    The first features ask the domain pool, the deepest ones the task pool ("degradation" in the release's names); each
    composes a representation of its nearest prompts, PR_d and PR_t, and cross-attention fuses them to PR_dt, which
    enters every later block, see `PromptedTransformerBlock`. The domain pool learns from text features that are
    computed beforehand and given in training alone: restoring takes neither a language model nor CLIP.

    As released, the fusion has one query and one key, so that its attention is 1 whatever they say and PR_t is just
    projected and added; sides are padded with zeros to a multiple of 8; and the attention and feed-forward of the
    fusion drop a tenth in training.
    """

    @register_to_config
    def __init__(
        self,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        dec_blk_nums: Sequence[int] = (6, 6, 4),
        num_refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        prompt_dim: int = 1024,
        value_num_tokens: int = 2,
        pool_sizes: Sequence[int] = (15, 15),
        top_k: Sequence[int] = PUBLISHED_TOP_K,
        domain_source: DomainSource = "pool",
        with_task_pool: bool = True,
        injector: InjectorKind = "released",
    ) -> None:
        """Build the network; the defaults are the published layout for several domains.

        Args:
            dim: C at the finest level, a multiple of 4.
            num_blocks: Blocks of the three encoder levels, finest first, and of the latent.
            dec_blk_nums: Blocks of the three decoder levels, finest first.
            num_refinement_blocks: Blocks after the decoder, at the finest level.
            heads: Attention heads of the four levels.
            prompt_dim: D of the representations, a multiple of 8; 1024 is that of the text features of CLIP's RN50.
            value_num_tokens: Tokens a prompt.
            pool_sizes: Prompts of the domain pool and of the task pool.
            top_k: How many of each pool a picture takes.
            domain_source: "none" is the published layout for natural pictures, and the ablation without domain pool;
                "text" the ablation that puts a text's features in the place of the domain pool, see `forward`.
            with_task_pool: False is the ablation without task pool. Without a domain too, no prompt enters anything:
                the baseline.
            injector: See `PromptedTransformerBlock`.

        Raises:
            ConfigError: a list of another length, an unknown word, sizes that do not fit, or the spatial injector
                without any pool.
        """
        super().__init__()
        _check(num_blocks, dec_blk_nums, heads, pool_sizes, top_k)
        _check_choices(domain_source, injector, dim=dim, prompt_dim=prompt_dim)
        if injector == "spatial" and not with_task_pool and domain_source != "pool":
            raise ConfigError("the spatial injector lets positions choose among prompts; it needs a pool")
        self._add_encoder(dim)
        self._add_decoder(dim)
        if domain_source == "pool":
            self.domain_prompt_pool = self._pool(0)
            self.domain_mapper = QueryMapper(dim, dim=prompt_dim, grid=8)
        if with_task_pool:
            self.degradation_prompt_pool = self._pool(1)
            self.degradation_mapper = QueryMapper(8 * dim, dim=prompt_dim, grid=4)
        if with_task_pool and domain_source != "none":
            self._add_fusion(prompt_dim)
        self.size_multiple = SIZE_MULTIPLE

    def _add_encoder(self, dim: int) -> None:
        """From the picture to the deepest features; no prompt enters here."""
        depths, heads = self.config["num_blocks"], self.config["heads"]

        def level(index: int) -> nn.Sequential:
            blocks = (TransformerBlock(dim * 2**index, num_heads=heads[index]) for _ in range(depths[index]))
            return nn.Sequential(*blocks)

        self.patch_embed = PatchEmbedding(3, dim)
        self.encoder_level1 = level(0)
        self.down1_2 = Downsample(dim)
        self.encoder_level2 = level(1)
        self.down2_3 = Downsample(2 * dim)
        self.encoder_level3 = level(2)
        self.down3_4 = Downsample(4 * dim)

    def _add_decoder(self, dim: int) -> None:
        """From the deepest features to the residual of the picture."""
        depths = self.config["dec_blk_nums"]
        self.latent_blocks = self._prompted_level(3, num_channels=8 * dim, count=self.config["num_blocks"][3])
        self.up4_3 = Upsample(8 * dim)
        self.reduce_chan_level3 = nn.Conv2d(8 * dim, 4 * dim, 1, bias=False)
        self.decoder_level3 = self._prompted_level(2, num_channels=4 * dim, count=depths[2])
        self.up3_2 = Upsample(4 * dim)
        self.reduce_chan_level2 = nn.Conv2d(4 * dim, 2 * dim, 1, bias=False)
        self.decoder_level2 = self._prompted_level(1, num_channels=2 * dim, count=depths[1])
        self.up2_1 = Upsample(2 * dim)
        self.decoder_level1 = self._prompted_level(0, num_channels=2 * dim, count=depths[0])
        num_refinement_blocks = self.config["num_refinement_blocks"]
        self.refinement = self._prompted_level(0, num_channels=2 * dim, count=num_refinement_blocks)
        self.output = nn.Conv2d(2 * dim, 3, 3, padding=1, bias=False)

    def _prompted_level(self, level: int, *, num_channels: int, count: int) -> nn.ModuleList:
        """Blocks that a prompt enters, or plain ones in the baseline, which has none."""
        num_heads = self.config["heads"][level]
        if self.config["domain_source"] == "none" and not self.config["with_task_pool"]:
            return nn.ModuleList(TransformerBlock(num_channels, num_heads=num_heads) for _ in range(count))
        options = {"prompt_dim": self.config["prompt_dim"], "injector": self.config["injector"]}
        return nn.ModuleList(
            PromptedTransformerBlock(num_channels, num_heads=num_heads, **options) for _ in range(count)
        )

    def _pool(self, index: int) -> PromptCombination:
        """The domain pool, 0, or the task pool, 1."""
        return PromptCombination(
            num_prompts=self.config["pool_sizes"][index],
            dim=self.config["prompt_dim"],
            top_k=self.config["top_k"][index],
            num_tokens=self.config["value_num_tokens"],
        )

    def _add_fusion(self, prompt_dim: int) -> None:
        """What makes one representation of two."""
        self.prompt_cross_attention = nn.MultiheadAttention(prompt_dim, FUSION_HEADS, dropout=0.1, batch_first=True)
        self.prompt_fusion_norm = nn.LayerNorm(prompt_dim)
        self.prompt_fusion_ffn = nn.Sequential(
            nn.Linear(prompt_dim, 2 * prompt_dim), nn.GELU(), nn.Dropout(0.1), nn.Linear(2 * prompt_dim, prompt_dim)
        )

    @property
    def embedding_shape(self) -> tuple[int, ...]:
        """Shape of one picture's text features."""
        return (self.config["prompt_dim"],)

    def forward(
        self, lq: Tensor, embedding: Tensor | None = None, *, return_auxiliary: bool = False
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Restore a batch of any height and width.

        Args:
            lq: (B, 3, H, W), in [0, 1].
            embedding: (B, D), or (1, D) for all pictures: text features. With the domain pool they are what its
                representations are aligned to, and the picture restored does not depend on them. With
                `domain_source="text"` they take the pool's place, normalised to mean 0 and variance 1, and None stands
                for zeros. A network without domain makes no use of them.
            return_auxiliary: Whether the network's own losses are returned too.

        Returns:
            (B, 3, H, W), around [0, 1], not clamped. With `return_auxiliary` also the losses of
            `regressors.prompt_losses`, float32 scalars without weight, in this order: "alignment", "diversity",
            "balance" and "contrastive", each but the first summed over the pools. A loss that has nothing to say is
            zero without gradient: the alignment without domain pool or without embedding, all four without any pool.

        Raises:
            ShapeError: lq or the embedding has another shape.
        """
        if lq.ndim != 4 or lq.shape[1] != 3:
            raise ShapeError(f"expected lq of shape (B, 3, H, W), got {tuple(lq.shape)}")
        embedding = self._checked(embedding, lq)
        height, width = lq.shape[-2:]
        padded = F.pad(lq, (0, -width % SIZE_MULTIPLE, 0, -height % SIZE_MULTIPLE))
        padded = padded.contiguous(memory_format=torch.channels_last)
        embedded = self.patch_embed(padded)  # (B, C, H, W)
        level1 = self.encoder_level1(embedded)
        level2 = self.encoder_level2(self.down1_2(level1))  # (B, 2C, H/2, W/2)
        level3 = self.encoder_level3(self.down2_3(level2))  # (B, 4C, H/4, W/4)
        deepest = self.down3_4(level3)  # (B, 8C, H/8, W/8)
        combinations = self._combinations(embedded, deepest)
        prompt = self._prompt(combinations, embedding)
        latent = _through(self.latent_blocks, deepest, prompt)
        joined = self.reduce_chan_level3(torch.cat([self.up4_3(latent), level3], dim=1))
        decoded = self.up3_2(_through(self.decoder_level3, joined, prompt))
        joined = self.reduce_chan_level2(torch.cat([decoded, level2], dim=1))
        decoded = self.up2_1(_through(self.decoder_level2, joined, prompt))
        decoded = _through(self.decoder_level1, torch.cat([decoded, level1], dim=1), prompt)  # (B, 2C, H, W)
        restored = crop_to(self.output(_through(self.refinement, decoded, prompt)) + padded, height, width)
        return (restored, self._losses(combinations, embedding)) if return_auxiliary else restored

    @torch.no_grad()
    def usage(self, lq: Tensor, embedding: Tensor | None = None) -> dict[str, Tensor]:
        """How strongly each prompt is used, from one forward pass.

        Args:
            lq: (B, 3, H, W), in [0, 1].
            embedding: As in `forward`.

        Returns:
            "domain" and "task" to (B, N), as far as there are such pools: the softmax weights, zero for those that a
            picture has not chosen; each row sums to 1.
        """
        with observed(self._pools()) as outputs:
            self(lq, embedding)
        return {name: combination.weights for name, combination in outputs.items()}

    def _pools(self) -> dict[str, PromptCombination]:
        """The pools that there are, the domain's first."""
        pools = {"domain": "domain_prompt_pool", "task": "degradation_prompt_pool"}
        return {name: getattr(self, attribute) for name, attribute in pools.items() if hasattr(self, attribute)}

    def _combinations(self, embedded: Tensor, deepest: Tensor) -> dict[str, Combination]:
        """What the pools answer.

        Args:
            embedded: (B, C, H, W), the first features.
            deepest: (B, 8C, H/8, W/8).
        """
        pools, found = self._pools(), {}
        if "domain" in pools:
            found["domain"] = pools["domain"](self.domain_mapper(embedded))
        if "task" in pools:
            found["task"] = pools["task"](self.degradation_mapper(deepest))
        return found

    def _prompt(self, combinations: Mapping[str, Combination], embedding: Tensor | None) -> Prompt | None:
        """The domain-aware task representation PR_dt and the tokens behind it; None in the baseline."""
        domain = combinations["domain"].prompt if "domain" in combinations else None
        if self.config["domain_source"] == "text" and embedding is not None:
            domain = F.layer_norm(embedding, self.embedding_shape)
        task = combinations["task"].prompt if "task" in combinations else None
        if domain is not None and task is not None:
            representation = self._fused(domain, task)
        elif domain is not None:
            representation = domain
        elif task is not None:
            representation = task
        else:
            return None
        tokens, shares = [representation.unsqueeze(1)], [representation.new_ones(len(representation), 1)]
        if self.config["injector"] == "spatial":
            for name, pool in self._pools().items():
                chosen, share = pool.chosen_tokens(combinations[name])
                tokens.append(chosen)
                shares.append(share)
        return Prompt(representation, torch.cat(tokens, dim=1), torch.cat(shares, dim=1))

    def _fused(self, domain: Tensor, task: Tensor) -> Tensor:
        """PR_dt of PR_d, which asks, and PR_t, which answers: (B, D) and (B, D) to (B, D)."""
        query, value = domain.unsqueeze(1), task.unsqueeze(1)  # (B, 1, D)
        attended = self.prompt_cross_attention(query, value, value, need_weights=False)[0].squeeze(1)
        fused = self.prompt_fusion_norm(attended + domain)
        return fused + self.prompt_fusion_ffn(fused)

    def _losses(self, combinations: Mapping[str, Combination], embedding: Tensor | None) -> dict[str, Tensor]:
        """The unweighted losses of `forward`."""
        nothing = next(self.parameters()).new_zeros((), dtype=torch.float32)
        alignment, pools = nothing, self._pools()
        if "domain" in combinations and embedding is not None:
            alignment = alignment_loss(combinations["domain"].prompt, embedding)
        return {
            "alignment": alignment,
            "diversity": sum((diversity_loss(pool) for pool in pools.values()), nothing),
            "balance": sum((combination_balance_loss(combination) for combination in combinations.values()), nothing),
            "contrastive": sum((contrastive_loss(combination) for combination in combinations.values()), nothing),
        }

    def _checked(self, embedding: Tensor | None, lq: Tensor) -> Tensor | None:
        """Text features on the device and in the number format of lq, one a picture; zeros where they must be there.

        Raises:
            ShapeError: they are neither (B, D) nor (1, D).
        """
        batch, dim = lq.shape[0], self.config["prompt_dim"]
        if embedding is None:
            return lq.new_zeros(batch, dim) if self.config["domain_source"] == "text" else None
        if embedding.ndim != 2 or embedding.shape[0] not in (1, batch) or embedding.shape[1] != dim:
            raise ShapeError(f"expected embedding of shape ({batch}, {dim}), got {tuple(embedding.shape)}")
        return embedding.to(lq).expand(batch, dim)


def _through(blocks: nn.ModuleList, hidden_states: Tensor, prompt: Prompt | None) -> Tensor:
    """Features (B, C, H, W) through the blocks of a level, to the same shape."""
    for block in blocks:
        hidden_states = block(hidden_states) if prompt is None else block(hidden_states, prompt)
    return hidden_states


def _check(
    num_blocks: Sequence[int],
    dec_blk_nums: Sequence[int],
    heads: Sequence[int],
    pool_sizes: Sequence[int],
    top_k: Sequence[int],
) -> None:
    """Refuse lists of another length.

    Raises:
        ConfigError: one is too short or too long.
    """
    lengths = tuple(map(len, (num_blocks, dec_blk_nums, heads, pool_sizes, top_k)))
    if lengths != (4, 3, 4, 2, 2):
        raise ConfigError(
            "DATPRL-IR needs four num_blocks and heads, three dec_blk_nums, and pool_sizes and top_k of two pools, got "
            f"{lengths[0]} and {lengths[2]}, {lengths[1]}, {lengths[3]} and {lengths[4]}"
        )


def _check_choices(domain_source: str, injector: str, *, dim: int, prompt_dim: int) -> None:
    """Refuse unknown words and widths that cannot be divided.

    Raises:
        ConfigError: something does not fit.
    """
    for name, value, known in (
        ("domain_source", domain_source, get_args(DomainSource)),
        ("injector", injector, get_args(InjectorKind)),
    ):
        if value not in known:
            raise ConfigError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    if dim % 4 or prompt_dim % FUSION_HEADS:
        raise ConfigError(f"dim must be a multiple of 4 and prompt_dim of {FUSION_HEADS}, got {dim} and {prompt_dim}")


def options_of_checkpoint(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Constructor arguments that a checkpoint's keys and shapes call for.

    How many prompts a picture takes is in no shape: as published, as far as the pools go.

    Args:
        weights: Key to tensor; has "patch_embed.proj.weight" and "latent_blocks.0.attn.temperature".
    """
    body = options_of_body({key.replace("latent_blocks.", "latent."): value for key, value in weights.items()})
    options = {
        "dim": body["dim"],
        "num_blocks": body["num_blocks"],
        "dec_blk_nums": tuple(count_modules(weights, f"decoder_level{level}.") for level in (1, 2, 3)),
        "num_refinement_blocks": body["num_refinement_blocks"],
        "heads": body["heads"],
        "domain_source": _domain_source_of(weights),
        "with_task_pool": "degradation_prompt_pool.prompt_keys" in weights,
        "injector": "spatial" if "latent_blocks.0.injection_gate.weight" in weights else "released",
    }
    return options | _prompt_options_of(weights)


def _prompt_options_of(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a checkpoint's prompts and pools call for, as far as it has them."""
    options: dict[str, Any] = {}
    if (norm := weights.get("latent_blocks.0.prompt_norm.weight")) is not None:
        options["prompt_dim"] = len(norm)
    values = [weights.get(f"{pool}_prompt_pool.prompt_values") for pool in ("domain", "degradation")]
    present = [value for value in values if value is not None]
    if present:
        sizes = [len(present[0]) if value is None else len(value) for value in values]
        options["pool_sizes"] = tuple(sizes)
        options["top_k"] = tuple(min(count, size) for count, size in zip(PUBLISHED_TOP_K, sizes, strict=True))
        options["value_num_tokens"] = present[0].shape[1]
    return options


def _domain_source_of(weights: Mapping[str, Tensor]) -> DomainSource:
    """Where a checkpoint's domain comes from."""
    if "domain_prompt_pool.prompt_keys" in weights:
        return "pool"
    is_prompted = "latent_blocks.0.prompt_norm.weight" in weights
    has_task = "degradation_prompt_pool.prompt_keys" in weights
    is_fused = "prompt_cross_attention.in_proj_weight" in weights
    return "text" if is_fused or (is_prompted and not has_task) else "none"
