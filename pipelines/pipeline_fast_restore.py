"""The fast track: pictures through one regressor, one forward pass a tile."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline, ModelMixin

from ldrestore.checkpoints.network_identity import identity_of, runtime_of
from ldrestore.checkpoints.saved_folder import check_recorded_weights, check_saved_networks, find_saved_pipeline
from ldrestore.errors import InputError
from ldrestore.estimators.given_degradations import Degradations, given_strengths
from ldrestore.guides.sentence_encoder import SentenceEncoder
from ldrestore.images.inputs import ImageInput, to_photos
from ldrestore.images.photo import Photo
from ldrestore.images.protection import finished, read_masks
from ldrestore.images.working_copy import working_copy
from ldrestore.options import FastRestoreOptions, OutputType
from ldrestore.pipelines.one_call import one_call
from ldrestore.pipelines.picture_records import output_of, record_of_picture
from ldrestore.pipelines.pipeline_output import RestoreOutput
from ldrestore.pipelines.progress import loading_bar_in_terminals_only
from ldrestore.regressors.factory import record_of
from ldrestore.regressors.instruction_encoder import Instruction, InstructionEncoder, check_text, load_encoder_of
from ldrestore.regressors.instruction_head import InstructionHead, check_pair
from ldrestore.regressors.onnx_regressor import OnnxRegressor
from ldrestore.structures import DegradationEstimate
from ldrestore.systems.regression import OPTIONAL_PARTS, RegressionSystem, part_classes
from ldrestore.systems.regression_pictures import plan_of_passes, restore_picture
from ldrestore.systems.regression_steering import (
    EmbeddingInput,
    Steering,
    advice_on,
    steerings_of,
    why_no_instruction,
)
from ldrestore.tiling.freed_memory import keeping_freed_memory
from ldrestore.weights.fitting import align_weights
from ldrestore.weights.hashes import cached_hash


class FastRestorePipeline(DiffusionPipeline):
    """Restores pictures of any size, depth and number with one network.

    Only this class loads what it saved; `DiffusionPipeline.from_pretrained` does not know it.
    """

    regressor: ModelMixin | OnnxRegressor
    instruction_head: InstructionHead | None

    model_cpu_offload_seq = "instruction_head->regressor"
    _optional_components = list(OPTIONAL_PARTS)  # noqa: RUF012  a list in the base class too

    def __init__(self, regressor: ModelMixin | OnnxRegressor, instruction_head: InstructionHead | None = None) -> None:
        """Wrap a network.

        Args:
            regressor: Takes lq (B, 3, H, W) in [0, 1] to the restored picture; a class of the regressor registry, or an
                exported network, with which the pipeline restores but cannot be saved.
            instruction_head: Makes instructions to embeddings that steer the network, which must have been trained with
                this very head: to another one it listens, and does something else.

        Raises:
            WeightsError: the network takes no embeddings, or none of the head's width.
        """
        super().__init__()
        if instruction_head is not None:
            check_pair(regressor, instruction_head)
        self.register_modules(regressor=regressor, instruction_head=instruction_head)
        self._sentence_encoder: SentenceEncoder | None = None
        self.set_progress_bar_config(disable=None)  # for tqdm: drawn in terminals only

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        dtype: torch.dtype | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> "FastRestorePipeline":
        """Load a saved pipeline: an embedded one, or from a folder or the Hub.

        Args:
            pretrained_model_name_or_path: A name of `list_models()`, a folder, or a Hub repository "owner/name".
            dtype: Number format of the network; None for float32.
            revision: Branch, tag or commit of the repository.
            local_files_only: Whether only the cache of the Hub is looked into.

        Raises:
            WeightsUnavailableError: nothing lies there, or it cannot be fetched.
            WeightsError: it is damaged, another pipeline, or its weights are not exactly those of its network.
        """
        folder, name = find_saved_pipeline(
            pretrained_model_name_or_path, revision=revision, local_files_only=local_files_only
        )
        check_saved_networks(folder, networks=part_classes(), optional=OPTIONAL_PARTS, pipeline_name=cls.__name__)
        with loading_bar_in_terminals_only():
            pipeline = super().from_pretrained(folder, dtype=dtype or torch.float32, use_safetensors=True)
        parts = {key: part for key, part in pipeline.components.items() if part is not None}
        for part in (pipeline, *parts.values()):  # saved again, none tells where on this disk it came from
            part.register_to_config(_name_or_path=name)
        for part in parts.values():
            align_weights(part.eval())
        check_recorded_weights(folder, parts["regressor"])
        return pipeline

    @classmethod
    def from_onnx(cls, path: str | Path) -> "FastRestorePipeline":
        """Load a network that `ldrestore export` wrote; the file alone suffices.

        Args:
            path: The .onnx file.

        Raises:
            MissingExtraError: onnxruntime is not installed.
            WeightsUnavailableError: nothing lies there.
            WeightsError: the file is damaged, or no export of ours.
        """
        regressor = OnnxRegressor(path)
        pipeline = cls(regressor)
        pipeline.register_to_config(_name_or_path=regressor.facts.name)
        return pipeline

    @torch.no_grad()
    def __call__(
        self,
        image: ImageInput | Iterable[ImageInput],
        *,
        scale: int = FastRestoreOptions.scale,
        fidelity: float = FastRestoreOptions.fidelity,
        instruction: str | None = None,
        embedding: EmbeddingInput = None,
        degradations: Degradations | None = None,
        protect: ImageInput | Sequence[ImageInput | None] | None = None,
        keep_grain: float = FastRestoreOptions.keep_grain,
        tile: int | str = FastRestoreOptions.tile,
        memory_gb: float = FastRestoreOptions.memory_gb,
        clip: bool = FastRestoreOptions.clip,
        self_ensemble: bool = FastRestoreOptions.self_ensemble,
        output_type: OutputType = FastRestoreOptions.output_type,
        return_dict: bool = True,
    ) -> RestoreOutput | tuple[list[Any], list[Photo]]:
        """Restore pictures, each by itself: neither order nor company changes a result.

        Args:
            image: One or many: path, PIL, numpy (H, W[, C]) of uint8, uint16 or float in [0, 1], torch (C, H, W) or
                (B, C, H, W) in [0, 1].
            scale: Enlarge each side this many times, bicubically, before restoring; 1 to 8.
            fidelity: In [0, 1]; 0 is the network's result, 1 the input itself.
            instruction: What to do, for all pictures, in plain English, such as "remove the noise"; for models with an
                instruction head. None for the head's neutral instruction, or, where it has none, for no embedding.
            embedding: What a guide said, for models that take it: an array of one picture's shape for all pictures, a
                list with one or None for each, or a function of a photo.
            degradations: How strongly each is treated, for models that take it: strengths in [0, 1] by name, or text
                such as "low_light=0.5,jpeg=0"; what is left out stays as the model sees it.
            protect: A grey picture of the inputs' size: white keeps the input, black takes the result; or a list, one
                or None for each input.
            keep_grain: In [0, 1], how much of the film grain or paper that was taken away is given back, as measured
                from the input.
            tile: Side of the tiles in pixels, a multiple of 64; "auto" plans it from `memory_gb`, "off" takes the
                picture whole.
            memory_gb: Budget for "auto", in 10^9 bytes, input and output included.
            clip: Whether float pixels outside [0, 1] are clipped; they are refused otherwise.
            self_ensemble: Average over the eight flips and quarter turns.
            output_type: Kind of `.images`: "pil" 8-bit, "np" float32 (H, W, C), "pt" float32 (C, H, W), or "photo".
            return_dict: Whether to return a `RestoreOutput`; otherwise the tuple (images, photos).

        Returns:
            Pictures of the inputs' size times `scale`. Alpha is not given to the network, which knows no mattes: it is
            kept as it is, and enlarged like the colours; those under full transparency stay, and are not looked at.

        Raises:
            InputError: an option out of range, no picture, an instruction that cannot be understood, or one, an
                embedding or degradations for a model that takes none.
            ImageFileError: a path cannot be read.
            WeightsError: the head's sentence encoder cannot be had, or is another one.
            MissingExtraError: that encoder comes with a package that is not installed.
            OutOfMemoryError: not even the smallest tile fits.
        """
        output = self.restore(
            image,
            FastRestoreOptions(
                scale=scale,
                fidelity=fidelity,
                instruction=instruction,
                embedding=embedding,
                degradations=degradations,
                protect=protect,
                keep_grain=keep_grain,
                tile=tile,
                memory_gb=memory_gb,
                clip=clip,
                self_ensemble=self_ensemble,
                output_type=output_type,
            ),
        )
        return output if return_dict else (output.images, output.photos)

    @torch.no_grad()
    def restore(self, image: ImageInput | Iterable[ImageInput], options: FastRestoreOptions) -> RestoreOutput:
        """`__call__` with its options in one object.

        Args:
            image: One or many.
            options: What is asked of all of them.

        Raises:
            LDRestoreError: as `__call__`.
        """
        strengths = None if options.degradations is None else self.check_degradations(options.degradations)
        photos = to_photos(image, clip=options.clip)
        masks = read_masks(options.protect, photos)
        steerings = steerings_of(
            photos,
            regressor=self.regressor,
            head=self.instruction_head,
            instruction=None if options.instruction is None else self.understand(options.instruction),
            embedding=options.embedding,
            strengths=strengths,
        )
        with one_call(self):
            model = self._describe()
            found = [
                self._restore_photo(photo, mask, steering, model=model, options=options, strengths=strengths)
                for photo, mask, steering in zip(photos, masks, steerings, strict=True)
            ]
        takes_hints = record_of(self.regressor).takes_hints
        advice = [
            advice_on(photo, estimate, strengths or {}) if takes_hints else ()
            for photo, (_, estimate, _) in zip(photos, found, strict=True)
        ]
        return output_of(photos, found, options=options, advice=advice)

    def _restore_photo(
        self,
        photo: Photo,
        mask: Photo | None,
        steering: Steering,
        *,
        model: dict[str, Any],
        options: FastRestoreOptions,
        strengths: dict[str, float] | None,
    ) -> tuple[Photo, DegradationEstimate, dict[str, Any]]:
        """One picture restored, what is wrong with it, and its record; see `__call__`."""
        large = working_copy(photo, scale=options.scale)
        system = RegressionSystem(self.regressor)
        with keeping_freed_memory():
            pixels, plan, estimate = restore_picture(
                large.pixels,
                plan_of_passes(photo, large, system=system, options=options),
                steering,
                system=system,
                options=options,
                device=self._execution_device,
                progress_bar=self.progress_bar,
            )
        result = finished(pixels, large=large, photo=photo, mask=mask, keep_grain=options.keep_grain)
        record = record_of_picture(
            photo,
            result,
            model=model,
            runtime=runtime_of(self.regressor),
            options=options,
            recorded={**steering.recorded, "degradations": strengths},
            mask=mask,
            plan=plan,
            estimate=estimate,
            understood=steering.understood,
        )
        return result, estimate, record

    def understand(self, text: str) -> Instruction:
        """What an instruction is taken for.

        It is read by the sentence encoder that the head names, which is loaded at the first instruction, and stays.

        Args:
            text: A sentence or two in English.

        Raises:
            InputError: this model takes no instructions, or it is empty, too long, in another language or unclear.
            WeightsError: the encoder cannot be had, or is another one.
            MissingExtraError: the encoder comes with a package that is not installed.
        """
        if self.instruction_head is None:
            raise InputError(why_no_instruction(self.regressor))
        check_text(text)
        if self._sentence_encoder is None:
            self._sentence_encoder = load_encoder_of(self.instruction_head)
        return InstructionEncoder(self._sentence_encoder, self.instruction_head)(text)

    def check_degradations(self, degradations: Degradations) -> dict[str, float]:
        """Read strengths, and refuse those that the network does not take.

        Args:
            degradations: As the call takes them.

        Returns:
            How strongly each named degradation is to be taken away, in [0, 1].

        Raises:
            InputError: the network takes none, one is no number in [0, 1], or it does not know a name.
        """
        if not record_of(self.regressor).takes_hints:
            name = type(self.regressor).__name__
            raise InputError(
                f"this model, {name}, takes no --degradation; leave the degradations out, or name another --model"
            )
        return given_strengths(degradations, self.regressor.config["degradations"])

    def set_sentence_encoder(self, encoder: SentenceEncoder) -> None:
        """Read instructions with an encoder at hand, from a folder of yours for instance.

        Args:
            encoder: The very one that the head was trained on.

        Raises:
            InputError: this model takes no instructions.
            WeightsError: it is another encoder.
        """
        if self.instruction_head is None:
            raise InputError(why_no_instruction(self.regressor))
        self.instruction_head.check_encoder(encoder.identity, dim=encoder.dim)
        self._sentence_encoder = encoder

    def _describe(self) -> dict[str, Any]:
        """Pipeline, architecture and weights, for the records."""
        return {
            "pipeline": type(self).__name__,
            "name": self.config.get("_name_or_path"),
            **identity_of(self.regressor),
            "head_sha256": None if self.instruction_head is None else cached_hash(self.instruction_head),
        }
