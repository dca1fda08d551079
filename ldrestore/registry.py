"""Static records of what ldrestore offers, resolved on use, so that listing imports no torch.

A registry maps names to frozen records. A record points at its code by "module:attribute"; the module is imported only
when the thing is built.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

from ldrestore.errors import InputError, UnknownNameError


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressorRecord:
    """One architecture (or published variant of one) of the fast track."""

    name: str
    """Registry name."""
    target: str
    """The network class as "module:attribute"."""
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Constructor arguments of this variant."""
    size_multiple: int
    """Height and width are padded to a multiple of this before the forward pass."""
    bytes_per_pixel: int
    """Peak working memory of a float32 forward pass, in bytes an input pixel, measured on the CPU."""
    parameters: int
    """Number of parameters, those included that the forward pass does not use."""
    macs: int
    """Multiplications with addition of one 256 x 256 picture, in convolutions and matrix products."""
    tasks: tuple[str, ...]
    """Degradations that the published variant was trained for."""
    source: str
    """The paper."""
    licence: str
    """Licence of the authors' published weights; ours is Apache-2.0."""
    overlap: int = 64
    """Pixels that neighbouring tiles should share: four times the distance beyond which a pixel's surroundings hardly
    matter to it, the statistics of the whole picture set aside."""
    takes_whole: bool = False
    """Whether forward takes a reduced copy of the whole picture and where `lq` lies in it, as `whole` and `window`: see
    `ldrestore.systems.regression.WholeAwareNetwork`."""
    gives_estimate: bool = False
    """Whether forward takes `return_estimate` and then returns (restored, logits of `config.degradations`)."""
    takes_embedding: bool = False
    """Whether forward takes `embedding`, (B, *`embedding_shape`), what a sentence or a guide said; None for nothing."""
    takes_hints: bool = False
    """Whether forward takes `hints`, (B, 2N), what a user says of each of `config.degradations`, and `light_only`; such
    a network takes `whole` too."""
    aligns_to_embedding: bool = False
    """Whether forward takes `embedding` in training alone, as the aim of one of its own losses."""
    auxiliary_losses: tuple[str, ...] = ()
    """Losses of its own: forward takes `return_auxiliary` and then returns (restored, name to scalar)."""
    shows_usage: bool = False
    """Whether `usage(lq, embedding)` tells how strongly each prompt or expert is used: name of the pool to (B, N)."""
    routes_to_one: bool = False
    """Whether usage tells how probable each expert is, of which each picture takes the most probable one alone: in
    training those that none takes have no gradient."""
    shows_expert_maps: bool = False
    """Whether `expert_maps(lq, embedding)` tells where each expert changes the picture: (B, N, H, W)."""
    is_one_layout: bool = True
    """Whether the name stands for these very options; False for an architecture's own name."""
    signature_keys: tuple[str, ...]
    """Keys that a checkpoint of this architecture has, used to tell architectures apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DegradationRecord:
    """One synthetic degradation."""

    name: str
    """Registry name, a term of the degradation vocabulary."""
    target: str
    """The function as "module:attribute"."""
    order: int
    """Place in the physical order of image formation: scene, atmosphere, lens, sensor, file."""
    source: str
    """The paper or standard that the model follows."""
    counts_as: str = ""
    """Of a training form: the degradation whose name its pictures carry; empty for a degradation itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """One ready-to-use set of weights."""

    name: str
    """Name that `ldrestore.restore(model=...)` takes."""
    track: str
    """"fast", "stable" or "xl"."""
    location: str
    """Folder inside the package ("assets/...") or Hub repository."""
    tasks: tuple[str, ...]
    """Degradations that the weights were trained for."""
    licence: str
    """Licence of the weights."""
    parameters: int
    """Number of parameters."""
    summary: str
    """One line for `ldrestore models`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackRecord:
    """One kind of pipeline, and all that the rest of the library needs to know of it."""

    name: str
    """As model records and people call it."""
    pipeline: str
    """The pipeline class as "module:attribute"; its own name stands in the index of saved models."""
    options: str
    """The frozen dataclass of its call's options as "module:attribute"; the module imports no torch."""
    facts: str
    """Function of a loaded pipeline as "module:attribute": plain values for `ldrestore info`."""
    explainer: str | None = None
    """Class as "module:attribute", see `ldrestore.explanations.explainer`; None for a track that explains nothing."""
    explained_options: tuple[str, ...] = ()
    """Options of the call that an explanation takes too."""
    checks: str | None = None
    """Function as "module:attribute" of (pipeline, options): the options as the call takes them, refused before a
    picture is read; None where nothing hangs on the model."""
    engines: tuple[str, ...] = ("local",)
    """What computes its models: torch in this process ("local"), onnxruntime ("onnx")."""
    parts: str | None = None
    """The `PartTable` of its pipeline as "module:attribute", which then has `from_base`, for adapters alone, and
    `from_exports`, for what training runs exported; None for a track whose models stand upon no base."""
    instruction_reader: str | None = None
    """Function of a loaded pipeline as "module:attribute": the sentence encoder and the head with which it reads
    instructions, or an InputError; None for a track that takes none."""
    figures: tuple[str, ...] = ()
    """Names of the files that figures of its explanations may have."""


class NamedRecord(Protocol):
    """A frozen record with a name that no other of its kind bears."""

    @property
    def name(self) -> str:
        """What users call it."""


Record = TypeVar("Record", bound=NamedRecord)


class Registry(Generic[Record]):
    """Names to frozen records of one kind."""

    def __init__(self, kind: str) -> None:
        """Start empty.

        Args:
            kind: What the records describe, for error messages, e.g. "regressor".
        """
        self.kind = kind
        self._records: dict[str, Record] = {}

    def register(self, record: Record) -> Record:
        """Add a record.

        Raises:
            InputError: the name is taken; the registry is left unchanged.
        """
        if record.name in self._records:
            raise InputError(f"{self.kind} {record.name!r} is registered twice; give the second another name")
        self._records[record.name] = record
        return record

    def get(self, name: str) -> Record:
        """The record of a name.

        Raises:
            UnknownNameError: no such name.
        """
        if name not in self._records:
            raise UnknownNameError(self.kind, name, self._records)
        return self._records[name]

    def names(self) -> list[str]:
        """All names in the order of registration."""
        return list(self._records)

    def __iter__(self) -> Iterator[Record]:
        """Iterate over the records in the order of registration."""
        return iter(self._records.values())

    def __contains__(self, name: object) -> bool:
        """Whether the name is known."""
        return name in self._records


def resolve(target: str) -> Any:
    """Import the thing that "module:attribute" names.

    Raises:
        InputError: the target is not of the form "module:attribute".
    """
    module, separator, attribute = target.partition(":")
    if not separator:
        raise InputError(f"expected 'module:attribute', got {target!r}")
    return getattr(import_module(module), attribute)
