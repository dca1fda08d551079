"""Networks of other projects that the package spandrel recognises by their weights, taken as they are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ldrestore.errors import MissingExtraError, WeightsError, WeightsUnavailableError
from ldrestore.weights.published_files import check_finite_weights, read_state_dict

NOT_STATED = "not stated; ask whoever published the file"
"""Of a licence."""
_METADATA_KEYS = ("license", "licence", "modelspec.license")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignFacts:
    """What is known of a foreign network."""

    architecture: str
    """As spandrel calls it."""
    purpose: str
    """"SR", "Restoration" or "FaceSR", in spandrel's words."""
    scale: int
    """How many times it enlarges each side."""
    channels: int
    """That it takes and gives: 1 or 3."""
    size_multiple: int
    """Height and width are padded to a multiple of this."""
    smallest_side: int
    """Pixels along a side that it needs at least; smaller pictures are padded."""
    takes_tiles: bool
    """Whether a part of a picture is restored as within the whole."""
    tags: tuple[str, ...]
    """Width, depth and the like, in spandrel's words."""
    licence: str
    """Of the weights, as far as the file says."""


class ForeignNetwork:
    """A network of spandrel, on one device and in one number type."""

    def __init__(self, descriptor: Any, *, licence: str) -> None:
        """Take what spandrel has recognised.

        Args:
            descriptor: An `ImageModelDescriptor`.
            licence: Of the weights.

        Raises:
            WeightsError: it takes another number of channels than 1 or 3, or gives another than it takes.
        """
        if descriptor.input_channels not in (1, 3) or descriptor.output_channels != descriptor.input_channels:
            raise WeightsError(
                f"{descriptor.architecture.name} takes {descriptor.input_channels} channels and gives "
                f"{descriptor.output_channels}; expected 1 or 3, as many as it takes"
            )
        self._descriptor = descriptor
        sizes = descriptor.size_requirements
        self.facts = ForeignFacts(
            architecture=descriptor.architecture.name,
            purpose=descriptor.purpose,
            scale=descriptor.scale,
            channels=descriptor.input_channels,
            size_multiple=sizes.multiple_of,
            smallest_side=sizes.minimum,
            takes_tiles=descriptor.tiling.name == "SUPPORTED" and not sizes.square,
            tags=tuple(descriptor.tags),
            licence=licence,
        )

    @property
    def module(self) -> nn.Module:
        """The network itself."""
        module: nn.Module = self._descriptor.model
        return module

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.module.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """In which number type."""
        return next(self.module.parameters()).dtype

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move it.

        Raises:
            WeightsError: it does not compute in that number type.
        """
        can = {torch.float16: self._descriptor.supports_half, torch.bfloat16: self._descriptor.supports_bfloat16}
        if not can.get(dtype, True):
            raise WeightsError(f"{self.facts.architecture} does not compute in {dtype}; leave --dtype out")
        self.module.to(device, dtype)

    def __call__(self, lq: Tensor) -> Tensor:
        """One forward pass, padded as the network needs it.

        Args:
            lq: (1, C, h, w) float32 in [0, 1], C 1 or 3; a network of one channel takes each by itself.

        Returns:
            (1, C, h * scale, w * scale), float32 in [0, 1], on the input's device.
        """
        values = lq.to(self.device, self.dtype)
        if self.facts.channels == 3:
            restored = self._descriptor(values.expand(-1, 3, -1, -1)).float()
            restored = restored.mean(dim=1, keepdim=True) if lq.shape[1] == 1 else restored
        else:
            restored = torch.cat([self._descriptor(channel).float() for channel in values.split(1, dim=1)], dim=1)
        return restored.to(lq.device).clone()  # spandrel's are tensors of inference mode


def load_foreign(path: str | Path, *, licence: str | None = None) -> ForeignNetwork:
    """Load a safetensors file of a network that spandrel recognises.

    Args:
        path: The file.
        licence: Of its weights; None for what the file says.

    Raises:
        MissingExtraError: spandrel is not installed.
        WeightsUnavailableError: nothing lies there.
        WeightsError: it is damaged, a pickle, or of no network that spandrel knows.
    """
    path = Path(path)
    if path.suffix.lower() != ".safetensors":
        raise WeightsError(
            f"{path.name} may be a pickle, which is read for conversion alone; run: ldrestore convert spandrel "
            f"{path} OUT_DIR, and name OUT_DIR"
        )
    return recognised(read_state_dict(path), source=path.name, licence=licence or _licence_in(path))


def recognised(weights: dict[str, Tensor], *, source: str, licence: str) -> ForeignNetwork:
    """The network of a state dict.

    Args:
        weights: Its keys as published, or wrapped.
        source: Their file, for messages.
        licence: Of the weights.

    Raises:
        MissingExtraError: spandrel is not installed.
        WeightsError: spandrel recognises nothing, or a network that needs more than a picture.
    """
    try:
        import spandrel
    except ImportError as error:
        raise MissingExtraError("spandrel", "spandrel", "to restore with networks of other projects") from error
    check_finite_weights(weights, source=source)
    try:
        descriptor = spandrel.ModelLoader(device="cpu").load_from_state_dict(spandrel.canonicalize_state_dict(weights))
    except Exception as error:  # spandrel builds by shapes, and raises anything where they do not fit
        raise WeightsError(
            f"{source} holds no network that spandrel {_version_of(spandrel)} recognises ({type(error).__name__}); see "
            "its list of architectures, or convert it by its own name with `ldrestore convert`"
        ) from error
    if not isinstance(descriptor, spandrel.ImageModelDescriptor):
        raise WeightsError(f"{source} holds {descriptor.architecture.name}, which needs a mask beside the picture")
    descriptor.eval()
    return ForeignNetwork(descriptor, licence=licence)


def _version_of(package: Any) -> str:
    """A package's version, as far as it says."""
    return str(getattr(package, "__version__", ""))


def _licence_in(path: Path) -> str:
    """The licence in a file's own metadata.

    Raises:
        WeightsUnavailableError: nothing lies there.
    """
    if not path.is_file():
        raise WeightsUnavailableError(f"no file at {path}; check the path")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError:
        return NOT_STATED
    return next((metadata[key] for key in _METADATA_KEYS if metadata.get(key)), NOT_STATED)
