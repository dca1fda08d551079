"""MPerceiver, put together once: what steers a picture, what the U-Net predicts of it, and its way back to pixels.

Ai et al. 2024, "Multimodal Prompt Perceiver: Empower Adaptiveness, Generalizability and Fidelity for All-in-One Image
Restoration" (https://arxiv.org/abs/2312.02918). The loop, the pipeline, trainers and whoever explains or measures know
these verbs only: `condition`, and those of `SampledSystem` for a picture in tiles; for batches of whole pictures,
through which gradients pass, `embed`, `probabilities`, `text`, `encode_features`, `begin`, `predict` and
`decode_features`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn

from ldrestore.adapters.attachment import Attachment
from ldrestore.adapters.ir_adapter import IRAdapter
from ldrestore.blocks.visual_prompts import PreparedPrompts
from ldrestore.estimators.degradation_predictor import estimates_of
from ldrestore.guides.clip_tower import ClipTower
from ldrestore.prompts.text_sequences import (
    CLIP_TOKENS,
    SpecialTokens,
    embed_sequences,
    encode_embeddings,
    mixed_text,
    text_conditioning,
)
from ldrestore.refiners.drm import DetailRefinementModule
from ldrestore.refiners.refined_decoder import (
    EncodedPicture,
    decode_refined,
    decode_refined_tiled,
    downsampling_of,
    encode_picture,
)
from ldrestore.structures import Conditioning, DegradationEstimate, TilePlan
from ldrestore.systems.finite_numbers import check_finite
from ldrestore.systems.sampled_pictures import bytes_per_pixel
from ldrestore.systems.sampled_system import (
    WHOLE,
    autoencoder_plan,
    cells_of,
    encode_checked,
    networks_among,
    predict_in_tiles,
)
from ldrestore.tiling.cut_maps import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What stays the same for one picture from step to step; see `MPerceiver.begin`."""

    lq_latents: Tensor
    """(1, 4, h, w), of the damaged picture."""
    conditioning: Conditioning
    """Of the picture, the text in the U-Net's type."""
    prompts: Sequence[PreparedPrompts] | None
    """Visual prompts of the IR-Adapter; None without one."""


class MPerceiver:
    """The system of the stable track upon parts of a pipeline."""

    def __init__(
        self,
        parts: Mapping[str, Any],
        *,
        attachment: Attachment | None,
        refine: bool = True,
        tokens: SpecialTokens | None = None,
    ) -> None:
        """Take parts by name, as `StableRestorePipeline` calls them; any but the needed ones may be None.

        Args:
            parts: All on one device, or brought there when they are called.
            attachment: Of the injection layers to the U-Net; None exactly where there is no IR-Adapter, or where
                nothing is predicted.
            refine: Whether the decoder is refined, where there is a module for it.
            tokens: Around learned words; None for those of the tokenizer, or CLIP's own where there is none.
        """
        self.parts = parts
        self.attachment = attachment
        self.vae: AutoencoderKL = parts["vae"]
        self.unet: UNet2DConditionModel = parts["unet"]
        self.ir_adapter: IRAdapter | None = parts["ir_adapter"]
        self.drm: DetailRefinementModule | None = parts["drm"] if refine else None
        self._tokens = tokens

    @property
    def begins_from_lq(self) -> bool:
        """The loop starts from pure noise."""
        return False

    @property
    def networks(self) -> list[nn.Module]:
        """All parts with weights."""
        return networks_among(self.parts)

    @property
    def bytes_per_pixel(self) -> int:
        """Peak working memory of a tile of the decoder, in bytes a pixel."""
        return bytes_per_pixel(self.vae, self.drm)

    @property
    def tokens(self) -> SpecialTokens:
        """Numbers of the tokens around learned words."""
        if self._tokens is not None:
            return self._tokens
        tokenizer = self.parts["tokenizer"]
        return CLIP_TOKENS if tokenizer is None else SpecialTokens.of(tokenizer)

    @torch.no_grad()
    def condition(
        self, lq: Tensor, given: DegradationEstimate | None = None
    ) -> tuple[Conditioning, DegradationEstimate]:
        """Text and P of one picture, see `text`.

        Args:
            lq: (1, 3, H, W), in [0, 1].
            given: What is said of the picture; None lets the predictor look.

        Raises:
            UndefinedNumbersError: a model gives infinite or undefined numbers.
        """
        predictor, embeddings = self.parts["predictor"], None
        if given is None or self.parts["cm_adapter"] is not None:
            embeddings = check_finite(self.embed(lq), of="the embeddings of the picture")
        if given is not None:
            probabilities = torch.tensor([given.probabilities], device=lq.device)
        else:
            assert embeddings is not None
            probabilities = check_finite(self.probabilities(embeddings), of="the probabilities of degradations")
        prompt_embeds = check_finite(self.text(embeddings, probabilities), of="the text's embeddings")
        conditioning = Conditioning(prompt_embeds=prompt_embeds, probabilities=probabilities, names=predictor.names)
        return conditioning, estimates_of(probabilities, predictor.names)[0]

    @torch.no_grad()
    def embed(self, lq: Tensor) -> Tensor:
        """What CLIP's tower makes of pictures, as the predictor wants them shown.

        Args:
            lq: (B, 3, H, W), in [0, 1].

        Returns:
            (B, K, D), of K views of each.
        """
        return ClipTower(self.parts["image_encoder"])(lq, view=self.parts["predictor"].view)

    @torch.no_grad()
    def probabilities(self, embeddings: Tensor) -> Tensor:
        """P of pictures, as the predictor says: (B, K, D) to (B, N), float32."""
        predictor = self.parts["predictor"]
        return predictor.probabilities(embeddings.to(predictor.dtype))

    def text(self, embeddings: Tensor | None, probabilities: Tensor) -> Tensor:
        """e_txt of Eq. 3, or without a CM-Adapter the empty text's; gradients reach what is trained of it.

        Args:
            embeddings: (B, K, D), see `embed`; None where there is no CM-Adapter.
            probabilities: (B, N), P.

        Returns:
            (B, L, D), in the text encoder's type.
        """
        text_encoder, cm_adapter = self.parts["text_encoder"], self.parts["cm_adapter"]
        if cm_adapter is None or embeddings is None:
            no_words = probabilities.new_zeros(len(probabilities), 1, 0, text_encoder.config.hidden_size)
            whole = torch.ones_like(probabilities[:, :1])
            return mixed_text(no_words, whole, text_encoder=text_encoder, tokens=self.tokens)
        return text_conditioning(
            embeddings.mean(dim=1).to(cm_adapter.dtype),
            probabilities,
            text_encoder=text_encoder,
            cm_adapter=cm_adapter,
            pool=self.parts["textual_prompts"],
            tokens=self.tokens,
        ).prompt_embeds

    def texts(self, embeddings: Tensor) -> Tensor:
        """E_txt({e_cm_i, T_i}): what is said of one picture for each degradation i, after the last word.

        Args:
            embeddings: (1, K, D), see `embed`; there must be a CM-Adapter.

        Returns:
            (N, D'), in the text encoder's type.
        """
        cm_adapter, pool = self.parts["cm_adapter"], self.parts["textual_prompts"]
        words = cm_adapter(embeddings.mean(dim=1).to(cm_adapter.dtype))  # (1, N, L, D')
        if pool is not None:
            words = pool(words)  # (1, N, L + K, D')
        return self.encode_words(words[0])[:, words.shape[2] + 1]

    def encode_words(self, words: Tensor) -> Tensor:
        """E_txt of learned words: (N, K, D) to (N, length, D); position 0 is the start, K + 1 the end."""
        encoder = self.parts["text_encoder"]
        return encode_embeddings(encoder, embed_sequences(words, text_encoder=encoder, tokens=self.tokens))

    def encode_features(self, lq: Tensor) -> EncodedPicture:
        """Latents of whole pictures, and what the encoder holds at each of its resolutions.

        Args:
            lq: (B, 3, H, W), in [0, 1]; H and W are multiples of the autoencoder's factor.
        """
        return encode_picture(self.vae, lq)

    def decode_features(
        self, latents: Tensor, features: Sequence[Tensor] = (), probabilities: Tensor | None = None
    ) -> Tensor:
        """Whole pictures of latents, through the decoder with its refinement; gradients pass.

        Args:
            latents: (B, 4, h, w).
            features: Of the damaged pictures, see `encode_features`; not needed where nothing is refined.
            probabilities: (B, N), P; not needed where nothing is refined.

        Returns:
            (B, 3, H, W), in the autoencoder's type, about [0, 1], not clipped.
        """
        return decode_refined(self.vae, latents, drm=self.drm, features=features, probabilities=probabilities)

    def begin_picture(self, lq: Tensor, conditioning: Conditioning, *, plan: TilePlan) -> Begun:
        """Encode a picture, and compute what does not depend on the timestep.

        Args:
            lq: (1, 3, H, W), float32 in [0, 1]; H and W are multiples of the autoencoder's factor.
            conditioning: See `condition`.
            plan: Tiles, in pixels.

        Raises:
            UndefinedNumbersError: the encoder gives infinite or undefined numbers.
        """
        return self.begin(encode_checked(self.vae, lq, plan), conditioning)

    def begin(self, lq_latents: Tensor, conditioning: Conditioning) -> Begun:
        """What does not depend on the timestep, computed once; of one picture, or of B pictures alike.

        Args:
            lq_latents: (B, 4, h, w), see `begin_picture` and `encode_features`.
            conditioning: See `condition`.
        """
        return Begun(
            lq_latents=lq_latents,
            conditioning=Conditioning(
                prompt_embeds=conditioning.prompt_embeds.to(self.unet.dtype),
                probabilities=conditioning.probabilities,
                names=conditioning.names,
            ),
            prompts=None if self.ir_adapter is None else self.ir_adapter.prepare(),
        )

    def predict(
        self, latents: Tensor, timestep: Tensor, windows: Sequence[Place] = (WHOLE,), *, begun: Begun
    ) -> Tensor:
        """What the U-Net says of windows of the latents; no features are left with it, however it ends.

        Args:
            latents: (1, 4, h, w), of the whole picture, as the scheduler scales them; or (B, 4, h, w) of B pictures,
                each taken whole.
            timestep: In training steps.
            windows: Which parts, B of one size.
            begun: Of the picture.

        Returns:
            (B, 4, rows, columns), float32: the output of the scheduler's prediction type.
        """
        try:
            self._set_features(cells_of(begun.lq_latents, windows), timestep, begun)
            cells = cells_of(latents, windows).to(self.unet.dtype)
            words = begun.conditioning.prompt_embeds.expand(len(cells), -1, -1)
            return self.unet(cells, timestep, encoder_hidden_states=words, return_dict=False)[0].float()
        finally:
            if self.attachment is not None and not torch.is_grad_enabled():  # checkpointed blocks run again backwards
                self.attachment.clear()

    def predict_tiled(self, latents: Tensor, timestep: Tensor, plan: TilePlan, *, begun: Begun) -> Tensor:
        """What the U-Net says of the whole picture, tile by tile; see `predict_in_tiles`.

        Args:
            latents: (1, 4, h, w), as the scheduler scales them.
            timestep: In training steps.
            plan: Tiles, in pixels.
            begun: Of the picture.

        Returns:
            (1, 4, h, w), float32.
        """
        parts = {"unet": self.unet, "ir_adapter": self.ir_adapter, "injection": self.parts["injection"]}
        return predict_in_tiles(
            lambda windows: self.predict(latents, timestep, windows, begun=begun),
            latents,
            plan,
            unet=self.unet,
            factor=downsampling_of(self.vae),
            networks={name: part for name, part in parts.items() if part is not None},
        )

    def decode(self, latents: Tensor, lq: Tensor, conditioning: Conditioning | None, *, plan: TilePlan) -> Tensor:
        """Pixels of latents, through the decoder with its refinement.

        Args:
            latents: (1, 4, h, w).
            lq: (1, 3, H, W), float32 in [0, 1], the damaged picture.
            conditioning: Of the picture; None where nothing is refined.
            plan: Tiles, in pixels.

        Returns:
            (1, 3, H, W), float32, about [0, 1], not clipped.

        Raises:
            UndefinedNumbersError: the decoder gives infinite or undefined numbers.
        """
        plan, shares = autoencoder_plan(self.vae, plan), None if conditioning is None else conditioning.probabilities
        restored = decode_refined_tiled(self.vae, latents, drm=self.drm, lq=lq, probabilities=shares, plan=plan)
        return check_finite(restored, of="the decoder's pixels").float()

    def _set_features(self, lq_latents: Tensor, timestep: Tensor, begun: Begun) -> None:
        """What the U-Net sees of the damaged picture at a timestep."""
        if self.ir_adapter is not None and self.attachment is not None:
            shares = begun.conditioning.probabilities.expand(len(lq_latents), -1)
            lq_latents = lq_latents.to(self.ir_adapter.dtype)
            self.attachment.set_features(self.ir_adapter(lq_latents, timestep, shares, prompts=begun.prompts))
