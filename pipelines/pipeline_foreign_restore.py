"""The foreign track: pictures through a network of another project that the package spandrel recognises."""

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from ldrestore.checkpoints.foreign_conversion import FOREIGN_WEIGHTS, licence_of_folder
from ldrestore.checkpoints.network_identity import processor_of
from ldrestore.errors import WeightsError
from ldrestore.images.inputs import ImageInput, to_photos
from ldrestore.images.photo import Photo
from ldrestore.images.protection import finished, read_masks
from ldrestore.images.working_copy import working_copy
from ldrestore.options import OutputType, RestoreOptions
from ldrestore.pipelines.picture_records import output_of, record_of_picture
from ldrestore.pipelines.pipeline_output import RestoreOutput
from ldrestore.regressors.foreign_network import ForeignNetwork, load_foreign
from ldrestore.structures import DegradationEstimate
from ldrestore.systems.foreign_pictures import restore_foreign
from ldrestore.weights.folders import find_model_folder
from ldrestore.weights.hashes import cached_hash


class ForeignRestorePipeline:
    """Restores pictures of any size, depth and number with a network that was neither written nor trained here."""

    def __init__(self, network: ForeignNetwork, *, name: str | None = None) -> None:
        """Wrap a network.

        Args:
            network: See `load_foreign`.
            name: What records call it.
        """
        self.network = network
        self.config = {"_name_or_path": name}
        self._bar_options: dict[str, Any] = {"disable": None}
        self._lock = threading.RLock()

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        dtype: torch.dtype | None = None,
        local_files_only: bool = False,
    ) -> "ForeignRestorePipeline":
        """Load a safetensors file, or a folder that `ldrestore convert spandrel` wrote.

        Args:
            pretrained_model_name_or_path: The file, the folder, or a Hub repository "owner/name" of such a folder.
            dtype: Number format of the network; None for float32.
            local_files_only: Whether only the cache of the Hub is looked into.

        Raises:
            MissingExtraError: spandrel is not installed.
            WeightsUnavailableError: nothing lies there, or it cannot be fetched.
            WeightsError: it is damaged, or of no network that spandrel knows.
        """
        path = Path(pretrained_model_name_or_path)
        if path.is_file():
            network = load_foreign(path)
        else:
            path = find_model_folder(pretrained_model_name_or_path, local_files_only=local_files_only)
            weights = path / FOREIGN_WEIGHTS
            if not weights.is_file():
                raise WeightsError(f"{path} has no {FOREIGN_WEIGHTS}; convert it again: ldrestore convert spandrel")
            network = load_foreign(weights, licence=licence_of_folder(path))
        network.to(torch.device("cpu"), dtype or torch.float32)
        return cls(network, name=path.resolve().name)

    @property
    def components(self) -> dict[str, nn.Module]:
        """The parts by name, as pipelines of diffusers have them."""
        return {"regressor": self.network.module}

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.network.device

    def to(self, device: torch.device | str, *, silence_dtype_warnings: bool = True) -> "ForeignRestorePipeline":
        """Move the network; nothing is said of its number format, whatever the second argument of diffusers' is."""
        self.network.to(torch.device(device), self.network.dtype)
        return self

    def set_progress_bar_config(self, *, disable: bool | None = None) -> None:
        """Whether a bar is drawn; None for in terminals only."""
        self._bar_options = {"disable": disable}

    def progress_bar(self, *, total: int) -> Any:
        """A bar of so many ticks."""
        return tqdm(total=total, **self._bar_options)

    def __call__(
        self,
        image: ImageInput | Iterable[ImageInput],
        *,
        scale: int = RestoreOptions.scale,
        fidelity: float = RestoreOptions.fidelity,
        protect: ImageInput | Sequence[ImageInput | None] | None = None,
        keep_grain: float = RestoreOptions.keep_grain,
        tile: int | str = RestoreOptions.tile,
        memory_gb: float = RestoreOptions.memory_gb,
        clip: bool = RestoreOptions.clip,
        self_ensemble: bool = RestoreOptions.self_ensemble,
        output_type: OutputType = RestoreOptions.output_type,
        return_dict: bool = True,
    ) -> RestoreOutput | tuple[list[Any], list[Photo]]:
        """Restore pictures, each by itself.

        Args:
            image: One or many, see `FastRestorePipeline.__call__`, as all that follows.
            scale: Size of the result. A network that enlarges does so itself; what its own scale leaves of this is made
                up before it where it divides, and after it where it does not.
            fidelity: In [0, 1]; 0 is the network's result, 1 the input itself.
            protect: A grey picture of the inputs' size: white keeps the input.
            keep_grain: In [0, 1], how much of the film grain or paper that was taken away is given back.
            tile: Side of the tiles in pixels; "auto" takes a picture whole where the network allows no tiles.
            memory_gb: Budget for "auto", in 10^9 bytes.
            clip: Whether float pixels outside [0, 1] are clipped.
            self_ensemble: Average over the eight flips and quarter turns.
            output_type: Kind of `.images`.
            return_dict: Whether to return a `RestoreOutput`; otherwise the tuple (images, photos).

        Raises:
            InputError: an option out of range, or no picture.
            ImageFileError: a path cannot be read.
            WeightsError: the network gives infinite or undefined numbers.
            OutOfMemoryError: not even the smallest tile fits.
        """
        options = RestoreOptions(
            scale=scale,
            fidelity=fidelity,
            protect=protect,
            keep_grain=keep_grain,
            tile=tile,
            memory_gb=memory_gb,
            clip=clip,
            self_ensemble=self_ensemble,
            output_type=output_type,
        )
        output = self.restore(image, options)
        return output if return_dict else (output.images, output.photos)

    @torch.no_grad()
    def restore(self, image: ImageInput | Iterable[ImageInput], options: RestoreOptions) -> RestoreOutput:
        """`__call__` with its options in one object.

        Args:
            image: One or many.
            options: What is asked of all of them.

        Raises:
            LDRestoreError: as `__call__`.
        """
        photos = to_photos(image, clip=options.clip)
        masks = read_masks(options.protect, photos)
        with self._lock:
            found = [self._restore_photo(photo, mask, options) for photo, mask in zip(photos, masks, strict=True)]
        return output_of(photos, found, options=options, advice=[self._advice(options)] * len(found))

    def _restore_photo(
        self, photo: Photo, mask: Photo | None, options: RestoreOptions
    ) -> tuple[Photo, DegradationEstimate, dict[str, Any]]:
        """One picture restored, an estimate of nothing, and its record."""
        large = working_copy(photo, scale=options.scale)
        pixels, plan = restore_foreign(
            photo, large, network=self.network, options=options, progress_bar=self.progress_bar
        )
        result = finished(pixels, large=large, photo=photo, mask=mask, keep_grain=options.keep_grain)
        estimate = DegradationEstimate()
        record = record_of_picture(
            photo,
            result,
            model=self._describe(),
            runtime={
                "engine": "local",
                "device": self.device.type,
                "dtype": str(self.network.dtype).removeprefix("torch."),
                "processor": processor_of(self.device),
                "threads": torch.get_num_threads(),
            },
            options=options,
            recorded={},
            mask=mask,
            plan=plan,
            estimate=estimate,
            more_packages=("spandrel",),
        )
        return result, estimate, record

    def _describe(self) -> dict[str, Any]:
        """Pipeline, architecture and weights, for the records."""
        return {
            "pipeline": type(self).__name__,
            "name": self.config["_name_or_path"],
            "architecture": self.network.facts.architecture,
            "weights_sha256": cached_hash(self.network.module),
        }

    def _advice(self, options: RestoreOptions) -> tuple[str, ...]:
        """That the network enlarges, where its result was made smaller again."""
        own = self.network.facts.scale
        if options.scale % own == 0:
            return ()
        return (f"this model enlarges {own} times, and its result was made smaller; --scale {own} keeps all of it",)
