"""An exported network, computed by onnxruntime: the .onnx file alone suffices to restore."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ldrestore.errors import InputError, MissingExtraError, ShapeError, WeightsError, WeightsUnavailableError
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.tiling.picture_views import reduced_copy
from ldrestore.weights.hashes import hash_of_file

EXPORT_METADATA_KEY = "ldrestore"
"""Where the facts lie, as JSON, among the metadata of the file."""
EXPORT_FORMAT = 2
"""Number of the layout of inputs, outputs and facts that is written."""
_FACTS_BEFORE: Mapping[int, Mapping[str, Any]] = {1: {"takes_whole": False, "num_hints": None}, EXPORT_FORMAT: {}}
"""Layouts that are read, each with what was the same for all files then; a file of another one is refused."""

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "name": str,
    "architecture": str,
    "network": str,
    "config": dict,
    "parameters": int,
    "weights_sha256": str,
    "size_multiple": int,
    "bytes_per_pixel": int,
    "degradations": (list, type(None)),
    "embedding_shape": (list, type(None)),
    "is_embedding_needed": bool,
    "takes_whole": bool,
    "num_hints": (int, type(None)),
}

_OUT_OF_MEMORY = ("Failed to allocate memory", "bad_alloc", "bad allocation")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFacts:
    """What a file says of its network."""

    format: int
    """See `EXPORT_FORMAT`."""
    ldrestore: str
    """Version that wrote it."""
    name: str
    """The model that it was made of."""
    architecture: str
    """Registry name."""
    network: str
    """Class of the network."""
    config: dict[str, Any]
    """Constructor arguments of the network."""
    parameters: int
    """How many it has."""
    weights_sha256: str
    """See `ldrestore.weights.hashes.hash_of_weights`."""
    licence: str
    """Licence of the weights."""
    source: str
    """The paper."""
    size_multiple: int
    """Height and width of what goes in are multiples of this."""
    bytes_per_pixel: int
    """Working memory that onnxruntime takes, in bytes an input pixel."""
    degradations: list[str] | None
    """What the second output, `logits`, is about, "clean" among them where that is estimated too; None where there is
    none."""
    embedding_shape: list[int] | None
    """Shape of the input `embedding` without its batch axis; None where there is none."""
    is_embedding_needed: bool
    """Whether restoring without an embedding is something else than an embedding of zeros; it is refused then."""
    takes_whole: bool
    """Whether there are the inputs `whole` and `window`, see `RegressorRecord.takes_whole`."""
    num_hints: int | None
    """Length of the input `hints`, see `RegressorRecord.takes_hints`; None where there is none."""

    @property
    def input_names(self) -> list[str]:
        """The inputs, in their order."""
        names = ["lq"]
        names += [] if self.embedding_shape is None else ["embedding"]
        names += ["whole", "window"] if self.takes_whole else []
        return names if self.num_hints is None else [*names, "hints"]

    @property
    def output_names(self) -> list[str]:
        """The outputs, in their order."""
        return ["restored"] if self.degradations is None else ["restored", "logits"]

    def as_json(self) -> str:
        """The text that goes into the file."""
        return json.dumps(asdict(self), sort_keys=True)


class OnnxRegressor:
    """A network of an .onnx file, which the fast pipeline takes like one of torch; on the CPU, in float32.

    One picture a call, its sides multiples of `size_multiple`: the pipeline pads. Memory is given back after each call.
    """

    dtype = torch.float32
    device = torch.device("cpu")

    def __init__(self, path: str | Path) -> None:
        """Load a file that `ldrestore export` wrote.

        Args:
            path: The file.

        Raises:
            MissingExtraError: onnxruntime is not installed.
            WeightsUnavailableError: nothing lies there.
            WeightsError: the file is damaged, no export of ours, or one that this version does not know.
        """
        runtime, path = import_onnxruntime(), Path(path)
        if not os.path.isfile(path):
            raise WeightsUnavailableError(f"no file at {path}; make it with: ldrestore export MODEL {path.name}")
        self.threads = torch.get_num_threads()
        self.runtime_version: str = runtime.__version__
        self._session = _open(path, runtime, threads=self.threads)
        self.facts = read_facts(self._session.get_modelmeta().custom_metadata_map, source=str(path))
        self._run_options = runtime.RunOptions()
        self._run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._check_signature(path)
        self.file_sha256 = hash_of_file(path)
        self.size_multiple = self.facts.size_multiple
        self.config = dict(self.facts.config)
        self.record = replace(
            REGRESSORS.get(self.facts.architecture),
            size_multiple=self.facts.size_multiple,
            bytes_per_pixel=self.facts.bytes_per_pixel,
            gives_estimate=self.facts.degradations is not None,
            takes_embedding=self.facts.embedding_shape is not None,
            takes_whole=self.facts.takes_whole,
            takes_hints=self.facts.num_hints is not None,
        )

    @property
    def embedding_shape(self) -> tuple[int, ...] | None:
        """Shape of one picture's embedding; None for a network that takes none."""
        return None if self.facts.embedding_shape is None else tuple(self.facts.embedding_shape)

    @property
    def estimate_names(self) -> tuple[str, ...]:
        """What the logits are about; none for a network that estimates nothing."""
        return tuple(self.facts.degradations or ())

    def num_parameters(self) -> int:
        """How many parameters the network has."""
        return self.facts.parameters

    def __call__(
        self,
        lq: Tensor,
        embedding: Tensor | None = None,
        *,
        whole: Tensor | None = None,
        window: Tensor | None = None,
        hints: Tensor | None = None,
        return_estimate: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Restore one picture, or a part of one.

        Args:
            lq: (1, 3, H, W), float32 in [0, 1]; H and W are multiples of `size_multiple`.
            embedding: (1, *embedding_shape); None for zeros, for networks that say nothing else without.
            whole: (1, 3, h, w), in [0, 1], the whole picture or a reduced copy of it, for networks that take it; None
                where `lq` is the whole.
            window: (1, 4), see `Window.shares`, for the same networks; None where `lq` is the whole.
            hints: (1, num_hints), for networks that take them; None for zeros, which say nothing.
            return_estimate: Whether to return the logits, too; for networks that estimate.

        Returns:
            (1, 3, H, W), around [0, 1], not clamped; with `return_estimate` also (1, N) logits.

        Raises:
            ShapeError: another shape.
            InputError: an input that the network does not take, no embedding for one that needs it, or no estimate.
            MemoryError: onnxruntime cannot allocate what it needs.
        """
        if lq.ndim != 4 or lq.shape[:2] != (1, 3) or any(size % self.size_multiple for size in lq.shape[-2:]):
            raise ShapeError(
                f"expected lq of shape (1, 3, H, W), sides multiples of {self.size_multiple}, got {tuple(lq.shape)}; "
                "pad with images.padding.pad_to_multiple"
            )
        if return_estimate and self.facts.degradations is None:
            raise InputError(f"{self.facts.architecture} estimates nothing; leave out return_estimate")
        tensors = {
            "lq": lq,
            **self._embedding(embedding),
            **self._look(lq, whole, window),
            **self._hints(hints),
        }
        inputs = {name: value.to("cpu", torch.float32).contiguous().numpy() for name, value in tensors.items()}
        outputs = [torch.from_numpy(output).to(lq.device) for output in self._run(inputs)]
        return (outputs[0], outputs[1]) if return_estimate else outputs[0]

    def _embedding(self, embedding: Tensor | None) -> dict[str, Tensor]:
        """What steers the network, if anything does.

        Raises:
            ShapeError: it has another shape.
            InputError: there is one where none is taken, or none where one is needed.
        """
        if self.embedding_shape is None:
            self._refuse("embedding", embedding)
            return {}
        shape = (1, *self.embedding_shape)
        if embedding is None and self.facts.is_embedding_needed:
            raise InputError(f"the exported {self.facts.architecture} needs an embedding of shape {shape}")
        return {"embedding": _zeros_for_none("embedding", embedding, shape)}

    def _look(self, lq: Tensor, whole: Tensor | None, window: Tensor | None) -> dict[str, Tensor]:
        """The whole picture, reduced, and where `lq` lies in it, if the network takes them.

        Raises:
            ShapeError: one of them has another shape.
            InputError: there is one where none is taken.
        """
        if not self.facts.takes_whole:
            self._refuse("whole", whole)
            self._refuse("window", window)
            return {}
        whole = lq if whole is None else whole
        window = torch.tensor([[0.0, 0.0, 1.0, 1.0]]) if window is None else window
        if whole.ndim != 4 or whole.shape[:2] != (1, 3):
            raise ShapeError(f"expected whole of shape (1, 3, h, w), got {tuple(whole.shape)}")
        if window.shape != (1, 4):
            raise ShapeError(f"expected window of shape (1, 4), got {tuple(window.shape)}")
        return {"whole": reduced_copy(whole), "window": window}

    def _hints(self, hints: Tensor | None) -> dict[str, Tensor]:
        """What a user says of each degradation, if the network takes it.

        Raises:
            ShapeError: they have another shape.
            InputError: there are some where none are taken.
        """
        if self.facts.num_hints is None:
            self._refuse("hints", hints)
            return {}
        return {"hints": _zeros_for_none("hints", hints, (1, self.facts.num_hints))}

    def _refuse(self, name: str, value: Tensor | None) -> None:
        """Refuse an input that the network does not take.

        Raises:
            InputError: there is one.
        """
        if value is not None:
            raise InputError(f"the exported {self.facts.architecture} takes no {name}; leave it out")

    def _run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """One pass.

        Raises:
            MemoryError: onnxruntime cannot allocate what it needs.
            WeightsError: it fails otherwise.
        """
        try:
            return self._session.run(None, inputs, self._run_options)
        except Exception as error:  # onnxruntime's errors have no base class of their own
            if any(text in str(error) for text in _OUT_OF_MEMORY):
                raise MemoryError(f"onnxruntime ran out of memory: {error}") from error
            raise WeightsError(f"onnxruntime cannot compute the exported network ({error}); export it again") from error

    def _check_signature(self, path: Path) -> None:
        """Hold inputs and outputs against the facts.

        Raises:
            WeightsError: they are others.
        """
        facts, inputs, outputs = self.facts, self._session.get_inputs(), self._session.get_outputs()
        shapes = {part.name: part.shape for part in (*inputs, *outputs)}
        is_other = [[part.name for part in parts] for parts in (inputs, outputs)] != [
            facts.input_names,
            facts.output_names,
        ]
        if not is_other and facts.embedding_shape is not None:
            is_other = shapes["embedding"] != [1, *facts.embedding_shape]
        if not is_other and facts.num_hints is not None:
            is_other = shapes["hints"] != [1, facts.num_hints]
        if not is_other and facts.degradations is not None:
            is_other = shapes["logits"] != [1, len(facts.degradations)]
        if is_other:
            raise WeightsError(f"{path}: inputs and outputs are not those that it tells of; export it again")


def import_onnxruntime() -> ModuleType:
    """The package, which is optional.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            "onnxruntime", "export", "to restore with --engine onnx and to check exports"
        ) from error
    return onnxruntime


def read_facts(metadata: Mapping[str, str], *, source: str) -> ExportedFacts:
    """What a file says of its network.

    Args:
        metadata: Of the file.
        source: The file, for messages.

    Raises:
        WeightsError: there is nothing of ours, it is incomplete, or of another version.
    """
    if EXPORT_METADATA_KEY not in metadata:
        raise WeightsError(f"{source} was not written by ldrestore; make one with: ldrestore export MODEL OUT")
    try:
        content = json.loads(metadata[EXPORT_METADATA_KEY])
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{source}: its metadata cannot be read ({error}); export it again") from error
    if not isinstance(content, dict) or content.get("format") not in tuple(_FACTS_BEFORE):
        raise WeightsError(f"{source} has another format than {EXPORT_FORMAT}; export it again with this version")
    content = {**_FACTS_BEFORE[content["format"]], **content}
    if content.keys() != {field.name for field in fields(ExportedFacts)} or not _is_sound(content):
        raise WeightsError(f"{source}: its metadata is damaged; export it again")
    if content["architecture"] not in REGRESSORS:
        raise WeightsError(
            f"{source} holds the network {content['architecture']}, unknown to this version; upgrade ldrestore"
        )
    return ExportedFacts(**content)


def _is_sound(content: Mapping[str, Any]) -> bool:
    """Whether all that restoring rests on has its type, and the estimate begins with the network's degradations."""
    if not all(isinstance(content[key], kind) for key, kind in _TYPES.items()):
        return False
    numbers = [content["size_multiple"], content["bytes_per_pixel"], *(content["embedding_shape"] or [])]
    numbers += [] if content["num_hints"] is None else [content["num_hints"]]
    degradations, known = content["degradations"], content["config"].get("degradations")
    return all(type(number) is int and number > 0 for number in numbers) and (
        degradations is None or (isinstance(known, list) and len(known) > 0 and degradations[: len(known)] == known)
    )


def _zeros_for_none(name: str, value: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    """An input of the shape that is taken, none as zeros.

    Raises:
        ShapeError: it has another shape.
    """
    if value is None:
        return torch.zeros(shape)
    if tuple(value.shape) != shape:
        raise ShapeError(f"expected {name} of shape {shape}, got {tuple(value.shape)}")
    return value


def _open(path: Path, runtime: ModuleType, *, threads: int) -> Any:
    """The file as a session of onnxruntime.

    Raises:
        WeightsError: it is no intact ONNX file.
    """
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what fails is raised; onnxruntime would print it, too
    try:
        return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no base class of their own
        raise WeightsError(f"{path} is no intact ONNX file ({error}); export or fetch it again") from error
