"""The fast track: pictures through one regressor, one forward pass a tile."""

import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, ModelMixin
from torch import Tensor

from ldrestore.errors import InputError, WeightsError
from ldrestore.images.inputs import ImageInput, to_photos
from ldrestore.images.photo import Photo
from ldrestore.pipelines.enlargement import enlarge
from ldrestore.pipelines.freed_memory import keeping_freed_memory
from ldrestore.pipelines.network_identity import identity_of, runtime_of
from ldrestore.pipelines.pipeline_output import OutputType, RestoreOutput, as_output_type, check_output_type
from ldrestore.pipelines.protection import keep_protected, read_masks
from ldrestore.pipelines.tile_restoration import (
    NUM_ORIENTATIONS,
    count_tiles,
    make_plan,
    mean_over_orientations,
    one_pass,
    restore_pixels,
)
from ldrestore.records import hash_of_pixels, make_record
from ldrestore.registry import resolve
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.regressors.factory import record_of
from ldrestore.regressors.onnx_regressor import OnnxRegressor
from ldrestore.structures import DegradationEstimate, TilePlan
from ldrestore.weights import align_weights, check_fit, find_model_folder, read_json, read_shapes

DEFAULT_MEMORY_GB = 4.0
"""Memory budget in 10^9 bytes where the user names none; a constant, so that a plan does not depend on the machine."""

MAX_SCALE = 8
"""Largest factor of enlargement."""


class FastRestorePipeline(DiffusionPipeline):
    """Restores pictures of any size, depth and number with one network.

    Only this class loads what it saved; `DiffusionPipeline.from_pretrained` does not know it.
    """

    model_cpu_offload_seq = "regressor"

    def __init__(self, regressor: ModelMixin | OnnxRegressor) -> None:
        """Wrap a network.

        Args:
            regressor: Takes lq (B, 3, H, W) in [0, 1] to the restored picture; a class of the regressor registry, or an
                exported network, with which the pipeline restores but cannot be saved.
        """
        super().__init__()
        self.register_modules(regressor=regressor)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        dtype: torch.dtype | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> "FastRestorePipeline":
        """Load a saved pipeline from a folder or the Hub.

        Args:
            pretrained_model_name_or_path: The folder, or a Hub repository "owner/name".
            dtype: Number format of the network; None for float32.
            revision: Branch, tag or commit of the repository.
            local_files_only: Whether only the cache of the Hub is looked into.

        Raises:
            WeightsUnavailableError: nothing lies there, or it cannot be fetched.
            WeightsError: it is damaged, another pipeline, or its weights are not exactly those of its network.
        """
        folder = find_model_folder(pretrained_model_name_or_path, revision=revision, local_files_only=local_files_only)
        _check_regressor(folder, pipeline_name=cls.__name__)
        pipeline = super().from_pretrained(folder, dtype=dtype or torch.float32, use_safetensors=True)
        is_local = Path(pretrained_model_name_or_path).is_dir()
        name = folder.resolve().name if is_local else str(pretrained_model_name_or_path)
        for part in (pipeline, pipeline.regressor):  # saved again, neither tells where on this disk it came from
            part.register_to_config(_name_or_path=name)
        align_weights(pipeline.regressor)
        pipeline.regressor.eval()
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
        scale: int = 1,
        fidelity: float = 0.0,
        protect: ImageInput | Sequence[ImageInput | None] | None = None,
        tile: int | str = "auto",
        memory_gb: float = DEFAULT_MEMORY_GB,
        self_ensemble: bool = False,
        output_type: OutputType = "pil",
        return_dict: bool = True,
    ) -> RestoreOutput | tuple[list[Any], list[Photo]]:
        """Restore pictures, each by itself: neither order nor company changes a result.

        Args:
            image: One or many: path, PIL, numpy (H, W[, C]) of uint8, uint16 or float in [0, 1], torch (C, H, W) or
                (B, C, H, W) in [0, 1].
            scale: Enlarge each side this many times, bicubically, before restoring; 1 to `MAX_SCALE`.
            fidelity: In [0, 1]; 0 is the network's result, 1 the input itself.
            protect: A grey picture of the inputs' size: white keeps the input, black takes the result; or a list, one
                or None for each input.
            tile: Side of the tiles in pixels, a multiple of 64; "auto" plans it from `memory_gb`, "off" takes the
                picture whole.
            memory_gb: Budget for "auto", in 10^9 bytes, input and output included.
            self_ensemble: Average over the eight flips and quarter turns.
            output_type: Kind of `.images`: "pil" 8-bit, "np" float32 (H, W, C), "pt" float32 (C, H, W), or "photo".
            return_dict: Whether to return a `RestoreOutput`; otherwise the tuple (images, photos).

        Returns:
            Pictures of the inputs' size times `scale`. Alpha is not given to the network, which knows no mattes: it is
            kept as it is, and enlarged like the colours.

        Raises:
            InputError: an option out of range, or no picture.
            ImageFileError: a path cannot be read.
            OutOfMemoryError: not even the smallest tile fits.
        """
        _check_options(scale=scale, fidelity=fidelity)
        check_output_type(output_type)
        photos = to_photos(image)
        masks = read_masks(protect, photos)
        asked = {"scale": scale, "fidelity": fidelity, "self_ensemble": self_ensemble}
        model = self._describe()
        restored, estimates, records = [], [], []
        for photo, mask in zip(photos, masks, strict=True):
            large = enlarge(photo, scale)
            plan = self._plan(photo, large, tile=tile, memory_gb=memory_gb)
            with keeping_freed_memory():
                pixels, plan, estimate = self._restore(
                    large.pixels, plan, fidelity=fidelity, self_ensemble=self_ensemble
                )
            result = large.replace(pixels=keep_protected(pixels, large.pixels, mask), alpha=large.alpha)
            restored.append(result)
            estimates.append(estimate)
            options = {**asked, "protect_sha256": None if mask is None else hash_of_pixels(mask.pixels, None)}
            records.append(self._record(photo, result, model=model, options=options, plan=plan, estimate=estimate))
        images = [as_output_type(photo, output_type) for photo in restored]
        if not return_dict:
            return images, restored
        return RestoreOutput(images=images, photos=restored, degradations=estimates, records=records)

    def _plan(self, photo: Photo, large: Photo, *, tile: int | str, memory_gb: float) -> TilePlan:
        """The tiles of one picture, whose input, enlarged input and output lie in memory all along."""
        resident = sum(_bytes_of(held) for held in (photo, large)) + (0 if large is photo else _bytes_of(large))
        return make_plan(
            large.height,
            large.width,
            tile=tile,
            memory_gb=memory_gb,
            bytes_per_pixel=record_of(self.regressor).bytes_per_pixel,
            resident_bytes=resident,
        )

    def _restore(
        self, pixels: np.ndarray, plan: TilePlan, *, fidelity: float, self_ensemble: bool
    ) -> tuple[np.ndarray, TilePlan, DegradationEstimate | None]:
        """Restore (H, W, C), a tick of the progress bar a tile; returns the plan that memory allowed, too."""
        seen: list[Tensor] = []
        with self.progress_bar(total=count_tiles(plan, *pixels.shape[:2])) as bar:

            def forward(lq: Tensor) -> Tensor:
                restored, probabilities = one_pass(self.regressor, lq, device=self._execution_device)
                if probabilities is not None:
                    seen.append(probabilities)
                return restored

            def restore_tile(lq: Tensor) -> Tensor:
                restored = mean_over_orientations(forward, lq) if self_ensemble else forward(lq)
                bar.update()
                return torch.lerp(restored, lq, fidelity)

            restored, plan = restore_pixels(pixels, restore_tile, plan)
        num_passes = count_tiles(plan, *pixels.shape[:2]) * (NUM_ORIENTATIONS if self_ensemble else 1)
        return restored, plan, self._estimate(seen[-num_passes:])

    def _estimate(self, probabilities: list[Tensor]) -> DegradationEstimate | None:
        """The mean over the passes of one picture, each (N,); None from a network that estimates nothing."""
        if not probabilities:
            return None
        mean = torch.stack(probabilities).mean(dim=0)
        return DegradationEstimate(tuple(self.regressor.config["degradations"]), tuple(mean.tolist()))

    def _describe(self) -> dict[str, Any]:
        """Pipeline, architecture and weights, for the records."""
        return {
            "pipeline": type(self).__name__,
            "name": self.config.get("_name_or_path"),
            **identity_of(self.regressor),
        }

    def _record(
        self,
        photo: Photo,
        result: Photo,
        *,
        model: dict[str, Any],
        options: dict[str, Any],
        plan: TilePlan,
        estimate: DegradationEstimate | None,
    ) -> dict[str, Any]:
        """How one result was made, and what the model saw, to three digits."""
        return make_record(
            model=model,
            options=options,
            tile_plan=plan.as_dict(),
            runtime=runtime_of(self.regressor),
            input_sha256=hash_of_pixels(photo.pixels, photo.alpha),
            output_sha256=hash_of_pixels(result.pixels, result.alpha),
            degradations=estimate and {name: round(probability, 3) for name, probability in estimate.ranked()},
        )


def _check_regressor(folder: Path, *, pipeline_name: str) -> None:
    """Hold config and weights of a folder against the network that it names, and import that network's module.

    diffusers finds a component of ours only if its module has been imported, and makes up missing keys with a warning.

    Raises:
        WeightsUnavailableError: there are no safetensors weights.
        WeightsError: another pipeline, an unknown network, or a config or weights that are not the network's.
    """
    index = read_json(folder / "model_index.json")
    if index.get("_class_name") != pipeline_name:
        raise WeightsError(f"{folder} holds a {index.get('_class_name')}, expected a {pipeline_name}")
    component = index.get("regressor")
    target = ":".join(map(str, component)) if isinstance(component, list) else str(component)
    if target not in {record.target for record in REGRESSORS}:
        raise WeightsError(f"{folder} needs the network {target}, unknown to this version; upgrade ldrestore")
    network_class = resolve(target)
    config = read_json(folder / "regressor" / "config.json")
    known = inspect.signature(network_class.__init__).parameters
    unknown = sorted(key for key in config if not key.startswith("_") and key not in known)
    if unknown:
        raise WeightsError(f"{folder}: {network_class.__name__} takes no {', '.join(unknown)}; upgrade ldrestore")
    try:
        with torch.device("meta"):
            network = network_class.from_config(config)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{folder}: its config builds no {network_class.__name__} ({error})") from error
    check_fit(network, read_shapes(folder / "regressor"), source=str(folder / "regressor"))


def _bytes_of(photo: Photo) -> int:
    """What a photo's pixels and alpha take of memory, in bytes."""
    return photo.pixels.nbytes + (0 if photo.alpha is None else photo.alpha.nbytes)


def _check_options(*, scale: int, fidelity: float) -> None:
    """Refuse options out of range.

    Raises:
        InputError: one is.
    """
    if not isinstance(scale, int) or not 1 <= scale <= MAX_SCALE:
        raise InputError(f"scale must be a whole number in [1, {MAX_SCALE}], got {scale}")
    if not 0 <= fidelity <= 1:
        raise InputError(f"fidelity must lie in [0, 1], got {fidelity}")
