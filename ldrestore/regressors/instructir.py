"""InstructIR in the layout of the published checkpoint, Conde et al. 2024 (https://arxiv.org/abs/2401.16468)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.blocks.naf import NAFBlock
from ldrestore.errors import ConfigError, InputError, ShapeError
from ldrestore.regressors.instruction_condition import InstructionConditionBlock
from ldrestore.regressors.nafnet import options_of_checkpoint as options_of_body


class InstructIR(ModelMixin, ConfigMixin):
    """A U of NAFBlocks in which an instruction condition block follows each encoder and each decoder level.

    The U is that of NAFNet (Chen et al. 2022, https://arxiv.org/abs/2204.04676): 2x2 convolutions of stride 2 on the
    way down, 1x1 convolutions with pixel shuffles on the way up, skips added, the picture itself added at the end.
    Sides are padded with zeros to a multiple of `size_multiple` inside, as in the release.
    """

    @register_to_config
    def __init__(
        self,
        img_channel: int = 3,
        width: int = 32,
        middle_blk_num: int = 4,
        enc_blk_nums: Sequence[int] = (2, 2, 4, 8),
        dec_blk_nums: Sequence[int] = (2, 2, 2, 2),
        txtdim: int = 256,
        with_text: bool = True,
    ) -> None:
        """Build the network; the defaults are the published layout, for five as for seven tasks.

        Args:
            img_channel: Channels of the picture.
            width: Channels at the finest level; they double with each level.
            middle_blk_num: Blocks at the lowest resolution.
            enc_blk_nums: Blocks of each encoder level, finest first.
            dec_blk_nums: Blocks of each decoder level, coarsest first.
            txtdim: D of the text embedding.
            with_text: Whether an embedding steers the network. Without, the same blocks stand at the same places, and
                their masks are 1: the ablation that shows what the text is worth.

        Raises:
            ConfigError: encoder and decoder differ in their number of levels, or a size is not positive.
        """
        super().__init__()
        if len(enc_blk_nums) != len(dec_blk_nums):
            raise ConfigError(
                f"enc_blk_nums and dec_blk_nums must be equally long, got {list(enc_blk_nums)} and {list(dec_blk_nums)}"
            )
        if min(img_channel, width, txtdim) < 1:
            raise ConfigError(f"img_channel, width and txtdim must be positive, got {img_channel}, {width}, {txtdim}")
        text_dim = txtdim if with_text else None
        self.intro = nn.Conv2d(img_channel, width, 3, padding=1)
        self.ending = nn.Conv2d(width, img_channel, 3, padding=1)
        self.encoders, self.enc_cond, self.downs = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for num_blocks in enc_blk_nums:
            self.encoders.append(nn.Sequential(*(NAFBlock(width) for _ in range(num_blocks))))
            self.enc_cond.append(InstructionConditionBlock(width, text_dim=text_dim))
            self.downs.append(nn.Conv2d(width, 2 * width, 2, stride=2))
            width *= 2
        self.middle_blks = nn.Sequential(*(NAFBlock(width) for _ in range(middle_blk_num)))
        self.ups, self.decoders, self.dec_cond = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for num_blocks in dec_blk_nums:
            self.ups.append(nn.Sequential(nn.Conv2d(width, 2 * width, 1, bias=False), nn.PixelShuffle(2)))
            width //= 2
            self.decoders.append(nn.Sequential(*(NAFBlock(width) for _ in range(num_blocks))))
            self.dec_cond.append(InstructionConditionBlock(width, text_dim=text_dim))
        self.size_multiple = 2 ** len(enc_blk_nums)

    @property
    def embedding_shape(self) -> tuple[int, ...] | None:
        """Shape of one picture's embedding; None without text."""
        return (self.config["txtdim"],) if self.config["with_text"] else None

    def forward(self, lq: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Restore a batch of any height and width as an instruction says.

        Args:
            lq: (B, C, H, W), in [0, 1].
            embedding: (B, D), or (1, D) for all pictures: instructions as `InstructionHead` gives them, of length 1.
                None stands for zeros, which say nothing: each mask is then the sigmoid of its bias. Published weights
                have never seen zeros: for a picture that counts, give them an instruction.

        Returns:
            (B, C, H, W), around [0, 1], not clamped.

        Raises:
            ShapeError: lq or the embedding has another shape.
            InputError: an embedding for a network without text.
        """
        if lq.ndim != 4 or lq.shape[1] != self.config["img_channel"]:
            raise ShapeError(f"expected lq of shape (B, {self.config['img_channel']}, H, W), got {tuple(lq.shape)}")
        embedding = self._checked(embedding, lq)
        height, width = lq.shape[-2:]
        padded = F.pad(lq, (0, -width % self.size_multiple, 0, -height % self.size_multiple))
        padded = padded.contiguous(memory_format=torch.channels_last)
        hidden_states = self.intro(padded)  # (B, width, H, W)
        skips = []
        for encoder, condition, down in zip(self.encoders, self.enc_cond, self.downs, strict=True):
            hidden_states = condition(encoder(hidden_states), embedding)
            skips.append(hidden_states)
            hidden_states = down(hidden_states)  # (B, 2C, H/2, W/2)
        hidden_states = self.middle_blks(hidden_states)
        for up, decoder, condition in zip(self.ups, self.decoders, self.dec_cond, strict=True):
            hidden_states = condition(decoder(up(hidden_states) + skips.pop()), embedding)  # (B, C/2, 2H, 2W)
        return (padded + self.ending(hidden_states))[..., :height, :width]

    def _checked(self, embedding: Tensor | None, lq: Tensor) -> Tensor | None:
        """The embedding on the device and in the number format of lq, zeros for None; None without text.

        Raises:
            ShapeError: it is neither (B, D) nor (1, D).
            InputError: there is one, and the network has no text.
        """
        dim = self.config["txtdim"]
        if not self.config["with_text"]:
            if embedding is not None:
                raise InputError("this network was built with_text=False and takes no embedding; leave it out")
            return None
        if embedding is None:
            return lq.new_zeros(1, dim)
        if embedding.ndim != 2 or embedding.shape[0] not in (1, lq.shape[0]) or embedding.shape[1] != dim:
            raise ShapeError(f"expected embedding of shape ({lq.shape[0]}, {dim}), got {tuple(embedding.shape)}")
        return embedding.to(lq)


def options_of_checkpoint(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Constructor arguments that a checkpoint's keys and shapes call for.

    Args:
        weights: Key to tensor; has "intro.weight" and "ending.weight".
    """
    body = options_of_body(weights)
    own = {key: value for key, value in body.items() if key not in ("squeeze", "is_affine")}
    own["img_channel"] = weights["intro.weight"].shape[1]  # nothing is folded here
    text = weights.get("enc_cond.0.fc.weight")
    return own | ({"with_text": False} if text is None else {"with_text": True, "txtdim": text.shape[1]})
