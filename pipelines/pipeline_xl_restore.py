"""The XL track: pictures through SDXL, with the damaged picture aligned to the latents at each step.

UniLDiff, "Unified Latent Diffusion for Image Restoration". No full-size weights of it are public; a folder, a single
file or a repository with weights of one's own is needed.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DiffusionPipeline, UNet2DConditionModel
from torch import Generator
from transformers import CLIPTextModel, CLIPTextModelWithProjection, PreTrainedTokenizerBase

from ldrestore.adapters.daff import DAFF
from ldrestore.adapters.fusion_attachment import FusionAttachment, attach_fusion
from ldrestore.adapters.lq_encoder import LQEncoder
from ldrestore.adapters.residual_alignment import ResidualAlignment
from ldrestore.adapters.unet_connection import UNetConnection
from ldrestore.checkpoints.adapters_folder import is_adapters, write_adapters
from ldrestore.checkpoints.base_model import load_base_tokenizers
from ldrestore.checkpoints.based_parts import load_adapted_parts, load_exported_parts
from ldrestore.checkpoints.sdxl import XLSizes, sdxl
from ldrestore.estimators.given_degradations import Degradations
from ldrestore.images.inputs import ImageInput, to_photos
from ldrestore.images.photo import Photo
from ldrestore.options import ColourFix, OutputType, XLRestoreOptions
from ldrestore.pipelines.based_pipelines import load_whole, name_after, replace_adapters
from ldrestore.pipelines.given_texts import GivenTexts, read_texts
from ldrestore.pipelines.pipeline_output import RestoreOutput
from ldrestore.pipelines.sampled_restoration import PictureSteering, StepCallback, drawn_options, restore_pictures
from ldrestore.refiners.daem import DetailExpertModule
from ldrestore.sampling.denoising import check_scheduler
from ldrestore.systems.finite_numbers import again_in_float32
from ldrestore.systems.unildiff import UniLDiff
from ldrestore.systems.unildiff_parts import FUSIONS, UNILDIFF_PARTS, check_xl_parts
from ldrestore.systems.unildiff_texts import XLConditioning


class XLRestorePipeline(DiffusionPipeline):
    """Restores pictures of any size, depth and number with SDXL as prior.

    Only this class loads what it saved; `DiffusionPipeline.from_pretrained` does not know it. The fusion is attached to
    the U-Net at the first picture, after LoRA layers, and stays so until `detach`.
    """

    vae: AutoencoderKL
    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    text_encoder_2: CLIPTextModelWithProjection
    tokenizer: PreTrainedTokenizerBase
    tokenizer_2: PreTrainedTokenizerBase
    scheduler: Any
    lq_encoder: LQEncoder
    daff: DAFF | None
    residual_alignment: ResidualAlignment | None
    daem: DetailExpertModule | None
    model_cpu_offload_seq = "text_encoder->text_encoder_2->lq_encoder->unet->vae"
    _optional_components = list(UNILDIFF_PARTS.optional)  # noqa: RUF012  a list in the base class too
    _exclude_from_cpu_offload = [*FUSIONS, "daem"]  # noqa: RUF012  they work inside the others

    def __init__(
        self,
        vae: AutoencoderKL,
        unet: UNet2DConditionModel,
        text_encoder: CLIPTextModel,
        text_encoder_2: CLIPTextModelWithProjection,
        tokenizer: PreTrainedTokenizerBase,
        tokenizer_2: PreTrainedTokenizerBase,
        scheduler: Any,
        lq_encoder: LQEncoder,
        daff: DAFF | None = None,
        residual_alignment: ResidualAlignment | None = None,
        daem: DetailExpertModule | None = None,
        tuned: list[str] | tuple[str, ...] = (),  # of diffusers' warnings, a Sequence would give one
        steps: int = 20,
    ) -> None:
        """Put the parts together.

        Args:
            vae: Of the base, or with a decoder that was trained upon it.
            unet: Of the base, or trained upon it.
            text_encoder: CLIP's, of the base.
            text_encoder_2: OpenCLIP's, of the base.
            tokenizer: Of the first.
            tokenizer_2: Of the second.
            scheduler: Any of diffusers'; its prediction type must be the U-Net's.
            lq_encoder: Sees the damaged picture.
            daff: Lets it into the U-Net; None leaves it to where sampling starts, or to the other fusion.
            residual_alignment: In the place of DAFF, the other fusion.
            daem: Refines the decoder; None decodes as the autoencoder alone does.
            tuned: Which of "unet" and "vae" training has changed, so that adapters alone hold them.
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
            "text_encoder_2": text_encoder_2,
            "tokenizer": tokenizer,
            "tokenizer_2": tokenizer_2,
            "scheduler": scheduler,
            "lq_encoder": lq_encoder,
            "daff": daff,
            "residual_alignment": residual_alignment,
            "daem": daem,
        }
        check_xl_parts(parts)
        check_scheduler(scheduler)
        self.register_modules(**parts)
        self.register_to_config(tuned=list(tuned), steps=steps)
        self._connection: UNetConnection[FusionAttachment] = UNetConnection(
            attach_fusion, attached=tuple(FUSIONS), attending=("unet", *FUSIONS)
        )
        self.set_progress_bar_config(disable=None)  # for tqdm: drawn in terminals only

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        dtype: torch.dtype | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> "XLRestorePipeline":
        """Load a whole saved pipeline, from a folder or the Hub; adapters alone are put upon the base that they name.

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
        return load_whole(
            super().from_pretrained,
            source,
            table=UNILDIFF_PARTS,
            dtype=dtype,
            revision=revision,
            local_files_only=local_files_only,
        )

    @classmethod
    def from_base(
        cls,
        base: str | Path | None,
        adapters: str | Path,
        *,
        dtype: torch.dtype | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        sizes: XLSizes | None = None,
    ) -> "XLRestorePipeline":
        """Put adapters upon the base that they were trained upon.

        Args:
            base: A folder of diffusers, a Hub repository, or a single file, which takes the adapters' tokenizers. None
                for where the adapters say it is, and its mirrors.
            adapters: Folder or Hub repository of what `save_adapters` wrote.
            dtype: Number format of the networks; None for float32.
            revision: Branch, tag or commit of the adapters' repository.
            local_files_only: Whether only the cache of the Hub is looked into.
            sizes: Of a base in a single file that is none of SDXL base 1.0.

        Raises:
            WeightsUnavailableError: something is not there, or cannot be fetched.
            WeightsError: something is damaged, the base is of the wrong kind, or the adapters are another base's.
        """
        parts, tuned = load_adapted_parts(
            base,
            adapters,
            table=UNILDIFF_PARTS,
            layout=sdxl(sizes),
            dtype=dtype or torch.float32,
            revision=revision,
            local_files_only=local_files_only,
        )
        return name_after(cls(**parts, tuned=tuned), adapters)

    @classmethod
    def from_exports(
        cls,
        base: str | Path,
        *exports: str | Path,
        prediction_type: str | None = None,
        tokenizers: str | Path | None = None,
        sizes: XLSizes | None = None,
        dtype: torch.dtype | None = None,
        local_files_only: bool = False,
    ) -> "XLRestorePipeline":
        """Put what training runs exported, or `convert` wrote, upon the base that it was trained upon.

        Args:
            base: A folder of diffusers, a Hub repository, or a single file.
            exports: Of the runs of stage 1 and stage 2; where two hold the same part, the later one counts. A U-Net or
                autoencoder among them takes the place of the base's.
            prediction_type: What the U-Net predicts; None for what the base says. A single file needs it.
            tokenizers: Folder or Hub repository with both tokenizers, for a single file, which has none.
            sizes: Of a base in a single file that is none of SDXL base 1.0.
            dtype: Number format of the networks; None for float32.
            local_files_only: Whether only the cache of the Hub is looked into.

        Raises:
            WeightsUnavailableError: something is not there, or cannot be fetched.
            WeightsError: something is damaged, or parts do not belong together.
            ConfigError: nothing says what the U-Net predicts.
        """
        layout = sdxl(sizes)
        parts, tuned = load_exported_parts(
            base,
            exports,
            table=UNILDIFF_PARTS,
            layout=layout,
            prediction_type=prediction_type,
            dtype=dtype or torch.float32,
            local_files_only=local_files_only,
        )
        if tokenizers is not None:
            parts |= load_base_tokenizers(tokenizers, layout=layout, local_files_only=local_files_only)
        return cls(**parts, tuned=tuned)

    def save_adapters(self, folder: str | Path, *, base: str | None = None) -> Path:
        """Write our parts, what training changed of the base, and the scheduler, with a pointer to the rest.

        Args:
            folder: New, or empty.
            base: Where the base is: a Hub repository, so that others find it. None for where it was loaded from.

        Returns:
            The folder.

        Raises:
            InputError: the folder is not empty.
        """
        return write_adapters(folder, self.components, table=UNILDIFF_PARTS, base=base, tuned=self.config["tuned"])

    def load_adapters(
        self, adapters: str | Path, *, revision: str | None = None, local_files_only: bool = False
    ) -> None:
        """Take our parts and the scheduler from another checkpoint, with a U-Net or autoencoder if it holds one.

        Args:
            adapters: Folder or Hub repository of what `save_adapters` wrote.
            revision: Branch, tag or commit of the repository.
            local_files_only: Whether only the cache of the Hub is looked into.

        Raises:
            WeightsUnavailableError: nothing lies there, or it cannot be fetched.
            WeightsError: they are damaged, or another base's; so are those for a base that training has changed here.
        """
        tuned = replace_adapters(
            self,
            adapters,
            table=UNILDIFF_PARTS,
            connection=self._connection,
            check=check_xl_parts,
            revision=revision,
            local_files_only=local_files_only,
        )
        self.register_to_config(tuned=tuned)

    @torch.no_grad()
    def __call__(
        self,
        image: ImageInput | Iterable[ImageInput],
        *,
        instruction: str | Sequence[str | None] | None = None,
        degradations: Degradations | Sequence[Degradations | None] | None = None,
        prompt: str | Sequence[str | None] | None = None,
        num_inference_steps: int | None = XLRestoreOptions.num_inference_steps,
        guidance_scale: float = XLRestoreOptions.guidance_scale,
        strength: float = XLRestoreOptions.strength,
        seed: int | None = None,
        generator: Generator | None = None,
        refine: bool = XLRestoreOptions.refine,
        scale: int = XLRestoreOptions.scale,
        fidelity: float = XLRestoreOptions.fidelity,
        protect: ImageInput | Sequence[ImageInput | None] | None = None,
        keep_grain: float = XLRestoreOptions.keep_grain,
        tile: int | str = XLRestoreOptions.tile,
        memory_gb: float = XLRestoreOptions.memory_gb,
        clip: bool = XLRestoreOptions.clip,
        self_ensemble: bool = XLRestoreOptions.self_ensemble,
        colour_fix: ColourFix = XLRestoreOptions.colour_fix,
        output_type: OutputType = XLRestoreOptions.output_type,
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
    ) -> RestoreOutput | tuple[list[Any], list[Photo]]:
        """Restore pictures, each by itself: neither order nor company changes a result.

        What is not told here is as in `StableRestorePipeline.__call__`.

        Args:
            image: One or many, see `ImageInput`.
            instruction: The task prompt, such as "remove the rain": for all pictures, or a list with one or None for
                each. What is longer than the text encoders read is cut off, and a warning shows it.
            degradations: In its place what is wrong, as weights by name that sum to 1 or text such as "rain" or
                "rain=0.5,haze=0.5"; each that has a weight is asked to be removed.
            prompt: A caption, of what a picture shows; for all, or a list with one or None for each.
            num_inference_steps: Steps of the whole schedule; None for those of the model, mostly 20.
            guidance_scale: At least 1; how far to go from the prediction without texts to that with them. 1 needs half
                the time.
            strength: In [0, 1], which part of the schedule is gone through; 1 starts from the damaged picture's latents
                under the noise of the first timestep, 0 changes no latents.
            seed: Of the run, 0 where it is left out.
            generator: Draws the seed of the run, in place of `seed`.
            refine: Whether the decoder is refined, if the model has what it takes.
            scale: Enlarge each side this many times before restoring; 1 to 8.
            fidelity: In [0, 1]; 0 is the model's result, 1 the input itself.
            protect: A mask: white keeps the input, black takes the result.
            keep_grain: In [0, 1], how much of the input's film grain or paper is given back.
            tile: Side of the tiles in pixels, a multiple of 64, "auto" or "off".
            memory_gb: Budget for "auto", in 10^9 bytes, beside the weights.
            clip: Whether float pixels outside [0, 1] are clipped; they are refused otherwise.
            self_ensemble: Average over the eight flips and quarter turns.
            colour_fix: Take tones from the input: "wavelet", "adain", or "off".
            output_type: Kind of `.images`: "pil", "np", "pt" or "photo".
            return_dict: Whether to return a `RestoreOutput`; otherwise the tuple (images, photos).
            callback_on_step_end: See `StepCallback`; what it changes is not in the record.

        Returns:
            Pictures of the inputs' size times `scale`; nothing is estimated of what is wrong with them.

        Raises:
            InputError: an option out of range, no picture, an unknown degradation, or two that say what to do.
            ImageFileError: a path cannot be read.
            WeightsError: a model gives infinite or undefined numbers in float32 too.
            OutOfMemoryError: not even the smallest tile fits.
        """
        output = self.restore(
            image,
            XLRestoreOptions(
                instruction=instruction,
                degradations=degradations,
                prompt=prompt,
                num_inference_steps=num_inference_steps,
                guidance_scale=guidance_scale,
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
    def restore(self, image: ImageInput | Iterable[ImageInput], options: XLRestoreOptions) -> RestoreOutput:
        """`__call__` with its options in one object.

        Args:
            image: One or many.
            options: What is asked of all of them.

        Raises:
            LDRestoreError: as `__call__`.
        """
        options = drawn_options(options, has_refiner=self.daem is not None, steps=self.config["steps"])
        photos = to_photos(image, clip=options.clip)
        texts = read_texts(options, num_pictures=len(photos))
        return restore_pictures(
            self,
            photos,
            options=options,
            connection=self._connection,
            look_at=partial(self._look_at, texts=texts, guidance_scale=options.guidance_scale),
            make_system=lambda: UniLDiff(
                self.components, attachment=self._connection.attachment, refine=options.refine
            ),
        )

    def detach(self) -> None:
        """Take the fusion off the U-Net, which is as it was found then; the next picture attaches it."""
        self._connection.disconnect()

    def set_attention_backend(self, backend: str) -> None:
        """Let the U-Net and the fusion attend with another of diffusers' backends.

        Args:
            backend: Its name for diffusers, such as "native", "flash" or "xformers".

        Raises:
            ValueError: diffusers knows no such backend.
            RuntimeError: its package is missing or too old.
        """
        self._connection.choose_backend(backend, self.components)

    def _look_at(
        self, copies: Sequence[Photo], *, texts: Sequence[GivenTexts], guidance_scale: float
    ) -> list[PictureSteering[XLConditioning]]:
        """What steers each picture: its texts, of which each different pair is read once.

        Raises:
            UndefinedNumbersError: a model gives infinite or undefined numbers in float32 too.
        """
        system = UniLDiff(self.components, attachment=None)
        known: dict[tuple[str, str], XLConditioning] = {}
        looks = []
        for _, given in zip(copies, texts, strict=True):
            pair = (given.caption, given.task)
            if pair not in known:
                read = partial(system.condition, *pair, guidance_scale=guidance_scale)
                known[pair] = again_in_float32(read, system.networks)
            looks.append(PictureSteering(conditioning=known[pair], recorded=given.recorded))
        return looks
