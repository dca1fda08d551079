"""MMFE-IR, reconstructed from its paper, Lee et al. 2026 (https://arxiv.org/abs/2605.11444).

Neither code nor weights are published. The text leaves much open; where it does, this network takes what matches the
printed parameter counts (26.1, 29.6, 30.0, 30.2 and 37.5 million for the parts, 35.9 to 39.3 for 1 to 16 experts, 38.1
with the low band). Other designs match them, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.blocks.restormer_block import Downsample, PatchEmbedding, TransformerBlock, Upsample
from ldrestore.errors import ConfigError, InputError, ShapeError
from ldrestore.images.padding import crop_to, pad_to_multiple
from ldrestore.regressors.frequency_experts import FrequencyExperts, guidance_matching
from ldrestore.regressors.guided_fusion import ChannelFusion, LiteralFusion
from ldrestore.regressors.haar import haar_transform
from ldrestore.regressors.prompt_encoder import PromptEncoder
from ldrestore.regressors.restormer import options_of_checkpoint as options_of_body

SIZE_MULTIPLE = 8

SHARED_WIDTH = 1024
"""Width to which "shared_projection" brings the guide's embeddings."""

Guide = Literal["embedding", "prompt_encoder"]
"""Who looks at the picture: a guide outside, whose embedding forward takes, or a small encoder inside."""
Fusion = Literal["channel", "literal", "shared_projection"]
"""How embeddings enter the features, see `MMFEIR`."""
FusedEmbedding = Literal["image", "joint"]
"""E_Image, the mean over the guide's picture tokens, or E_Joint, the mean over all of its tokens."""
ExpertDomain = Literal["frequency", "frequency_with_low", "spatial"]
"""What the experts see: the sub-bands LH, HL and HH; LL as well; or the resized picture itself."""

_NUM_EMBEDDINGS = 3
_BAND_CHANNELS: dict[str, int] = {"frequency": 9, "frequency_with_low": 12, "spatial": 3}


@dataclass(frozen=True, slots=True)
class _Guidance:
    """What enters the U besides the features."""

    answer: Tensor
    """(B, width), E_Answer."""
    fused: dict[str, Tensor]
    """"encoder" and "decoder" to the embedding that is fused there, (B, width)."""
    weights: dict[str, Tensor]
    """Place to the weights of its experts, (B, N)."""
    bands: dict[int, Tensor]
    """Level to what its experts see, (B, D, H / 2^(level - 1), W / 2^(level - 1))."""


class MMFEIR(ModelMixin, ConfigMixin):
    """A Restormer with a multimodal guide: fusion blocks (MGFB) and a mixture of frequency experts (MoFE).

    Fusion blocks stand before the blocks of the four encoder levels and after those of the four decoder levels (Fig. 2;
    the latent is level 4 of both), mixtures of experts after each down-sampling and before each up-sampling. `mgfb`:

    - "channel": `ChannelFusion`. Matches all ten printed parameter counts.
    - "literal": `LiteralFusion`, Eq. 1 and 2 as printed; 1.05 million parameters fewer than printed.
    - "shared_projection": the same of embeddings that one linear map for the encoder and one for the decoder bring to
      1024 channels. Matches all ten counts if the first encoder level, which follows no down-sampling, has no block.

    For the sub-bands to have the size of the features, the picture is resized to twice that size before the transform,
    by the mean over blocks. Ablations are settings: `encoder_embedding` and `decoder_embedding` None for no fusion
    there, or exchanged; `expert_levels` empty for no experts, or a single one; with all of these off it is a Restormer.
    """

    @register_to_config
    def __init__(
        self,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        num_refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        guide: Guide = "embedding",
        embedding_width: int = 2048,
        mgfb: Fusion = "channel",
        encoder_embedding: FusedEmbedding | None = "image",
        decoder_embedding: FusedEmbedding | None = "joint",
        num_experts: int = 8,
        expert_levels: Sequence[int] = (2, 3, 4),
        expert_domain: ExpertDomain = "frequency",
    ) -> None:
        """Build the network; the defaults are those of the paper.

        Args:
            dim: C at the finest level.
            num_blocks: Blocks of the four levels, finest first; the decoder has as many.
            num_refinement_blocks: Blocks after the decoder, at the finest level.
            heads: Attention heads of the four levels.
            guide: With "prompt_encoder" the network makes the embeddings from lq itself and needs no guide.
            embedding_width: Length of an embedding: 2048 for Qwen2.5-VL-3B, 1536 and 896 for the smaller FastVLM.
            mgfb: How embeddings enter the features.
            encoder_embedding: Which one the encoder takes; None for none.
            decoder_embedding: Which one the decoder takes; None for none.
            num_experts: N of each mixture.
            expert_levels: Levels, of 2, 3 and 4, with a mixture in encoder and decoder.
            expert_domain: What the experts see.

        Raises:
            ConfigError: not four levels, a word that is no choice, or a number out of range.
        """
        super().__init__()
        if len(num_blocks) != 4 or len(heads) != 4:
            raise ConfigError(f"num_blocks and heads need four levels, got {list(num_blocks)} and {list(heads)}")
        self._check_choices()
        self._add_encoder(dim)
        self._add_decoder(dim)
        widths = [dim, 2 * dim, 4 * dim, 8 * dim]
        self._add_guidance({f"encoder_{level}": widths[level - 1] for level in (1, 2, 3, 4)}, encoder_embedding)
        decoder_widths = {"decoder_4": 8 * dim, "decoder_3": 4 * dim, "decoder_2": 2 * dim, "decoder_1": 2 * dim}
        self._add_guidance(decoder_widths, decoder_embedding)
        if guide == "prompt_encoder" and self._is_guided:  # one that nothing listens to would get no gradient
            self.prompt_encoder = PromptEncoder(dim, num_embeddings=_NUM_EMBEDDINGS, embedding_width=embedding_width)
        self.size_multiple = SIZE_MULTIPLE

    def _check_choices(self) -> None:
        """Refuse settings that mean nothing.

        Raises:
            ConfigError: a word that is no choice, or a number out of range.
        """
        choices = {"guide": get_args(Guide), "mgfb": get_args(Fusion), "expert_domain": get_args(ExpertDomain)}
        choices |= dict.fromkeys(("encoder_embedding", "decoder_embedding"), (*get_args(FusedEmbedding), None))
        for name, known in choices.items():
            if self.config[name] not in known:
                raise ConfigError(f"{name} must be one of {', '.join(map(str, known))}, got {self.config[name]!r}")
        levels = list(self.config["expert_levels"])
        if not set(levels) <= {2, 3, 4} or len(set(levels)) != len(levels):
            raise ConfigError(f"expert_levels are some of 2, 3 and 4, each once, got {levels}")
        for name in ("embedding_width", "num_experts"):
            if self.config[name] < 1:
                raise ConfigError(f"{name} must be at least 1, got {self.config[name]}")

    def _add_encoder(self, dim: int) -> None:
        """From the picture to the latent, under the names of Restormer."""
        self.patch_embed = PatchEmbedding(3, dim)
        self.encoder_level1 = self._level(1, num_channels=dim)
        self.down1_2 = Downsample(dim)
        self.encoder_level2 = self._level(2, num_channels=2 * dim)
        self.down2_3 = Downsample(2 * dim)
        self.encoder_level3 = self._level(3, num_channels=4 * dim)
        self.down3_4 = Downsample(4 * dim)
        self.latent = self._level(4, num_channels=8 * dim)

    def _add_decoder(self, dim: int) -> None:
        """From the latent to the residual of the picture, under the names of Restormer."""
        self.up4_3 = Upsample(8 * dim)
        self.reduce_chan_level3 = nn.Conv2d(8 * dim, 4 * dim, 1, bias=False)
        self.decoder_level3 = self._level(3, num_channels=4 * dim)
        self.up3_2 = Upsample(4 * dim)
        self.reduce_chan_level2 = nn.Conv2d(4 * dim, 2 * dim, 1, bias=False)
        self.decoder_level2 = self._level(2, num_channels=2 * dim)
        self.up2_1 = Upsample(2 * dim)
        self.decoder_level1 = self._level(1, num_channels=2 * dim)
        self.refinement = self._level(1, num_channels=2 * dim, count=self.config["num_refinement_blocks"])
        self.output = nn.Conv2d(2 * dim, 3, 3, padding=1, bias=False)
        self.fusions, self.mofe, self.shared_projection = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()

    def _level(self, level: int, *, num_channels: int, count: int | None = None) -> nn.Sequential:
        """The blocks of a level, as many as `num_blocks` says or `count`."""
        num_blocks = self.config["num_blocks"][level - 1] if count is None else count
        num_heads = self.config["heads"][level - 1]
        return nn.Sequential(*(TransformerBlock(num_channels, num_heads=num_heads) for _ in range(num_blocks)))

    def _add_guidance(self, widths: Mapping[str, int], fused: FusedEmbedding | None) -> None:
        """Fusion blocks and mixtures of one side of the U.

        Args:
            widths: Place, such as "encoder_2", to its channels.
            fused: The embedding that this side takes.
        """
        kind, embedding_width = self.config["mgfb"], self.config["embedding_width"]
        if fused is not None and kind == "shared_projection":
            side = next(iter(widths)).partition("_")[0]
            self.shared_projection[side] = nn.Linear(embedding_width, SHARED_WIDTH, bias=False)
        for place, num_channels in widths.items():
            level = int(place[-1])
            num_heads = self.config["heads"][level - 1]
            if level in self.config["expert_levels"]:
                self.mofe[place] = FrequencyExperts(
                    num_channels,
                    num_heads=num_heads,
                    num_experts=self.config["num_experts"],
                    band_channels=_BAND_CHANNELS[self.config["expert_domain"]],
                    embedding_width=embedding_width,
                )
            if fused is None or (kind == "shared_projection" and place == "encoder_1"):
                continue
            fusion: ChannelFusion | LiteralFusion
            if kind == "channel":
                fusion = ChannelFusion(num_channels, num_heads=num_heads, embedding_width=embedding_width)
            else:
                told_width = embedding_width if kind == "literal" else SHARED_WIDTH
                fusion = LiteralFusion(num_channels, embedding_width=told_width)
            self.fusions[place] = fusion

    @property
    def embedding_shape(self) -> tuple[int, ...] | None:
        """Shape of one picture's embedding: E_Image, E_Joint and E_Answer; None where no guide outside is heard."""
        is_told = self._is_guided and self.config["guide"] == "embedding"
        return (_NUM_EMBEDDINGS, self.config["embedding_width"]) if is_told else None

    @property
    def _is_guided(self) -> bool:
        """Whether there is a fusion block or a mixture; the guide is nothing to a plain Restormer."""
        return bool(self.fusions) or bool(self.mofe)

    def forward(
        self, lq: Tensor, embedding: Tensor | None = None, *, return_auxiliary: bool = False
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Restore a batch of any height and width, padded by reflection inside.

        Args:
            lq: (B, 3, H, W), in [0, 1].
            embedding: (B, 3, width), or (1, 3, width) for all pictures: E_Image, E_Joint and E_Answer of the guide.
                None stands for zeros, which say nothing: all experts then weigh one half, and the fusion blocks know
                their biases alone.
            return_auxiliary: Whether to return the network's own loss, too.

        Returns:
            (B, 3, H, W), around [0, 1], not clamped; with `return_auxiliary` also "guidance_matching" to the mean of
            Eq. 7 over the routers, one a mixture; 0 for one picture, without an embedding, and without experts.

        Raises:
            ShapeError: lq or the embedding has another shape.
            InputError: an embedding for a network with a prompt encoder.
        """
        guidance = self._guidance(lq, embedding)
        restored = self._restored(lq, guidance)
        if not return_auxiliary:
            return restored
        losses = [guidance_matching(guidance.answer, weights) for weights in guidance.weights.values()]
        total = torch.stack(losses).mean() if losses else lq.new_zeros((), dtype=torch.float32)
        return restored, {"guidance_matching": total}

    @torch.no_grad()
    def usage(self, lq: Tensor, embedding: Tensor | None = None) -> dict[str, Tensor]:
        """How strongly each expert is used, S of Eq. 4.

        Args:
            lq: See `forward`.
            embedding: See `forward`.

        Returns:
            Place of the mixture, such as "encoder_2", in the order of the forward pass, to (B, N), each in (0, 1).

        Raises:
            ShapeError: lq or the embedding has another shape.
            InputError: an embedding for a network with a prompt encoder.
        """
        return self._guidance(lq, embedding).weights

    @torch.no_grad()
    def expert_maps(self, lq: Tensor, embedding: Tensor | None = None) -> Tensor:
        """What each expert adds, and where: how far the result moves when its number is silent in all mixtures.

        Args:
            lq: See `forward`.
            embedding: See `forward`.

        Returns:
            (B, N, H, W), absolute differences, mean over the colours.

        Raises:
            ShapeError: lq or the embedding has another shape.
            InputError: the network has no experts, or an embedding came to one with a prompt encoder.
        """
        if not self.mofe:
            raise InputError("this network was built without experts (expert_levels is empty) and has no maps of them")
        guidance = self._guidance(lq, embedding)
        restored, maps = self._restored(lq, guidance), []
        for index in range(self.config["num_experts"]):
            columns = torch.tensor([index], device=lq.device)
            weights = {place: weight.index_fill(1, columns, 0) for place, weight in guidance.weights.items()}
            without = self._restored(lq, replace(guidance, weights=weights))
            maps.append((restored - without).abs().mean(dim=1))  # (B, H, W)
        return torch.stack(maps, dim=1)

    def _guidance(self, lq: Tensor, embedding: Tensor | None) -> _Guidance:
        """What enters the U besides the features, see `forward`.

        Raises:
            ShapeError: lq or the embedding has another shape.
            InputError: an embedding for a network with a prompt encoder.
        """
        if lq.ndim != 4 or lq.shape[1] != 3:
            raise ShapeError(f"expected lq of shape (B, 3, H, W), got {tuple(lq.shape)}")
        embeddings = dict(zip(("image", "joint", "answer"), self._embeddings(lq, embedding).unbind(1), strict=True))
        fused = {}
        for side in ("encoder", "decoder"):
            name = self.config[f"{side}_embedding"]
            if name is not None:
                project = self.shared_projection[side] if side in self.shared_projection else nn.Identity()
                fused[side] = project(embeddings[name])
        mixtures = {place: mixture for place, mixture in self.mofe.items() if isinstance(mixture, FrequencyExperts)}
        weights = {place: mixture.weights_of(embeddings["answer"]) for place, mixture in mixtures.items()}
        padded = pad_to_multiple(lq, SIZE_MULTIPLE)
        bands = {level: self._bands(padded, level) for level in self.config["expert_levels"]}
        return _Guidance(answer=embeddings["answer"], fused=fused, weights=weights, bands=bands)

    def _embeddings(self, lq: Tensor, embedding: Tensor | None) -> Tensor:
        """(B, 3, width) on the device and in the number format of lq.

        Raises:
            ShapeError: the embedding has another shape.
            InputError: an embedding for a network with a prompt encoder.
        """
        if self.config["guide"] == "prompt_encoder":
            if embedding is not None:
                raise InputError("this network has its own prompt encoder and takes no embedding; leave it out")
            if self._is_guided:
                return self.prompt_encoder(lq)
        batch, expected = lq.shape[0], (_NUM_EMBEDDINGS, self.config["embedding_width"])
        if embedding is None:
            return lq.new_zeros(batch, *expected)
        if embedding.ndim == 3 and embedding.shape[1] == expected[0] and embedding.shape[2] != expected[1]:
            raise ShapeError(
                f"expected embeddings {expected[1]} wide, got {embedding.shape[2]}: they, or the cache that they come "
                f"from, are of another guide; make them with the guide that this network was trained with"
            )
        if embedding.shape not in ((batch, *expected), (1, *expected)):
            raise ShapeError(f"expected embedding of shape {(batch, *expected)}, got {tuple(embedding.shape)}")
        return embedding.to(lq).expand(batch, -1, -1)

    def _bands(self, padded: Tensor, level: int) -> Tensor:
        """What the experts of a level see, Eq. 3: (B, 3, H, W) to (B, D, H / 2^(level - 1), W / 2^(level - 1))."""
        domain = self.config["expert_domain"]
        if domain == "spatial":
            bands = F.avg_pool2d(padded, 2 ** (level - 1))
        else:
            first_band = 0 if domain == "frequency_with_low" else 1
            bands = haar_transform(F.avg_pool2d(padded, 2 ** (level - 2)))[:, first_band:].flatten(1, 2)
        return bands.contiguous(memory_format=torch.channels_last)

    def _restored(self, lq: Tensor, guidance: _Guidance) -> Tensor:
        """The guided U: (B, 3, H, W) to the same shape."""
        padded = pad_to_multiple(lq, SIZE_MULTIPLE).contiguous(memory_format=torch.channels_last)
        level1 = self.encoder_level1(self._entered(self.patch_embed(padded), "encoder_1", guidance))  # (B, C, H, W)
        level2 = self.encoder_level2(self._entered(self.down1_2(level1), "encoder_2", guidance))  # (B, 2C, H/2, W/2)
        level3 = self.encoder_level3(self._entered(self.down2_3(level2), "encoder_3", guidance))  # (B, 4C, H/4, W/4)
        latent = self.latent(self._entered(self.down3_4(level3), "encoder_4", guidance))  # (B, 8C, H/8, W/8)
        risen = self.up4_3(self._left(latent, "decoder_4", guidance))  # (B, 4C, H/4, W/4)
        decoded = self.decoder_level3(self.reduce_chan_level3(torch.cat([risen, level3], dim=1)))
        risen = self.up3_2(self._left(decoded, "decoder_3", guidance))  # (B, 2C, H/2, W/2)
        decoded = self.decoder_level2(self.reduce_chan_level2(torch.cat([risen, level2], dim=1)))
        risen = self.up2_1(self._left(decoded, "decoder_2", guidance))  # (B, C, H, W)
        decoded = self.decoder_level1(torch.cat([risen, level1], dim=1))  # (B, 2C, H, W)
        refined = self.refinement(self._left(decoded, "decoder_1", guidance))
        return crop_to(self.output(refined) + padded, *lq.shape[-2:])

    def _entered(self, hidden_states: Tensor, place: str, guidance: _Guidance) -> Tensor:
        """Into an encoder level: experts after the down-sampling, fusion before the blocks; (B, C, H, W) to itself."""
        return self._fused(self._mixed(hidden_states, place, guidance), place, guidance)

    def _left(self, hidden_states: Tensor, place: str, guidance: _Guidance) -> Tensor:
        """Out of a decoder level: fusion after the blocks, experts before the up-sampling; (B, C, H, W) to itself."""
        return self._mixed(self._fused(hidden_states, place, guidance), place, guidance)

    def _fused(self, hidden_states: Tensor, place: str, guidance: _Guidance) -> Tensor:
        """The fusion block of a place, if it has one."""
        if place not in self.fusions:
            return hidden_states
        return self.fusions[place](hidden_states, guidance.fused[place.partition("_")[0]])

    def _mixed(self, hidden_states: Tensor, place: str, guidance: _Guidance) -> Tensor:
        """The experts of a place, if it has some."""
        if place not in self.mofe:
            return hidden_states
        return self.mofe[place](hidden_states, guidance.bands[int(place[-1])], guidance.weights[place])


def options_of_checkpoint(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Constructor arguments that a checkpoint's keys and shapes call for; exchanged embeddings leave no trace in them.

    Args:
        weights: Key to tensor; those of a Restormer without bias, and what the guidance adds.
    """
    body = options_of_body(weights)
    fusions, mixtures = (
        sorted({key.split(".")[1] for key in weights if key.startswith(prefix)}) for prefix in ("fusions.", "mofe.")
    )
    options = {key: body[key] for key in ("dim", "num_blocks", "num_refinement_blocks", "heads")}
    options["guide"] = "prompt_encoder" if "prompt_encoder.body.0.weight" in weights else "embedding"
    options["encoder_embedding"] = "image" if "encoder_4" in fusions else None
    options["decoder_embedding"] = "joint" if "decoder_4" in fusions else None
    options["expert_levels"] = tuple(sorted({int(place[-1]) for place in mixtures}))
    if fusions:
        shared = [weight for key, weight in weights.items() if key.startswith("shared_projection.")]
        projection = weights.get(f"fusions.{fusions[0]}.project_in.weight")
        options["mgfb"] = "shared_projection" if shared else "literal" if projection is None else "channel"
        first = [*shared, projection, weights.get(f"fusions.{fusions[0]}.k.weight")]
        options["embedding_width"] = next(weight.shape[1] for weight in first if weight is not None)
    if mixtures:
        width = weights[f"mofe.{mixtures[0]}.experts_in.weight"].shape[1]
        options["expert_domain"] = next(domain for domain, channels in _BAND_CHANNELS.items() if channels == width)
        options["num_experts"], options["embedding_width"] = weights[f"mofe.{mixtures[0]}.router.weight"].shape
    return options
