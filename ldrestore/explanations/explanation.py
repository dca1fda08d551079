"""What a model does with one picture: what it sees, which prompts and experts it uses, and what it changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from diffusers import ModelMixin
from torch import Tensor, nn

from ldrestore.errors import InputError, ShapeError
from ldrestore.images.bit_depth import BAND_ROWS
from ldrestore.images.inputs import ImageInput, to_photo
from ldrestore.images.photo import Photo
from ldrestore.metrics.psnr import MEAN_CAP, decibels
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.pipelines.pipeline_output import RestoreOutput
from ldrestore.regressors.factory import embedding_shape_of, record_of
from ldrestore.regressors.instruction_encoder import Instruction
from ldrestore.regressors.network_protocols import ExpertMapNetwork, UsageNetwork
from ldrestore.regressors.onnx_regressor import OnnxRegressor
from ldrestore.structures import DegradationEstimate
from ldrestore.systems.regression_steering import (
    Embedding,
    Steering,
    neutral_steering,
    read_embeddings,
    steering_of_embedding,
    steering_of_instruction,
)
from ldrestore.weights.hashes import hash_of_weights

MAX_SEEN = 512
"""Longest side, in pixels, of what usage and maps are told of. A larger picture is cut and not shrunk: shrinking would
average away the very noise that the model is asked about."""


Usage = Mapping[str, tuple[float, ...]]
"""Name of the pool, block or place, in the order of the forward pass, to one value in [0, 1] a prompt or expert."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedModel:
    """Which model it is, and how what it uses is to be read."""

    architecture: str
    """Class of the network."""
    weights_sha256: str
    """Hash of its weights."""
    unit: Literal["prompt", "expert"] | None
    """What usage counts; None from a network that has neither, or that tells nothing of them."""
    routes_to_one: bool
    """Whether usage is how probable each expert is, and the most probable one alone computes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPart:
    """The part of a picture that usage and maps are told of, in pixels."""

    top: int
    left: int
    height: int
    width: int
    is_whole: bool
    """Whether it is all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The expert that a block gave a picture to."""

    block: str
    expert: int
    """Counted from 0."""
    probability: float
    """Of that expert, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Difference:
    """How far two pictures lie apart."""

    magnitude: np.ndarray
    """(H, W) float32 in [0, 1], the absolute difference, mean over the colours."""
    psnr: float
    """In dB, over all colours, white as the peak; `MEAN_CAP` for equal pictures."""

    @property
    def mean(self) -> float:
        """The mean magnitude, in [0, 1]."""
        return float(self.magnitude.mean(dtype=np.float64))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explanation:
    """What a model did with one picture."""

    model: ExplainedModel
    picture: Photo
    """The input."""
    restored: Photo
    gt: Photo | None
    """The ground truth, where it was given."""
    record: Mapping[str, Any]
    """How the picture was restored, see `ldrestore.records.make_record`."""
    seen: SeenPart
    """What usage and expert maps are told of."""
    is_told: bool | None
    """Whether an instruction or an embedding was given; None where the model takes none."""
    usage: Usage
    """How strongly each prompt or expert is used; empty from models that have none."""
    expert_maps: np.ndarray | None
    """(N, h, w) float32: how far the seen part of the result moves when an expert is silent; None without such maps."""
    estimate: DegradationEstimate | None
    """What the model believes to be wrong with the picture; None from models that estimate nothing."""
    instruction: Instruction | None
    """What an instruction was taken for; None without one."""
    differences: Mapping[str, Difference]
    """"restored - input", and with a ground truth also "input - gt" and "restored - gt"."""

    @property
    def routing(self) -> list[Route]:
        """The expert of each block; empty where all experts, or none, compute."""
        return routing_of(self.usage) if self.model.routes_to_one else []


def explain(
    pipeline: FastRestorePipeline,
    image: ImageInput,
    *,
    gt: ImageInput | None = None,
    instruction: str | None = None,
    embedding: Embedding | None = None,
) -> Explanation:
    """Restore a picture and tell what the model did with it.

    Args:
        pipeline: The model.
        image: One picture, see `ImageInput`.
        gt: What it should look like, of the same size.
        instruction: As in the pipeline's call.
        embedding: What a guide said of the picture, as in the pipeline's call.

    Raises:
        InputError: an instruction or an embedding that the model does not take, or that cannot be understood.
        ShapeError: the ground truth has another size, or the embedding another shape.
        ImageFileError: a path cannot be read.
        WeightsError: the weights give undefined pixels, or the instruction's encoder cannot be had.
        OutOfMemoryError: not even the smallest tile fits.
    """
    network, picture, truth = explained_network(pipeline), to_photo(image), None if gt is None else to_photo(gt)
    if truth is not None and (truth.height, truth.width) != (picture.height, picture.width):
        raise ShapeError(
            f"the ground truth must have the picture's size, {picture.width} x {picture.height} pixels, got "
            f"{truth.width} x {truth.height}; give the picture that this one was made from"
        )
    understood = None if instruction is None else pipeline.understand(instruction)
    steering = _steering(pipeline, picture, understood, embedding)
    output = pipeline(picture, instruction=instruction, embedding=embedding, output_type="photo")
    assert isinstance(output, RestoreOutput), "its default"
    restored, seen = output.photos[0], seen_part(picture)
    lq = _lq_of(picture, seen, network)
    usage = _usage(network, lq, steering)
    takes_embedding = record_of(network).takes_embedding
    return Explanation(
        model=describe_model(network),
        picture=picture,
        restored=restored,
        gt=truth,
        record=output.records[0],
        seen=seen,
        is_told=(instruction is not None or embedding is not None) if takes_embedding else None,
        usage=usage,
        expert_maps=_expert_maps(network, lq, steering) if usage else None,
        estimate=output.degradations[0] or None,
        instruction=understood,
        differences=differences_of(picture, restored, truth),
    )


def usage_of(
    pipeline: FastRestorePipeline,
    picture: Photo,
    *,
    instruction: Instruction | None = None,
    embedding: Embedding | None = None,
) -> Usage:
    """How strongly each prompt or expert is used for one picture, which is not restored.

    Args:
        pipeline: The model.
        picture: A picture, of which `seen_part` is looked at.
        instruction: What the model understood, see `FastRestorePipeline.understand`.
        embedding: What a guide said of the picture.

    Raises:
        InputError: the model has neither prompts nor experts, or takes no embedding.
        ShapeError: the embedding has another shape.
    """
    network = explained_network(pipeline)
    check_usage(network)
    steering = _steering(pipeline, picture, instruction, embedding)
    return _usage(network, _lq_of(picture, seen_part(picture), network), steering)


def explained_network(pipeline: FastRestorePipeline) -> ModelMixin:
    """The network of a pipeline.

    Raises:
        InputError: it is an exported one, which shows nothing of its inside.
    """
    if isinstance(pipeline.regressor, OnnxRegressor):
        raise InputError(
            "an exported network shows nothing of its inside; explain the model that it was made of, "
            f"{pipeline.regressor.facts.name}"
        )
    return pipeline.regressor


def check_usage(network: nn.Module) -> None:
    """Refuse a network that has nothing to tell of many pictures.

    Raises:
        InputError: it has neither prompts nor experts.
    """
    if not record_of(network).shows_usage:
        raise InputError(
            f"{type(network).__name__} has neither prompts nor experts, and nothing to tell of a folder; explain one "
            "picture to see what it changes"
        )


def describe_model(network: nn.Module) -> ExplainedModel:
    """Which network it is, and what its usage counts."""
    record = record_of(network)
    has_experts = record.routes_to_one or record.shows_expert_maps
    return ExplainedModel(
        architecture=type(network).__name__,
        weights_sha256=hash_of_weights(network),
        unit=("expert" if has_experts else "prompt") if record.shows_usage else None,
        routes_to_one=record.routes_to_one,
    )


def routing_of(usage: Usage) -> list[Route]:
    """The most probable expert of each block."""
    routes = []
    for block, probabilities in usage.items():
        expert = int(np.argmax(probabilities))
        routes.append(Route(block=block, expert=expert, probability=probabilities[expert]))
    return routes


def seen_part(picture: Photo) -> SeenPart:
    """The whole of a picture, or of a larger one the `MAX_SEEN` pixels at its middle, along each side."""
    height, width = min(picture.height, MAX_SEEN), min(picture.width, MAX_SEEN)
    return SeenPart(
        top=(picture.height - height) // 2,
        left=(picture.width - width) // 2,
        height=height,
        width=width,
        is_whole=(height, width) == (picture.height, picture.width),
    )


def difference_of(first: Photo, second: Photo) -> Difference:
    """How far two pictures of one size lie apart; a grey one counts as three equal colours.

    Args:
        first: A picture of any depth.
        second: Same height and width.
    """
    magnitude = np.empty((first.height, first.width), np.float32)
    squares = []
    for top in range(0, first.height, BAND_ROWS):  # no float copy of the whole pictures
        rows = slice(top, top + BAND_ROWS)
        difference = _values(first.pixels[rows], first) - _values(second.pixels[rows], second)  # (h, W, C)
        magnitude[rows] = np.abs(difference).mean(axis=2)
        squares.append(np.square(difference).mean(axis=2, dtype=np.float64).sum())
    mean_square = sum(squares) / magnitude.size
    return Difference(magnitude=magnitude, psnr=decibels(mean_square, peak=1.0, cap=MEAN_CAP))


def differences_of(
    picture: Photo, restored: Photo, gt: Photo | None, *, between: Mapping[str, Photo] | None = None
) -> dict[str, Difference]:
    """What a model changed, and what was and is wrong.

    Args:
        picture: The input.
        restored: The result.
        gt: The ground truth, where there is one.
        between: Name to other results, which are compared with the ground truth only.

    Returns:
        "restored - input", and with a ground truth also "input - gt", each of `between` and "restored - gt".
    """
    differences = {"restored - input": difference_of(restored, picture)}
    if gt is not None:
        compared = {"input": picture, **(between or {}), "restored": restored}
        differences |= {f"{name} - gt": difference_of(one, gt) for name, one in compared.items()}
    return differences


def _values(pixels: np.ndarray, photo: Photo) -> np.ndarray:
    """Pixels of a photo as float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(photo.max_value)


def _steering(
    pipeline: FastRestorePipeline, picture: Photo, instruction: Instruction | None, embedding: Embedding | None
) -> Steering:
    """What steers the network, as in the pipeline's call.

    Raises:
        InputError: an embedding for a model that takes none, or both.
        ShapeError: the embedding has another shape.
    """
    if instruction is not None and embedding is not None:
        raise InputError("an instruction is made to an embedding itself; give an instruction or an embedding")
    if instruction is not None:
        return steering_of_instruction(instruction)
    if embedding is not None:
        given = read_embeddings([embedding], [picture], shape=embedding_shape_of(pipeline.regressor))
        return neutral_steering(pipeline.instruction_head) if given[0] is None else steering_of_embedding(given[0])
    return neutral_steering(pipeline.instruction_head)


def _lq_of(picture: Photo, seen: SeenPart, network: ModelMixin) -> Tensor:
    """The seen part as the network takes it: (1, 3, h, w) in [0, 1], on its device and in its number format."""
    rows, columns = slice(seen.top, seen.top + seen.height), slice(seen.left, seen.left + seen.width)
    values = _values(picture.pixels[rows, columns], picture)  # (h, w, C)
    lq = torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None].expand(-1, 3, -1, -1)
    return lq.to(network.device, network.dtype)


def _usage(network: ModelMixin, lq: Tensor, steering: Steering) -> dict[str, tuple[float, ...]]:
    """What the network tells of one picture, (1, 3, h, w); nothing from one without prompts and experts."""
    if not isinstance(network, UsageNetwork) or not record_of(network).shows_usage:
        return {}
    usage = network.usage(lq, **_told(lq, steering))
    return {name: tuple(weights[0].float().tolist()) for name, weights in usage.items()}


@torch.no_grad()
def _expert_maps(network: ModelMixin, lq: Tensor, steering: Steering) -> np.ndarray | None:
    """Where each expert changes the picture, (N, h, w) float32; None from networks that have no such maps."""
    if not isinstance(network, ExpertMapNetwork) or not record_of(network).shows_expert_maps:
        return None
    maps = network.expert_maps(lq, **_told(lq, steering))[0]  # (N, h, w)
    return maps.float().cpu().numpy()


def _told(lq: Tensor, steering: Steering) -> dict[str, Tensor]:
    """The embedding as an option of the network, where there is one."""
    return {} if steering.embedding is None else {"embedding": steering.embedding.to(lq)}
