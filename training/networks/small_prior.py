"""The small diffusion prior: diffusers' and transformers' own classes at small widths, built from sizes.

Its components take the places of those of Stable Diffusion 2.1, so that everything made for that runs on it: the
autoencoder, the text encoder with its tokenizer, the CLIP vision tower, the U-Net and the scheduler.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from ldrestore.errors import ConfigError

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

START, END, PADDING, WORD_END = "<|startoftext|>", "<|endoftext|>", "!", "</w>"
"""Tokens around a text as CLIP has them, what SD 2.1 pads with, and the mark of a word's last piece."""

NUM_BYTES = 256
"""Single bytes, each of which is a token within a word and one at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaeSizes:
    """The autoencoder: latents of 1 / 2^(levels - 1) of the picture's sides."""

    widths: tuple[int, ...] = (24, 48, 96)
    """Channels of each level, the full resolution first."""
    num_layers: int = 1
    """Residual blocks a level."""
    latent_channels: int = 4
    """Channels of the latents."""
    num_groups: int = 8
    """Groups of the normalisations; divides the widths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSizes:
    """The text encoder and the vision tower, which share one space of embeddings."""

    text_width: int = 64
    """Width of the text encoder, and of what the U-Net attends to."""
    text_layers: int = 3
    """Layers of the text encoder."""
    text_heads: int = 4
    """Attention heads of the text encoder."""
    vocabulary: int = 1024
    """Tokens, at least 514."""
    max_tokens: int = 24
    """Length of a text with start and end; learned words of two pools, and captions, take less."""
    vision_width: int = 96
    """Width of the vision tower."""
    vision_layers: int = 4
    """Layers of the vision tower."""
    vision_heads: int = 4
    """Attention heads of the vision tower."""
    image_size: int = 128
    """Side in pixels of what the tower is shown."""
    patch_size: int = 8
    """Side in pixels of a token of the tower; divides `image_size`."""
    embedding_dim: int = 96
    """Width of the shared embeddings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnetSizes:
    """The U-Net on the latents."""

    widths: tuple[int, ...] = (40, 64, 80, 96)
    """Channels of each scale, the finest first."""
    num_layers: int = 1
    """Residual blocks of a scale on the way down; one more on the way up."""
    attention_levels: tuple[int, ...] = (1, 2)
    """Scales that attend to themselves and to the text, 0 is the finest; the middle always does."""
    num_heads: int = 4
    """Attention heads; divides the widths."""
    num_groups: int = 8
    """Groups of the normalisations; divides the widths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallPriorConfig:
    """Sizes of all components; the defaults are those of the embedded prior."""

    vae: VaeSizes = field(default_factory=VaeSizes)
    """The autoencoder."""
    clip: ClipSizes = field(default_factory=ClipSizes)
    """The text encoder and the vision tower."""
    unet: UnetSizes = field(default_factory=UnetSizes)
    """The U-Net."""

    def __post_init__(self) -> None:
        """Check that everything divides as it must."""
        for name, widths, divisor in (
            ("vae.widths", self.vae.widths, self.vae.num_groups),
            ("unet.widths", self.unet.widths, self.unet.num_groups),
            ("unet.widths", self.unet.widths, self.unet.num_heads),
            ("clip.text_width", (self.clip.text_width,), self.clip.text_heads),
            ("clip.vision_width", (self.clip.vision_width,), self.clip.vision_heads),
            ("clip.image_size", (self.clip.image_size,), self.clip.patch_size),
        ):
            if not widths or divisor < 1 or any(width < 1 or width % divisor for width in widths):
                raise ConfigError(f"{name} must be positive multiples of {divisor}, got {list(widths)}")
        if not set(self.unet.attention_levels) <= set(range(len(self.unet.widths))):
            raise ConfigError(
                f"unet.attention_levels must lie in 0 to {len(self.unet.widths) - 1}, "
                f"got {list(self.unet.attention_levels)}"
            )
        if self.clip.vocabulary < 2 * NUM_BYTES + 2:
            raise ConfigError(f"clip.vocabulary must be at least {2 * NUM_BYTES + 2}, got {self.clip.vocabulary}")


def create_vae(sizes: VaeSizes) -> "AutoencoderKL":
    """The autoencoder with random weights; `scaling_factor` is 1 until the spread of its latents has been measured."""
    from diffusers import AutoencoderKL

    num_levels = len(sizes.widths)
    return AutoencoderKL(
        block_out_channels=sizes.widths,
        down_block_types=("DownEncoderBlock2D",) * num_levels,
        up_block_types=("UpDecoderBlock2D",) * num_levels,
        layers_per_block=sizes.num_layers,
        latent_channels=sizes.latent_channels,
        norm_num_groups=sizes.num_groups,
        mid_block_add_attention=False,  # its memory would grow with the square of the picture's pixels
        scaling_factor=1.0,
    )


def create_tokenizer(sizes: ClipSizes, corpus: Iterable[str]) -> "CLIPTokenizer":
    """A byte-pair tokenizer in CLIP's format, padded with "!" as that of SD 2.1, which saves its own files.

    Every text can be written with it, since all bytes are tokens; merges come from the corpus, in the order of their
    frequency, equal ones in alphabetical order. Sennrich et al. 2016 (https://arxiv.org/abs/1508.07909).

    Args:
        sizes: Number of tokens and length of a text. Where the corpus has not enough pairs, numbers at the end of the
            vocabulary stand for tokens that never occur.
        corpus: Texts.
    """
    from transformers import CLIPTokenizer

    characters = _byte_characters()
    tokens = [*characters, *(character + WORD_END for character in characters)]
    merges = learn_merges(corpus, num_merges=sizes.vocabulary - len(tokens) - 2)
    tokens += ["".join(pair) for pair in merges]
    tokens += [f"<|unused{number}|>" for number in range(sizes.vocabulary - len(tokens) - 2)]
    vocabulary = {token: number for number, token in enumerate([*tokens, START, END])}
    return CLIPTokenizer(
        vocab=vocabulary,
        merges=merges,
        bos_token=START,
        eos_token=END,
        unk_token=END,
        pad_token=PADDING,
        model_max_length=sizes.max_tokens,
    )


def learn_merges(corpus: Iterable[str], *, num_merges: int) -> list[tuple[str, str]]:
    """The most frequent neighbours within words of ASCII, merged again and again.

    Args:
        corpus: Texts; words are what lies between spaces, in lower case.
        num_merges: At most so many.
    """
    counts = Counter(word for text in corpus for word in text.lower().split())
    words = {word: [*word[:-1], word[-1] + WORD_END] for word in counts}
    merges: list[tuple[str, str]] = []
    while len(merges) < num_merges:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, pieces in words.items():
            for pair in pairwise(pieces):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = {word: _merged(pieces, best) for word, pieces in words.items()}
    return merges


def create_text_encoder(sizes: ClipSizes) -> "CLIPTextModel":
    """The text encoder with random weights, for the tokenizer's numbers."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=sizes.vocabulary,
            hidden_size=sizes.text_width,
            intermediate_size=4 * sizes.text_width,
            num_hidden_layers=sizes.text_layers,
            num_attention_heads=sizes.text_heads,
            max_position_embeddings=sizes.max_tokens,
            projection_dim=sizes.embedding_dim,
            hidden_act="gelu",
            bos_token_id=sizes.vocabulary - 2,
            eos_token_id=sizes.vocabulary - 1,
            pad_token_id=0,
        )
    )


def create_image_encoder(sizes: ClipSizes) -> "CLIPVisionModelWithProjection":
    """The vision tower with random weights; its config says that crops are shown at the picture's own scale."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=sizes.vision_width,
            intermediate_size=4 * sizes.vision_width,
            num_hidden_layers=sizes.vision_layers,
            num_attention_heads=sizes.vision_heads,
            image_size=sizes.image_size,
            patch_size=sizes.patch_size,
            projection_dim=sizes.embedding_dim,
            hidden_act="gelu",
            native_crop_size=sizes.image_size,
            image_mean=[0.5, 0.5, 0.5],
            image_std=[0.25, 0.25, 0.25],
        )
    )


def create_unet(sizes: UnetSizes, *, latent_channels: int, text_width: int) -> "UNet2DConditionModel":
    """The U-Net with random weights.

    Args:
        sizes: Its own.
        latent_channels: Of the autoencoder.
        text_width: Of the text encoder.
    """
    from diffusers import UNet2DConditionModel

    attends = [level in sizes.attention_levels for level in range(len(sizes.widths))]
    return UNet2DConditionModel(
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=sizes.widths,
        layers_per_block=sizes.num_layers,
        down_block_types=tuple("CrossAttnDownBlock2D" if there else "DownBlock2D" for there in attends),
        up_block_types=tuple("CrossAttnUpBlock2D" if there else "UpBlock2D" for there in reversed(attends)),
        cross_attention_dim=text_width,
        attention_head_dim=sizes.num_heads,  # diffusers takes the number of heads under this name
        norm_num_groups=sizes.num_groups,
        use_linear_projection=True,
        sample_size=64,  # of pictures that diffusers' own pipelines make unasked; smaller ones they call outdated
    )


def create_scheduler(*, ends_in_pure_noise: bool = True) -> "DDIMScheduler":
    """v-prediction, sampled from the schedule's last step on.

    Lin et al. 2024, Common Diffusion Noise Schedules and Sample Steps are Flawed (https://arxiv.org/abs/2305.08891),
    Sec. 3; the betas before the rescaling are those of Stable Diffusion.

    Args:
        ends_in_pure_noise: Whether the schedule is rescaled to; else a weight of 0.068 is left of the latents at its
            last step, as of Stable Diffusion and SDXL.
    """
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=ends_in_pure_noise,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,  # unread with this spacing; diffusers' pipelines warn of anything else
    )


def _byte_characters() -> list[str]:
    """A visible character for each of the 256 bytes, "!" first, as GPT-2's tokenizer writes them."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [*map(chr, visible), *(chr(NUM_BYTES + number) for number in range(NUM_BYTES - len(visible)))]


def _merged(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    """Pieces of a word with each occurrence of a pair made one."""
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged
