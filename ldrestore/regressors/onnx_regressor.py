"""An exported network, computed by onnxruntime: the .onnx file alone suffices to restore."""

import json
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
from ldrestore.weights import hash_of_file

METADATA_KEY = "ldrestore"
"""Where the facts lie, as JSON, among the metadata of the file."""
FORMAT = 1
"""Number of the layout of inputs, outputs and facts; a file of another one is refused."""

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
}

_OUT_OF_MEMORY = ("Failed to allocate memory", "bad_alloc", "bad allocation")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFacts:
    """What a file says of its network."""

    format: int
    """See `FORMAT`."""
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
    """See `ldrestore.weights.hash_of_weights`."""
    licence: str
    """Licence of the weights."""
    source: str
    """The paper."""
    size_multiple: int
    """Height and width of what goes in are multiples of this."""
    bytes_per_pixel: int
    """Working memory that onnxruntime takes, in bytes an input pixel."""
    degradations: list[str] | None
    """What the second output, `logits`, is about; None where there is none."""
    embedding_shape: list[int] | None
    """Shape of the second input, `embedding`, without its batch axis; None where there is none."""
    is_embedding_needed: bool
    """Whether restoring without an embedding is something else than an embedding of zeros; it is refused then."""

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
        if not path.is_file():
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
        )

    @property
    def embedding_shape(self) -> tuple[int, ...] | None:
        """Shape of one picture's embedding; None for a network that takes none."""
        return None if self.facts.embedding_shape is None else tuple(self.facts.embedding_shape)

    def num_parameters(self) -> int:
        """How many parameters the network has."""
        return self.facts.parameters

    def __call__(
        self, lq: Tensor, embedding: Tensor | None = None, *, return_estimate: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Restore one picture.

        Args:
            lq: (1, 3, H, W), float32 in [0, 1]; H and W are multiples of `size_multiple`.
            embedding: (1, *embedding_shape); None for zeros, for networks that say nothing else without.
            return_estimate: Whether to return the logits, too; for networks that estimate.

        Returns:
            (1, 3, H, W), around [0, 1], not clamped; with `return_estimate` also (1, N) logits.

        Raises:
            ShapeError: another shape.
            InputError: an embedding for a network that takes none, none for one that needs it, or no estimate.
            MemoryError: onnxruntime cannot allocate what it needs.
        """
        if lq.ndim != 4 or lq.shape[:2] != (1, 3) or any(size % self.size_multiple for size in lq.shape[-2:]):
            raise ShapeError(
                f"expected lq of shape (1, 3, H, W), sides multiples of {self.size_multiple}, got {tuple(lq.shape)}; "
                "pad with images.padding.pad_to_multiple"
            )
        if return_estimate and self.facts.degradations is None:
            raise InputError(f"{self.facts.architecture} estimates nothing; leave out return_estimate")
        inputs = {"lq": lq.to("cpu", torch.float32).contiguous().numpy(), **self._embedding(embedding)}
        outputs = [torch.from_numpy(output).to(lq.device) for output in self._run(inputs)]
        return (outputs[0], outputs[1]) if return_estimate else outputs[0]

    def _embedding(self, embedding: Tensor | None) -> dict[str, np.ndarray]:
        """The second input, if there is one.

        Raises:
            ShapeError: it has another shape.
            InputError: there is one where none is taken, or none where one is needed.
        """
        if self.embedding_shape is None:
            if embedding is not None:
                raise InputError(f"{self.facts.architecture} takes no embedding; leave it out")
            return {}
        shape = (1, *self.embedding_shape)
        if embedding is None:
            if self.facts.is_embedding_needed:
                raise InputError(f"the exported {self.facts.architecture} needs an embedding of shape {shape}")
            return {"embedding": np.zeros(shape, np.float32)}
        if tuple(embedding.shape) != shape:
            raise ShapeError(f"expected embedding of shape {shape}, got {tuple(embedding.shape)}")
        return {"embedding": embedding.to("cpu", torch.float32).contiguous().numpy()}

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
        names, shape = (["lq"], ["restored"]), self.facts.embedding_shape
        if shape is not None:
            names[0].append("embedding")
        if self.facts.degradations is not None:
            names[1].append("logits")
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        is_other = ([part.name for part in inputs], [part.name for part in outputs]) != names
        if is_other or (shape is not None and inputs[1].shape != [1, *shape]):
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
    if METADATA_KEY not in metadata:
        raise WeightsError(f"{source} was not written by ldrestore; make one with: ldrestore export MODEL OUT")
    try:
        content = json.loads(metadata[METADATA_KEY])
    except ValueError as error:
        raise WeightsError(f"{source}: its metadata cannot be read ({error}); export it again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise WeightsError(f"{source} has another format than {FORMAT}; export it again with this version")
    if content.keys() != {field.name for field in fields(ExportedFacts)} or not _is_sound(content):
        raise WeightsError(f"{source}: its metadata is damaged; export it again")
    if content["architecture"] not in REGRESSORS:
        raise WeightsError(
            f"{source} holds the network {content['architecture']}, unknown to this version; upgrade ldrestore"
        )
    return ExportedFacts(**content)


def _is_sound(content: Mapping[str, Any]) -> bool:
    """Whether all that restoring rests on has its type, and the two lists of degradations are one."""
    if not all(isinstance(content[key], kind) for key, kind in _TYPES.items()):
        return False
    numbers = [content["size_multiple"], content["bytes_per_pixel"], *(content["embedding_shape"] or [])]
    degradations = content["degradations"]
    return all(type(number) is int and number > 0 for number in numbers) and (
        degradations is None or content["config"].get("degradations") == degradations
    )


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
