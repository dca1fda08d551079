"""Networks of the fast track to single .onnx files, which onnxruntime computes without torch's networks.

The file takes one picture a pass, of any height and width that are multiples of `size_multiple`: the pipeline pads by
reflection around every network, and the padding inside is then nothing. What restoring needs to know lies in the file's
metadata, see `ldrestore.regressors.onnx_regressor.ExportedFacts`.
"""

import contextlib
import hashlib
import logging
import math
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import ModelMixin
from torch import Tensor, nn

from ldrestore import __version__
from ldrestore.errors import ExportError, InputError, MissingExtraError, WeightsError
from ldrestore.regressors.factory import embedding_shape_of, record_of, size_multiple_of
from ldrestore.regressors.onnx_regressor import (
    EXPORT_FORMAT,
    EXPORT_METADATA_KEY,
    ExportedFacts,
    OnnxRegressor,
    import_onnxruntime,
)
from ldrestore.tiling.picture_views import REDUCED_SIDE
from ldrestore.weights.hashes import hash_of_weights

if TYPE_CHECKING:
    from torch.onnx import ONNXProgram

logger = logging.getLogger(__name__)

TOLERANCE = 1e-3
"""Largest difference from the network of torch that is let pass: of a pixel in [0, 1], and of a probability."""
MEMORY_FACTOR = 2.75
"""Working memory of onnxruntime as a multiple of torch's, at most: 1.1 to 1.2 for NAFNets, 2.5 for Restormer."""
LARGEST_FILE = 2_000_000_000
"""Bytes of weights that one file can hold."""

_TRACED_SIZES = ((3, 4), (50, 39))
"""Height and width in multiples of `size_multiple`, and those of the copy of the whole picture in pixels."""
_SMALLEST_TRACED_COPY = 33
"""Side of a copy whose maps have more than one cell after five halvings, so that none is taken for constant; what is
exported computes smaller copies too."""
_CHECKED_SIZES = (((1, 1), (1, 5)), ((5, 7), (REDUCED_SIDE, 77)))
"""The same; the smallest one, since sizes of 1 are what tracing likes to take for constant. The second picture is made
wider than the largest copy of a whole."""


def export(
    regressor: ModelMixin, out_path: str | Path, *, name: str, licence: str = "not stated", overwrite: bool = False
) -> Path:
    """Write one network to an .onnx file and check it, at sizes that it was not traced at, with onnxruntime.

    Args:
        regressor: On the CPU, float32, in evaluation mode.
        out_path: The file, whose name ends in .onnx; written whole or not at all.
        name: The model's, for the records of results.
        licence: Of the weights.
        overwrite: Whether an existing file is replaced.

    Returns:
        The file.

    Raises:
        InputError: the file exists, its folder does not, its name ends otherwise, or the network is not ready.
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        ExportError: the network cannot be exported, computes something else when it is, or cannot be written.
    """
    out_path = Path(out_path)
    check_export_path(out_path, overwrite=overwrite)
    _check_ready(regressor)
    _check_packages()
    try:
        facts = _facts_of(regressor, name=name, licence=licence)
        program = _trace(regressor, facts)
    except Exception as error:  # tracing and conversion fail in as many ways as a network has lines
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ExportError(
            f"{type(regressor).__name__} cannot be exported to ONNX ({reason}); restore with it as it is"
        ) from error
    with _written_whole(out_path) as temporary:
        program.save(temporary, external_data=False)
        try:
            check(regressor, OnnxRegressor(temporary))
        except WeightsError as error:  # whose advice, to export again, would lead here again
            raise ExportError(
                f"{type(regressor).__name__} cannot be exported to ONNX (onnxruntime cannot compute what was exported: "
                f"{error.__cause__ or error}); restore with it as it is"
            ) from error
        check_export_path(out_path, overwrite=overwrite)
    return out_path


def export_to_cache(regressor: ModelMixin, *, name: str, licence: str = "not stated") -> Path:
    """The file of a network in the user's cache, made at the first call for these weights and this version.

    Args:
        regressor: On the CPU, float32, in evaluation mode.
        name: The model's, for the records of results.
        licence: Of the weights.

    Raises:
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        ExportError: see `export`; or the cache cannot be written.
    """
    path = cache_folder() / f"{record_of(regressor).name}-{_key_of(regressor, name=name, licence=licence)}.onnx"
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(
            f"the cache {path.parent} cannot be made ({error.strerror}); set XDG_CACHE_HOME to another folder, or "
            "export the model to a file and restore with that"
        ) from error
    logger.info("exporting %s to %s, once", name, path)
    return export(regressor, path, name=name, licence=licence, overwrite=True)


def cache_folder() -> Path:
    """Where `export_to_cache` keeps its files: ldrestore/onnx in XDG_CACHE_HOME, or in ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ldrestore" / "onnx"


@torch.no_grad()
def check(regressor: ModelMixin, exported: OnnxRegressor) -> float:
    """Compare an exported network with the one it was made of, on random pictures of two sizes.

    The second is wider than `REDUCED_SIDE`. A network that takes the whole picture is shown another random one and a
    random place in it, one that takes hints random hints.

    Args:
        regressor: The network, on the CPU.
        exported: The file.

    Returns:
        The largest difference of a pixel or a probability.

    Raises:
        ExportError: it is beyond `TOLERANCE`.
    """
    generator, largest = torch.Generator().manual_seed(0), 0.0
    (smallest, small_copy), ((height, width), large_copy) = _CHECKED_SIZES
    wide = (height, max(width, REDUCED_SIDE // exported.facts.size_multiple + 1))
    for size, copy_size in ((smallest, small_copy), (wide, large_copy)):
        arguments = _example(exported.facts, size, copy_size, generator)
        expected, computed = _outputs(regressor, arguments), _outputs(exported, arguments)
        differences = [(left - right).abs().max().item() for left, right in zip(expected, computed, strict=True)]
        largest = max(largest, *(math.inf if math.isnan(difference) else difference for difference in differences))
    if not largest <= TOLERANCE:
        raise ExportError(
            f"{type(regressor).__name__} computes something else when exported: results differ by {largest:.2g}, "
            f"allowed are {TOLERANCE:g}; restore with it as it is"
        )
    return largest


class _Exported(nn.Module):
    """A network with the inputs and outputs of the file."""

    def __init__(self, regressor: nn.Module, *, gives_estimate: bool) -> None:
        """Wrap it."""
        super().__init__()
        self.regressor, self.gives_estimate = regressor, gives_estimate

    def forward(
        self,
        lq: Tensor,
        embedding: Tensor | None = None,
        whole: Tensor | None = None,
        window: Tensor | None = None,
        hints: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """(1, 3, H, W), and what else is taken, to (1, 3, H, W), and (1, N) logits where it estimates."""
        inputs = {"embedding": embedding, "whole": whole, "window": window, "hints": hints}
        options: dict[str, Any] = {name: value for name, value in inputs.items() if value is not None}
        if self.gives_estimate:
            options["return_estimate"] = True
        outputs: Tensor | tuple[Tensor, Tensor] = self.regressor(lq, **options)
        return outputs


def _trace(regressor: ModelMixin, facts: ExportedFacts) -> "ONNXProgram":
    """The network as an ONNX program with its facts, height and width dynamic multiples.

    Those of the copy of the whole are at most `REDUCED_SIDE`, so that nothing of its reduction is traced.
    """
    gives_estimate = facts.degradations is not None
    arguments = _example(facts, *_TRACED_SIZES, torch.Generator().manual_seed(0))
    height, width = (facts.size_multiple * torch.export.Dim(axis, min=2) for axis in ("height", "width"))
    rows, columns = (
        torch.export.Dim(f"whole_{axis}", min=_SMALLEST_TRACED_COPY, max=REDUCED_SIDE) for axis in ("height", "width")
    )
    dynamic = {"lq": {2: height, 3: width}, "whole": {2: rows, 3: columns}}
    with torch.no_grad():
        traced = torch.export.export(
            _Exported(regressor, gives_estimate=gives_estimate),
            (arguments["lq"],),
            {key: value for key, value in arguments.items() if key != "lq"},
            dynamic_shapes={name: dynamic.get(name) for name in arguments},
        )
        program = torch.onnx.export(
            traced,
            input_names=facts.input_names,
            output_names=facts.output_names,
            dynamo=True,
            verbose=False,
        )
    assert program is not None, "torch returns the program that it does not write itself"
    _drop_notes(program)
    program.model.producer_name, program.model.producer_version = "ldrestore", __version__
    program.model.metadata_props[EXPORT_METADATA_KEY] = facts.as_json()
    return program


def _drop_notes(program: "ONNXProgram") -> None:
    """Drop what the exporter notes beside graph and nodes: lines of code with paths of this disk, in changing order."""
    program.model.graph.metadata_props.clear()
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()


def _example(
    facts: ExportedFacts, size: tuple[int, int], copy_size: tuple[int, int], generator: torch.Generator
) -> dict[str, Tensor]:
    """Random inputs: a picture in [0, 1], and what else is taken, in the order of the file's inputs.

    Args:
        facts: Of the file.
        size: Height and width of the picture in multiples of `size_multiple`.
        copy_size: Height and width of the copy of the whole picture in pixels.
        generator: Draws them.
    """
    height, width = (facts.size_multiple * side for side in size)
    arguments = {"lq": torch.rand(1, 3, height, width, generator=generator)}
    if facts.embedding_shape is not None:
        embedding = torch.randn(1, *facts.embedding_shape, generator=generator)
        arguments["embedding"] = nn.functional.normalize(embedding, dim=-1)
    if facts.takes_whole:
        arguments["whole"] = torch.rand(1, 3, *copy_size, generator=generator)
        arguments["window"] = torch.tensor([[0.0, 0.0, 0.5, 0.5]]) + torch.rand(1, 4, generator=generator) / 2
    if facts.num_hints is not None:
        arguments["hints"] = torch.rand(1, facts.num_hints, generator=generator)
    return arguments


def _outputs(network: ModelMixin | OnnxRegressor, arguments: dict[str, Any]) -> list[Tensor]:
    """The restored picture, and the probabilities of networks that estimate."""
    if record_of(network).gives_estimate:
        restored, logits = network(**arguments, return_estimate=True)
        return [restored, logits.sigmoid()]
    restored = network(**arguments)
    assert isinstance(restored, Tensor), "without an estimate"
    return [restored]


def _facts_of(regressor: ModelMixin, *, name: str, licence: str) -> ExportedFacts:
    """What the file is to tell."""
    record = record_of(regressor)
    shape = embedding_shape_of(regressor)
    config = {key: value for key, value in regressor.config.items() if not key.startswith("_")}
    return ExportedFacts(
        format=EXPORT_FORMAT,
        ldrestore=__version__,
        name=name,
        architecture=record.name,
        network=type(regressor).__name__,
        config=config,
        parameters=regressor.num_parameters(),
        weights_sha256=hash_of_weights(regressor),
        licence=licence,
        source=record.source,
        size_multiple=size_multiple_of(regressor),
        bytes_per_pixel=math.ceil(MEMORY_FACTOR * record.bytes_per_pixel),
        degradations=_estimate_names(regressor) if record.gives_estimate else None,
        embedding_shape=None if shape is None else list(shape),
        is_embedding_needed=shape is not None and not _takes_zeros_for_none(regressor, shape),
        takes_whole=record.takes_whole,
        num_hints=2 * len(config["degradations"]) if record.takes_hints else None,
    )


def _estimate_names(regressor: ModelMixin) -> list[str]:
    """What the logits are about: what the network says, or else the degradations that it was made for."""
    return list(getattr(regressor, "estimate_names", regressor.config["degradations"]))


@torch.no_grad()
def _takes_zeros_for_none(regressor: ModelMixin, shape: tuple[int, ...]) -> bool:
    """Whether a network without an embedding does what it does with one of zeros."""
    side = size_multiple_of(regressor)
    lq = torch.full((1, 3, side, side), 0.5)
    return torch.equal(regressor(lq), regressor(lq, embedding=torch.zeros(1, *shape)))


def _key_of(regressor: ModelMixin, *, name: str, licence: str) -> str:
    """Hexadecimal digits that differ where the exported file would."""
    text = _facts_of(regressor, name=name, licence=licence).as_json()
    return hashlib.sha256(f"{torch.__version__} {text}".encode()).hexdigest()[:24]


def check_export_path(out_path: Path, *, overwrite: bool) -> None:
    """Refuse a place that cannot take the file.

    Raises:
        InputError: it exists, its folder does not, or its name ends otherwise.
    """
    if out_path.suffix.lower() != ".onnx":
        raise InputError(f"the file must end in .onnx, got {out_path}")
    if not out_path.parent.is_dir():
        raise InputError(f"no folder {out_path.parent}; make it first")
    if out_path.is_dir() or (out_path.exists() and not overwrite):
        raise InputError(f"{out_path} exists; name a new file, or overwrite it (--overwrite)")


def _check_ready(regressor: ModelMixin) -> None:
    """Refuse a network in a state that cannot be exported, or too large.

    Raises:
        InputError: on another device, in half precision, in training.
        ExportError: too large for one file.
    """
    if regressor.device.type != "cpu" or regressor.dtype != torch.float32 or regressor.training:
        raise InputError(
            "only a network on the CPU, in float32 and in evaluation mode can be exported, got "
            f"{regressor.device}, {regressor.dtype}, training={regressor.training}"
        )
    size = sum(weight.numel() * weight.element_size() for weight in regressor.state_dict().values())
    if size > LARGEST_FILE:
        raise ExportError(f"the weights take {size} bytes; one ONNX file holds at most {LARGEST_FILE}")


def _check_packages() -> None:
    """Refuse to begin where a package is missing.

    Raises:
        MissingExtraError: it names the package.
    """
    for package in ("onnx", "onnxscript"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "export", "to export a network")
    import_onnxruntime()


@contextmanager
def _written_whole(path: Path) -> Iterator[Path]:
    """A file in the same folder that takes the name when the block is done; if it fails nothing is left.

    Raises:
        ExportError: the folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.onnx")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ExportError(f"{path} cannot be written ({error.strerror or error}); check folder and space") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
