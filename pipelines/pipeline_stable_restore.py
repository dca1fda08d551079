"""The stable track: pictures through Stable Diffusion 2.1, steered by what is wrong with them.

MPerceiver, Ai et al. 2024, "Multimodal Prompt Perceiver: Empower Adaptiveness, Generalizability and Fidelity for
All-in-One Image Restoration" (https://arxiv.org/abs/2312.02918).
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DiffusionPipeline, UNet2DConditionModel
from torch import Generator
from transformers import CLIPTextModel, CLIPVisionModelWithProjection, PreTrainedTokenizerBase

from ldrestore.adapters.attachment import attach
from ldrestore.adapters.injection import InjectionLayers
from ldrestore.adapters.ir_adapter import IRAdapter
from ldrestore.adapters.unet_connection import UNetConnection
from ldrestore.checkpoints.adapters_folder import is_adapters, write_adapters
from ldrestore.checkpoints.based_parts import load_adapted_parts, load_exported_parts
from ldrestore.checkpoints.stable_diffusion import BaseSizes, stable_diffusion_2
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.estimators.given_degradations import Degradations, read_degradations
from ldrestore.guides.clip_tower import TowerView
from ldrestore.images.inputs import ImageInput, to_photos
from ldrestore.images.photo import Photo
from ldrestore.options import ColourFix, OutputType, StableRestoreOptions
from ldrestore.pipelines.based_pipelines import load_whole, name_after, replace_adapters
from ldrestore.pipelines.pipeline_output import RestoreOutput
from ldrestore.pipelines.sampled_records import named_degradations
from ldrestore.pipelines.sampled_restoration import PictureSteering, StepCallback, drawn_options, restore_pictures
from ldrestore.prompts.cm_adapter import CMAdapter
from ldrestore.prompts.textual_prompts import TextualPromptPool
from ldrestore.refiners.drm import DetailRefinementModule
from ldrestore.sampling.denoising import check_scheduler
from ldrestore.structures import Conditioning, DegradationEstimate
from ldrestore.systems.finite_numbers import again_in_float32
from ldrestore.systems.mperceiver import MPerceiver
from ldrestore.systems.mperceiver_loading import UNNAMED, load_tower, name_tower
from ldrestore.systems.mperceiver_parts import MPERCEIVER_PARTS, check_parts
from ldrestore.systems.sampled_pictures import lq_of

ATTENDING_PARTS = ("unet", "cm_adapter", "ir_adapter", "drm")
"""Parts with attention that goes through diffusers' dispatcher."""


class StableRestorePipeline(DiffusionPipeline):
    """Restores pictures of any size, depth and number with a latent diffusion model as prior.

    Only this class loads what it saved; `DiffusionPipeline.from_pretrained` does not know it. The injection layers are
    attached to the U-Net at the first picture, after LoRA layers, and stay so until `detach`.
    """

    vae: AutoencoderKL
    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    image_encoder: CLIPVisionModelWithProjection
    scheduler: Any
    predictor: DegradationPredictor
    tokenizer: PreTrainedTokenizerBase | None
    cm_adapter: CMAdapter | None
    textual_prompts: TextualPromptPool | None
    ir_adapter: IRAdapter | None
    injection: InjectionLayers | None
    drm: DetailRefinementModule | None
    model_cpu_offload_seq = "image_encoder->predictor->cm_adapter->textual_prompts->text_encoder->unet->vae"
    _optional_components = list(MPERCEIVER_PARTS.optional)  # noqa: RUF012  a list in the base class too
    _exclude_from_cpu_offload = ["ir_adapter", "injection", "drm"]  # noqa: RUF012  they work inside the others

    def __init__(
        self,
        vae: AutoencoderKL,
        unet: UNet2DConditionModel,
        text_encoder: CLIPTextModel,
        image_encoder: CLIPVisionModelWithProjection,
        scheduler: Any,
        predictor: DegradationPredictor,
        tokenizer: PreTrainedTokenizerBase | None = None,
        cm_adapter: CMAdapter | None = None,
        textual_prompts: TextualPromptPool | None = None,
        ir_adapter: IRAdapter | None = None,
        injection: InjectionLayers | None = None,
        drm: DetailRefinementModule | None = None,
        steps: int = 50,
    ) -> None:
        """Put the parts together.

        Args:
            vae: Of the base.
            unet: Of the base.
            text_encoder: Of the base.
            image_encoder: CLIP's vision tower; the predictor says what it is shown.
            scheduler: Any of diffusers'; its prediction type must be the U-Net's.
            predictor: Tells what is wrong with a picture.
            tokenizer: Of the base; says which tokens stand around the words. None for CLIP's own.
            cm_adapter: Makes words of the picture; None leaves the text empty.
            textual_prompts: Stand beside them.
            ir_adapter: Makes features of the damaged picture; None leaves them out.
            injection: Lets them into the U-Net.
            drm: Refines the decoder; None decodes as the autoencoder alone does.
            steps: Of the schedule, where a call says nothing.

        Raises:
            WeightsError: a part is missing, or two do not belong together.
            ConfigError: the scheduler is for other models.
        """
        super().__init__()
        parts = {
            "vae": vae,
            "unet": unet,
            "text_encoder": text_encoder,
            "image_encoder": image_encoder,
            "scheduler": scheduler,
            "predictor": predictor,
            "tokenizer": tokenizer,
            "cm_adapter": cm_adapter,
            "textual_prompts": textual_prompts,
            "ir_adapter": ir_adapter,
            "injection": injection,
            "drm": drm,
        }
        check_parts(parts)
        check_scheduler(scheduler)
        self.register_modules(**parts)
        self.register_to_config(steps=steps)
        self._connection = UNetConnection(attach, attached=("injection",), attending=ATTENDING_PARTS)
        self.set_progress_bar_config(disable=None)  # for tqdm: drawn in terminals only

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        dtype: torch.dtype | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> "StableRestorePipeline":
        """Load a whole saved pipeline: an embedded one, or from a folder or the Hub.

        Adapters alone are put upon the base that they name, as `from_base` does.

        Args:
            pretrained_model_name_or_path: A name of `list_models()`, a folder, or a Hub repository "owner/name".
            dtype: Number format of the networks; None for float32.
            revision: Branch, tag or commit of the repository.
            local_files_only: Whether only the cache of the Hub is looked into.

        Raises:
            WeightsUnavailableError: nothing lies there, or it cannot be fetched.
            WeightsError: it is damaged, another pipeline, lacks a part, or weights are not exactly those of a part.
        """
        source = pretrained_model_name_or_path
        if is_adapters(source, revision=revision, local_files_only=local_files_only):
            return cls.from_base(None, source, dtype=dtype, revision=revision, local_files_only=local_files_only)
        pipeline = load_whole(
            super().from_pretrained,
            source,
            table=MPERCEIVER_PARTS,
            dtype=dtype,
            revision=revision,
            local_files_only=local_files_only,
        )
        name_tower(pipeline.image_encoder, UNNAMED)
        return pipeline

    @classmethod
    def from_base(
        cls,
        base: str | Path | None,
        adapters: str | Path,
        *,
        image_encoder: str | Path | None = None,
        dtype: torch.dtype | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        sizes: BaseSizes | None = None,
    ) -> "StableRestorePipeline":
        """Put adapters upon the base that they were trained upon.

        Args:
            base: A folder of diffusers, a Hub repository, or a single file; see `load_base_parts`. None for where the
                adapters say it is, and its mirrors.
            adapters: Folder or Hub repository of what `save_adapters` wrote.
            image_encoder: Folder or repository of CLIP's vision tower; None for that of a base on this disk, else for
                the one that the adapters name, or the base's own.
            dtype: Number format of the networks; None for float32.
            revision: Branch, tag or commit of the adapters' repository.
            local_files_only: Whether only the cache of the Hub is looked into.
            sizes: Of a base in a single file that is none of Stable Diffusion 2.1.

        Raises:
            WeightsUnavailableError: something is not there, or cannot be fetched.
            WeightsError: something is damaged, the base is of the wrong kind, or the adapters are another base's.
        """
        dtype = dtype or torch.float32
        load = partial(load_tower, image_encoder=image_encoder, dtype=dtype, local_files_only=local_files_only)

        def load_towers(found: str, pointer: Mapping[str, Any]) -> dict[str, Any]:
            return {"image_encoder": load(found, named=pointer["base"].get("image_encoder") or UNNAMED)}

        parts, _ = load_adapted_parts(
            base,
            adapters,
            table=MPERCEIVER_PARTS,
            layout=stable_diffusion_2(sizes),
            dtype=dtype,
            revision=revision,
            local_files_only=local_files_only,
            load_towers=load_towers,
        )
        return name_after(cls(**parts), adapters)

    @classmethod
    def from_exports(
        cls,
        base: str | Path,
        *exports: str | Path,
        image_encoder: str | Path | None = None,
        prediction_type: str | None = None,
        sizes: BaseSizes | None = None,
        dtype: torch.dtype | None = None,
        local_files_only: bool = False,
    ) -> "StableRestorePipeline":
        """Put what training runs exported upon the base that they were trained upon.

        Args:
            base: A folder of diffusers, a Hub repository, or a single file; see `load_base_parts`.
            exports: Of the runs of stage 1 and stage 2; where two hold the same part, the later one counts. Parts that
                none holds are left out, but for the predictor, which must be there.
            image_encoder: Folder or repository of CLIP's vision tower; None for the base's own, or the default one.
            prediction_type: What the U-Net predicts; None for what the base says. A single file needs it.
            sizes: Of a base in a single file that is none of Stable Diffusion 2.1.
            dtype: Number format of the networks; None for float32.
            local_files_only: Whether only the cache of the Hub is looked into.

        Raises:
            WeightsUnavailableError: something is not there, or cannot be fetched.
            WeightsError: something is damaged, or parts do not belong together.
            ConfigError: nothing says what the U-Net predicts.
        """
        dtype = dtype or torch.float32
        parts, _ = load_exported_parts(
            base,
            exports,
            table=MPERCEIVER_PARTS,
            layout=stable_diffusion_2(sizes),
            prediction_type=prediction_type,
            dtype=dtype,
            local_files_only=local_files_only,
        )
        tower = load_tower(base, image_encoder, dtype=dtype, local_files_only=local_files_only)
        return cls(**parts, image_encoder=tower)

    def save_adapters(self, folder: str | Path, *, base: str | None = None) -> Path:
        """Write our parts and the scheduler, with a pointer to the base and to CLIP's tower, which are not copied.

        Args:
            folder: New, or empty.
            base: Where the base is: a Hub repository, so that others find it. None for where it was loaded from.

        Returns:
            The folder.

        Raises:
            InputError: the folder is not empty.
        """
        return write_adapters(folder, self.components, table=MPERCEIVER_PARTS, base=base)

    def load_adapters(
        self, adapters: str | Path, *, revision: str | None = None, local_files_only: bool = False
    ) -> None:
        """Take our parts and the scheduler from another checkpoint; the base stays.

        Args:
            adapters: Folder or Hub repository of what `save_adapters` wrote.
            revision: Branch, tag or commit of the repository.
            local_files_only: Whether only the cache of the Hub is looked into.

        Raises:
            WeightsUnavailableError: nothing lies there, or it cannot be fetched.
            WeightsError: they are damaged, or another base's.
        """
        replace_adapters(
            self,
            adapters,
            table=MPERCEIVER_PARTS,
            connection=self._connection,
            check=check_parts,
            revision=revision,
            local_files_only=local_files_only,
        )

    @property
    def view(self) -> TowerView:
        """What CLIP's tower is shown."""
        return self.predictor.view

    @torch.no_grad()
    def __call__(
        self,
        image: ImageInput | Iterable[ImageInput],
        *,
        degradations: Degradations | Sequence[Degradations | None] | None = None,
        num_inference_steps: int | None = StableRestoreOptions.num_inference_steps,
        strength: float = StableRestoreOptions.strength,
        seed: int | None = None,
        generator: Generator | None = None,
        refine: bool = StableRestoreOptions.refine,
        scale: int = StableRestoreOptions.scale,
        fidelity: float = StableRestoreOptions.fidelity,
        protect: ImageInput | Sequence[ImageInput | None] | None = None,
        keep_grain: float = StableRestoreOptions.keep_grain,
        tile: int | str = StableRestoreOptions.tile,
        memory_gb: float = StableRestoreOptions.memory_gb,
        clip: bool = StableRestoreOptions.clip,
        self_ensemble: bool = StableRestoreOptions.self_ensemble,
        colour_fix: ColourFix = StableRestoreOptions.colour_fix,
        output_type: OutputType = StableRestoreOptions.output_type,
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
    ) -> RestoreOutput | tuple[list[Any], list[Photo]]:
        """Restore pictures, each by itself: neither order nor company changes a result.

        Args:
            image: One or many: path, PIL, numpy (H, W[, C]), or torch (C, H, W) or (B, C, H, W) in [0, 1].
            degradations: What is wrong, in place of a prediction: weights by name that sum to 1, or text such as
                "rain=0.7,gaussian_noise=0.3"; for all pictures, or a list with one or None for each.
            num_inference_steps: Steps of the whole schedule; None for those of the model, mostly 50.
            strength: In [0, 1], the part of it gone through: 1 starts from noise, less from latents with noise.
            seed: Of the run, 0 where it is left out; each picture's own follows from it and from its pixels.
            generator: Draws the seed of the run, in place of `seed`.
            refine: Whether the decoder is refined, if the model has what it takes.
            scale: Enlarge each side this many times, bicubically, before restoring; 1 to 8.
            fidelity: In [0, 1]; 0 is the result, 1 the input.
            protect: A grey picture of the inputs' size, or a list with one or None for each: white keeps the input.
            keep_grain: In [0, 1], how much of the input's film grain or paper is given back.
            tile: Side of the tiles in pixels, a multiple of 64; "auto" plans it from `memory_gb`, "off" takes the
                picture whole, but for the autoencoder's own tiles after `vae.enable_tiling()`.
            memory_gb: Budget for "auto", in 10^9 bytes, beside the weights.
            clip: Whether float pixels outside [0, 1] are clipped; they are refused otherwise.
            self_ensemble: Average over the eight flips and quarter turns, each with noise of its own.
            colour_fix: Take tones from the input: "wavelet" its low frequencies, "adain" its mean and contrast; "off"
                for pictures whose light or colour is what is wrong.
            output_type: Kind of `.images`: "pil" 8-bit, "np" float32 (H, W, C), "pt" float32 (C, H, W), or "photo".
            return_dict: Whether to return a `RestoreOutput`; otherwise the tuple (images, photos).
            callback_on_step_end: See `StepCallback`; what it changes is not in the record.

        Returns:
            Pictures of the inputs' size times `scale`, and what the model believes to be wrong with each. Alpha is kept
            as it is, and enlarged like the colours; those under full transparency stay, and are not looked at.

        Raises:
            InputError: an option out of range, no picture, or an unknown degradation.
            ImageFileError: a path cannot be read.
            WeightsError: a model gives infinite or undefined numbers in float32 too.
            OutOfMemoryError: not even the smallest tile fits.
        """
        output = self.restore(
            image,
            StableRestoreOptions(
                degradations=degradations,
                num_inference_steps=num_inference_steps,
                strength=strength,
                seed=seed,
                generator=generator,
                refine=refine,
                scale=scale,
                fidelity=fidelity,
                protect=protect,
                keep_grain=keep_grain,
                tile=tile,
                memory_gb=memory_gb,
                clip=clip,
                self_ensemble=self_ensemble,
                colour_fix=colour_fix,
                output_type=output_type,
                callback_on_step_end=callback_on_step_end,
            ),
        )
        return output if return_dict else (output.images, output.photos)

    @torch.no_grad()
    def restore(self, image: ImageInput | Iterable[ImageInput], options: StableRestoreOptions) -> RestoreOutput:
        """`__call__` with its options in one object.

        Args:
            image: One or many.
            options: What is asked of all of them.

        Raises:
            LDRestoreError: as `__call__`.
        """
        options = drawn_options(options, has_refiner=self.drm is not None, steps=self.config["steps"])
        photos = to_photos(image, clip=options.clip)
        given = read_degradations(options.degradations, names=self.predictor.names, num_pictures=len(photos))
        return restore_pictures(
            self,
            photos,
            options=options,
            connection=self._connection,
            look_at=partial(self._look_at, given=given),
            make_system=lambda: MPerceiver(
                self.components, attachment=self._connection.attachment, refine=options.refine
            ),
        )

    def detach(self) -> None:
        """Take the injection layers off the U-Net, which is as it was found then; the next picture attaches them."""
        self._connection.disconnect()

    def set_attention_backend(self, backend: str) -> None:
        """Let the U-Net and our own parts attend with another of diffusers' backends.

        Args:
            backend: Its name for diffusers, such as "native", "flash" or "xformers".

        Raises:
            ValueError: diffusers knows no such backend.
            RuntimeError: its package is missing or too old.
        """
        self._connection.choose_backend(backend, self.components)

    def _look_at(
        self, copies: Sequence[Photo], *, given: Sequence[DegradationEstimate | None]
    ) -> list[PictureSteering[Conditioning]]:
        """What steers each picture, for all pictures before the first is restored: CLIP's tower has done its part then.

        Raises:
            UndefinedNumbersError: a model gives infinite or undefined numbers in float32 too.
        """
        system, looks = MPerceiver(self.components, attachment=None), []
        for large, present in zip(copies, given, strict=True):
            lq = lq_of(large.pixels, multiple=1, device=self._execution_device)
            conditioning, estimate = again_in_float32(partial(system.condition, lq, present), system.networks)
            named = {"degradations": named_degradations(present)}
            looks.append(PictureSteering(conditioning=conditioning, estimate=estimate, recorded=named))
        for hook in getattr(self, "_all_hooks", ()):
            if hook.model is self.image_encoder:  # with the degradations given, no later part in the row sends it back
                hook.offload()
        return looks
