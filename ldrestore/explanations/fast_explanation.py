"""What a model of the fast track does with one picture: what it sees, what it uses, and what it changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from diffusers import ModelMixin
from torch import Tensor, nn

from ldrestore.errors import InputError
from ldrestore.estimators.given_degradations import Degradations
from ldrestore.explanations.differences import Difference, ExplainedPictures, shares_of
from ldrestore.explanations.picture_part import PicturePart, middle_part, read_pair
from ldrestore.images.inputs import ImageInput
from ldrestore.images.photo import Photo
from ldrestore.options import FastRestoreOptions
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import record_of
from ldrestore.regressors.instruction_encoder import Instruction
from ldrestore.regressors.network_protocols import ExpertMapNetwork, UsageNetwork
from ldrestore.regressors.onnx_regressor import OnnxRegressor
from ldrestore.structures import DegradationEstimate
from ldrestore.systems.regression_steering import (
    Embedding,
    Steering,
    steerings_of,
)
from ldrestore.weights.hashes import cached_hash

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
class Route:
    """The expert that a block gave a picture to."""

    block: str
    expert: int
    """Counted from 0."""
    probability: float
    """Of that expert, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explanation:
    """What a model did with one picture."""

    model: ExplainedModel
    pictures: ExplainedPictures
    """Input, result, and the ground truth where it was given."""
    record: Mapping[str, Any]
    """How the picture was restored, see `ldrestore.records.make_record`."""
    part: PicturePart
    """What usage and expert maps are about."""
    is_told: bool | None
    """Whether an instruction or an embedding was given; None where the model takes none."""
    usage: Usage
    """How strongly each prompt or expert is used; empty from models that have none."""
    expert_maps: np.ndarray | None
    """(N, h, w) float32: how far that part of the result moves when an expert is silent; None without such maps."""
    estimate: DegradationEstimate | None
    """What the model believes to be wrong with the picture; None from models that estimate nothing."""
    instruction: Instruction | None
    """What an instruction was taken for; None without one."""
    strengths: Mapping[str, float]
    """How strongly the degradations that were named are treated, in [0, 1]; empty where none were."""
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
    degradations: Degradations | None = None,
) -> Explanation:
    """Restore a picture and tell what the model did with it.

    Args:
        pipeline: The model.
        image: One picture, see `ImageInput`.
        gt: What it should look like, of the same size.
        instruction: As in the pipeline's call.
        embedding: What a guide said of the picture, as in the pipeline's call.
        degradations: How strongly each is treated, as in the pipeline's call.

    Raises:
        InputError: an instruction, an embedding or degradations that the model does not take or understand.
        ShapeError: the ground truth has another size, or the embedding another shape.
        ImageFileError: a path cannot be read.
        WeightsError: the weights give undefined pixels, or the instruction's encoder cannot be had.
        OutOfMemoryError: not even the smallest tile fits.
    """
    picture, truth = read_pair(image, gt)
    network = explained_network(pipeline)
    instructed = None if instruction is None else pipeline.understand(instruction)
    strengths = None if degradations is None else pipeline.check_degradations(degradations)
    steering = _steering(pipeline, picture, instruction=instructed, embedding=embedding, strengths=strengths)
    options = FastRestoreOptions(
        instruction=instruction, embedding=embedding, degradations=degradations, output_type="photo"
    )
    output = pipeline.restore(picture, options)
    pictures, part = ExplainedPictures(picture=picture, restored=output.photos[0], gt=truth), middle_part(picture)
    lq = _lq_of(picture, part, pipeline)
    usage = _usage(network, lq, steering)
    is_given = instruction is not None or embedding is not None
    return Explanation(
        model=describe_model(network),
        pictures=pictures,
        record=output.records[0],
        part=part,
        is_told=is_given if record_of(network).takes_embedding else None,
        usage=usage,
        expert_maps=_expert_maps(network, lq, steering) if usage else None,
        estimate=output.degradations[0] or None,
        instruction=instructed,
        strengths=strengths or {},
        differences=pictures.differences(),
    )


def usage_of(
    pipeline: FastRestorePipeline,
    picture: Photo,
    *,
    instruction: Instruction | None = None,
    embedding: Embedding | None = None,
    strengths: Mapping[str, float] | None = None,
) -> Usage:
    """How strongly each prompt or expert is used for one picture, which is not restored.

    Args:
        pipeline: The model.
        picture: A picture, of which `middle_part` is looked at.
        instruction: What the model understood, see `FastRestorePipeline.understand`.
        embedding: What a guide said of the picture.
        strengths: How strongly named degradations are treated, see `FastRestorePipeline.check_degradations`;
            None where none were named.

    Raises:
        InputError: the model has neither prompts nor experts, or takes no embedding.
        ShapeError: the embedding has another shape.
    """
    network = explained_network(pipeline)
    check_usage(network)
    steering = _steering(pipeline, picture, instruction=instruction, embedding=embedding, strengths=strengths)
    return _usage(network, _lq_of(picture, middle_part(picture), pipeline), steering)


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
        weights_sha256=cached_hash(network),
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


def _steering(
    pipeline: FastRestorePipeline,
    picture: Photo,
    *,
    instruction: Instruction | None,
    embedding: Embedding | None,
    strengths: Mapping[str, float] | None,
) -> Steering:
    """What steers the network, as in the pipeline's call.

    Raises:
        InputError: an embedding for a model that takes none, or beside an instruction.
        ShapeError: the embedding has another shape.
    """
    (steering,) = steerings_of(
        [picture],
        regressor=pipeline.regressor,
        head=pipeline.instruction_head,
        instruction=instruction,
        embedding=None if embedding is None else [embedding],
        strengths=strengths,
    )
    return steering


def _lq_of(picture: Photo, part: PicturePart, pipeline: FastRestorePipeline) -> Tensor:
    """The part as the network takes it: (1, 3, h, w) in [0, 1], where it computes and in its number format."""
    shares = shares_of(part.of(picture.pixels), picture)  # (h, w, C)
    lq = torch.from_numpy(np.ascontiguousarray(shares.transpose(2, 0, 1)))[None].expand(-1, 3, -1, -1)
    return lq.to(pipeline._execution_device, pipeline.regressor.dtype)


def _usage(network: ModelMixin, lq: Tensor, steering: Steering) -> dict[str, tuple[float, ...]]:
    """What the network tells of one picture, (1, 3, h, w); nothing from one without prompts and experts."""
    if not isinstance(network, UsageNetwork) or not record_of(network).shows_usage:
        return {}
    usage = network.usage(lq, **_conditions(lq, steering))
    return {name: tuple(weights[0].float().tolist()) for name, weights in usage.items()}


@torch.no_grad()
def _expert_maps(network: ModelMixin, lq: Tensor, steering: Steering) -> np.ndarray | None:
    """Where each expert changes the picture, (N, h, w) float32; None from networks that have no such maps."""
    if not isinstance(network, ExpertMapNetwork) or not record_of(network).shows_expert_maps:
        return None
    maps = network.expert_maps(lq, **_conditions(lq, steering))[0]  # (N, h, w)
    return maps.float().cpu().numpy()


def _conditions(lq: Tensor, steering: Steering) -> dict[str, Tensor]:
    """The embedding or the hints as an option of the network, where there are some."""
    given = {"embedding": steering.embedding, "hints": steering.hints}
    return {name: value.to(lq) for name, value in given.items() if value is not None}
