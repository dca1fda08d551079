"""UniLDiff, put together once: what steers a picture on SDXL, what the U-Net predicts with it, and its way to pixels.

"Unified Latent Diffusion for Image Restoration" (UniLDiff), Sec. 3. The loop, the pipeline, trainers and whoever
explains or measures know the verbs of `UniLDiff` only: `condition`, and those of `SampledSystem` for a picture in
tiles; for batches of whole pictures, through which gradients pass, `predict_batch` and `decode_features`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn

from ldrestore.adapters.daff import PreparedLQ, repeated
from ldrestore.adapters.fusion_attachment import FusionAttachment
from ldrestore.adapters.lq_encoder import EncodedLQ, LQEncoder
from ldrestore.errors import ShapeError
from ldrestore.refiners.daem import DetailExpertModule
from ldrestore.refiners.refined_decoder import (
    compute_tiled,
    decode_refined,
    decode_with_experts,
    decode_with_experts_tiled,
    downsampling_of,
)
from ldrestore.structures import TilePlan
from ldrestore.systems.finite_numbers import check_finite, in_float32
from ldrestore.systems.sampled_pictures import bytes_per_pixel
from ldrestore.systems.sampled_system import (
    WHOLE,
    autoencoder_plan,
    cells_of,
    decode_unrefined,
    encode_checked,
    networks_among,
    predict_in_tiles,
)
from ldrestore.systems.unildiff_parts import reads_tasks
from ldrestore.systems.unildiff_texts import XLConditioning, reader_of, xl_conditioning
from ldrestore.tiling.cut_maps import Place
from ldrestore.tiling.planning import is_one_tile


def lq_for_fusion(encoded: EncodedLQ, attachment: FusionAttachment) -> Tensor:
    """What a fusion takes in of damaged pictures, as its `lq` says: (B, C, h, w).

    Args:
        encoded: Of the LQ encoder.
        attachment: Of the fusion; its U-Net's `conv_in` takes in latents.

    Raises:
        ShapeError: the encoder ends before latents, and the fusion wants them.
    """
    if attachment.fusion.config.get("lq", "features") == "features":
        return encoded.last
    if encoded.latents is None:
        raise ShapeError("the fusion takes latents, and this LQ encoder ends before them; take one with has_latents")
    return attachment.latent_features(encoded.latents)


def predict_fused(
    unet: UNet2DConditionModel,
    latents: Tensor,
    timesteps: Tensor,
    conditioning: XLConditioning,
    *,
    attachment: FusionAttachment | None,
    prepared: Mapping[str, PreparedLQ] | None,
) -> Tensor:
    """What the U-Net predicts, with guidance where it is asked for.

    Args:
        unet: SDXL's.
        latents: (B, 4, h, w), as the scheduler scales them.
        timesteps: (B,) or a scalar, in training steps.
        conditioning: Of the B pictures, or of one.
        attachment: Of the fusion; None without one.
        prepared: What the fusion makes of the damaged pictures; stays set for a backward pass that computes again.

    Returns:
        (B, 4, h, w), float32: the output of the scheduler's prediction type.
    """
    passes, batch = conditioning.num_passes, len(latents)
    if attachment is not None and prepared is not None:
        attachment.set_prepared(prepared)
    inputs = {
        "encoder_hidden_states": conditioning.prompt_embeds.to(unet.dtype),
        "text_embeds": conditioning.pooled.to(unet.dtype),
        "time_ids": conditioning.time_ids,
    }
    inputs = {name: for_batch(value, passes=passes, batch=batch) for name, value in inputs.items()}
    output = unet(
        latents.to(unet.dtype).repeat(passes, 1, 1, 1),
        timesteps if timesteps.ndim == 0 else timesteps.repeat(passes),
        inputs["encoder_hidden_states"],
        added_cond_kwargs={"text_embeds": inputs["text_embeds"], "time_ids": inputs["time_ids"]},
        return_dict=False,
    )[0].float()
    predictions = (output,) if passes == 1 else output.chunk(passes)  # FSDP wants no view of what it has computed
    return guided_prediction(predictions, conditioning.guidance_scale)


def guided_prediction(predictions: Sequence[Tensor], guidance_scale: float) -> Tensor:
    """One prediction of those of all passes.

    Args:
        predictions: One, or that without a text and that with it, of one shape.
        guidance_scale: See `XLConditioning`.
    """
    if len(predictions) == 1:
        return predictions[0]
    plain, steered = predictions
    return plain + guidance_scale * (steered - plain)


def for_batch(text: Tensor, *, passes: int, batch: int) -> Tensor:
    """What is told of one picture, for a batch of parts of it; of many, as it is.

    Args:
        text: (passes * B, ...), or (passes, ...).
        passes: See `XLConditioning.num_passes`.
        batch: B.

    Returns:
        (passes * B, ...), all B of the first pass first.

    Raises:
        ShapeError: another number.
    """
    per_pass = [repeated(part, batch) for part in text.chunk(passes)]
    return per_pass[0] if passes == 1 else torch.cat(per_pass)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BegunXLPicture:
    """What stays the same for one picture from step to step; see `UniLDiff.begin_picture`."""

    lq_latents: Tensor
    """(1, 4, h, w), of the damaged picture."""
    passes: Sequence[XLConditioning]
    """What each pass of the U-Net is told: one, or under guidance two."""
    prepared: Sequence[Mapping[str, PreparedLQ]]
    """What the fusion made of the picture, for each pass; empty ones without a fusion."""
    guidance_scale: float
    """See `XLConditioning`."""


class UniLDiff:
    """The system of the XL track upon parts of a pipeline."""

    def __init__(self, parts: Mapping[str, Any], *, attachment: FusionAttachment | None, refine: bool = True) -> None:
        """Take parts by name, as `XLRestorePipeline` calls them; any but the needed ones may be None.

        Args:
            parts: All on one device, or brought there when they are called.
            attachment: Of the fusion to the U-Net; None exactly where there is no fusion, or where nothing is
                predicted.
            refine: Whether the decoder is refined, where there is a module for it.
        """
        self.parts = parts
        self.attachment = attachment
        self.vae: AutoencoderKL = parts["vae"]
        self.unet: UNet2DConditionModel = parts["unet"]
        self.lq_encoder: LQEncoder = parts["lq_encoder"]
        self.daem: DetailExpertModule | None = parts["daem"] if refine else None

    @property
    def begins_from_lq(self) -> bool:
        """The loop starts from the damaged picture under noise, of which SDXL's schedule leaves a little."""
        return True

    @property
    def networks(self) -> list[nn.Module]:
        """All parts with weights."""
        return networks_among(self.parts)

    @property
    def is_widened(self) -> bool:
        """Whether autoencoder, LQ encoder and DAEM compute in float32 though their weights are in float16.

        SDXL's own autoencoder leaves the range of float16, and says so by `force_upcast`; "fp16-fix" does not.
        """
        return self.vae.dtype == torch.float16 and bool(self.vae.config["force_upcast"])

    @property
    def bytes_per_pixel(self) -> int:
        """Peak working memory of a tile of the decoder, in bytes a pixel."""
        return bytes_per_pixel(self.vae, self.daem) * (2 if self.is_widened else 1)

    def condition(self, caption: str, task: str, *, guidance_scale: float = 1.0) -> XLConditioning:
        """What steers one picture; of its sizes it is told when it begins.

        Args:
            caption: What it shows; may be empty.
            task: What is to be done; may be empty.
            guidance_scale: See `XLConditioning`.

        Raises:
            UndefinedNumbersError: a model gives infinite or undefined numbers.
        """
        read, has_reader = reader_of(self.parts), reads_tasks(self.parts)
        conditioning = xl_conditioning(
            [caption], [task], size=(0, 0), read=read, has_reader=has_reader, guidance_scale=guidance_scale
        )
        for text in (conditioning.fusion_embeds, conditioning.pooled):
            check_finite(text, of="the text's embeddings")
        return conditioning

    @torch.no_grad()
    def begin_picture(self, lq: Tensor, conditioning: XLConditioning, *, plan: TilePlan) -> BegunXLPicture:
        """Encode a picture, and compute what does not depend on the timestep.

        Args:
            lq: (1, 3, H, W), float32 in [0, 1]; H and W are multiples of the autoencoder's factor.
            conditioning: See `condition`.
            plan: Tiles, in pixels.

        Raises:
            UndefinedNumbersError: an encoder gives infinite or undefined numbers.
        """
        sized = conditioning.for_picture(lq)
        with self._widened():
            lq_latents = encode_checked(self.vae, lq, plan)
            lq_features = None if self.attachment is None else self._lq_features(lq, self.attachment, plan)
        prepared: list[Mapping[str, PreparedLQ]] = [{}] * sized.num_passes
        if self.attachment is not None and lq_features is not None:
            both = self.attachment.fusion.prepare(lq_features, sized.fusion_embeds)
            prepared = [{place: one.with_text(row) for place, one in both.items()} for row in range(sized.num_passes)]
        return BegunXLPicture(
            lq_latents=lq_latents,
            passes=sized.single_passes(),
            prepared=prepared,
            guidance_scale=sized.guidance_scale,
        )

    def predict(
        self, latents: Tensor, timestep: Tensor, windows: Sequence[Place] = (WHOLE,), *, begun: BegunXLPicture
    ) -> Tensor:
        """What the U-Net says of windows of the latents; nothing of the picture is left with it, however it ends.

        Args:
            latents: (1, 4, h, w), of the whole picture, as the scheduler scales them.
            timestep: In training steps.
            windows: Which parts, B of one size; they start at multiples of the tokens of the fusion.
            begun: Of the picture.

        Returns:
            (B, 4, rows, columns), float32: the output of the scheduler's prediction type.
        """
        numbers = range(len(begun.passes))
        predictions = [self._predict_pass(latents, timestep, windows, begun=begun, number=one) for one in numbers]
        return guided_prediction(predictions, begun.guidance_scale)

    def predict_tiled(self, latents: Tensor, timestep: Tensor, plan: TilePlan, *, begun: BegunXLPicture) -> Tensor:
        """What the U-Net says of the whole picture, tile by tile; see `predict_in_tiles`.

        Each pass of guidance measures for itself. The picture is aligned as a whole before its tiles, or, where it is
        too large for that, within each; see `FusionAttachment.aligned_whole`.

        Args:
            latents: (1, 4, h, w), as the scheduler scales them.
            timestep: In training steps.
            plan: Tiles, in pixels.
            begun: Of the picture.

        Returns:
            (1, 4, h, w), float32.
        """
        attachment, factor, predictions = self.attachment, downsampling_of(self.vae), []
        is_cut = not is_one_tile(plan, latents.shape[-2] * factor, latents.shape[-1] * factor)
        multiple = 1 if attachment is None else max(map(attachment.fusion.cells_at, attachment.fusion.places))
        for number, prepared in enumerate(begun.prepared):
            aligned = None
            if attachment is not None and is_cut:
                aligned = attachment.aligned_whole(latents, timestep, prepared)
            predict = partial(self._predict_pass, latents, timestep, begun=begun, number=number, aligned=aligned)
            networks = {"unet": self.unet}
            options = {"unet": self.unet, "factor": factor, "networks": networks, "multiple": multiple}
            predictions.append(predict_in_tiles(predict, latents, plan, **options))
        return guided_prediction(predictions, begun.guidance_scale)

    def decode(self, latents: Tensor, lq: Tensor, conditioning: XLConditioning, *, plan: TilePlan) -> Tensor:
        """Pixels of latents, through the decoder with its experts, who are chosen by the picture.

        Args:
            latents: (1, 4, h, w).
            lq: (1, 3, H, W), float32 in [0, 1], the damaged picture.
            conditioning: Has no way in here.
            plan: Tiles, in pixels.

        Returns:
            (1, 3, H, W), float32, about [0, 1], not clipped.

        Raises:
            UndefinedNumbersError: the decoder gives infinite or undefined numbers.
        """
        plan = autoencoder_plan(self.vae, plan)
        with self._widened():
            if self.daem is None:
                return decode_unrefined(self.vae, latents, lq, plan=plan)
            restored = decode_with_experts_tiled(
                self.vae, latents, daem=self.daem, lq_encoder=self.lq_encoder, lq=lq, plan=plan
            )
        return check_finite(restored, of="the decoder's pixels").float()

    def _lq_features(self, lq: Tensor, attachment: FusionAttachment, plan: TilePlan) -> Tensor:
        """What the fusion takes in of the whole picture: (1, C, h, w).

        Raises:
            UndefinedNumbersError: the LQ encoder gives infinite or undefined numbers.
        """
        features = compute_tiled(
            lambda parts: lq_for_fusion(self.lq_encoder(parts), attachment),
            lq,
            autoencoder_plan(self.vae, plan),
            factor=self.lq_encoder.factor,
            networks={"lq_encoder": self.lq_encoder},
        )
        return check_finite(features, of="the LQ encoder's features")

    def _predict_pass(
        self,
        latents: Tensor,
        timestep: Tensor,
        windows: Sequence[Place],
        *,
        begun: BegunXLPicture,
        number: int,
        aligned: Tensor | None = None,
    ) -> Tensor:
        """One pass of guidance, or the only one; of a picture that was aligned as a whole, or window by window."""
        attachment, prepared = self.attachment, None
        if attachment is not None and aligned is not None:
            attachment.set_aligned(cells_of(aligned, windows))
        elif attachment is not None:
            prepared = {
                place: one.cut(windows, cells=attachment.fusion.cells_at(place))
                for place, one in begun.prepared[number].items()
            }
        try:
            return predict_fused(
                self.unet,
                cells_of(latents, windows),
                timestep,
                begun.passes[number],
                attachment=attachment,
                prepared=prepared,
            )
        finally:
            if attachment is not None and not torch.is_grad_enabled():  # checkpointed blocks run again backwards
                attachment.clear()

    def predict_batch(
        self, latents: Tensor, timesteps: Tensor, lq: Tensor | EncodedLQ, conditioning: XLConditioning
    ) -> Tensor:
        """What the U-Net predicts of whole pictures with the damaged ones in it, Eq. 1 to 5; gradients pass.

        What is prepared for the fusion stays set for a backward pass that computes again.

        Args:
            latents: (B, 4, h, w), z_t.
            timesteps: (B,).
            lq: (B, 3, H, W), in [0, 1]; or what the LQ encoder made of it.
            conditioning: Of the B pictures, their sizes too.

        Returns:
            (B, 4, h, w), float32: the output of the scheduler's prediction type.
        """
        attachment, prepared = self.attachment, None
        if attachment is not None:
            lq_encoded = lq if isinstance(lq, EncodedLQ) else self.lq_encoder(lq)
            lq_features = lq_for_fusion(lq_encoded, attachment)
            text = for_batch(conditioning.fusion_embeds, passes=conditioning.num_passes, batch=len(latents))
            prepared = attachment.fusion.prepare(lq_features, text)
        return predict_fused(self.unet, latents, timesteps, conditioning, attachment=attachment, prepared=prepared)

    def decode_features(self, latents: Tensor, features: Sequence[Tensor] = (), lq: Tensor | None = None) -> Tensor:
        """Whole pictures of latents, through the decoder with its experts where there are any; gradients pass.

        Args:
            latents: (B, 4, h, w).
            features: Of the LQ encoder, of the damaged pictures, the full resolution first; not needed without experts.
            lq: (B, 3, H, W), in [0, 1], these pictures; not needed without experts.

        Returns:
            (B, 3, H, W), in the autoencoder's type, about [0, 1], not clipped.
        """
        if self.daem is None:
            return decode_refined(self.vae, latents, drm=None)
        assert lq is not None, "experts see the damaged picture"
        return decode_with_experts(self.vae, latents, daem=self.daem, features=features, lq=lq)

    @contextmanager
    def _widened(self) -> Iterator[None]:
        """Autoencoder, LQ encoder and DAEM in float32 inside, where `is_widened` says so."""
        parts = [part for part in (self.vae, self.lq_encoder, self.daem) if part is not None]
        with in_float32(parts) if self.is_widened else nullcontext():
            yield
