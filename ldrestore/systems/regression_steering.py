"""What steers the restoration of a picture: an instruction, a guide's embedding, or nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from diffusers import ModelMixin
from torch import Tensor

from ldrestore.errors import InputError, ShapeError
from ldrestore.images.photo import Photo
from ldrestore.records import hash_of_pixels
from ldrestore.regressors.factory import embedding_shape_of
from ldrestore.regressors.instruction_encoder import Instruction
from ldrestore.regressors.instruction_head import InstructionHead
from ldrestore.regressors.onnx_regressor import OnnxRegressor
from ldrestore.structures import DARKNESS, DegradationEstimate

Embedding = Tensor | np.ndarray
EmbeddingInput = Embedding | Sequence[Embedding | None] | Callable[[Photo], Embedding | None] | None
"""One for all pictures, a list with one or None for each, or a function of a photo."""


SURE = 0.5
"""Probability from which the estimate is taken for sure enough to be told."""

DARK_MEDIAN = 0.15
"""Half of a picture lies below this share of white where it is called dark; of Kodak24 no picture is."""

_LOOKED_AT = 512
"""Pixels a side that darkness is judged by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """What steers one picture, and what its record says of it."""

    embedding: Tensor | None = None
    """(1, *embedding_shape); None leaves it to the network what saying nothing means."""
    hints: Tensor | None = None
    """(1, 2N), see `hints_of_strengths`; None where nothing is said of the damage."""
    recorded: dict[str, str | None] = field(default_factory=lambda: {"instruction": None, "embedding": None})
    """By the name of the option: the instruction as it was given, and the hash of an embedding that was given."""
    understood: dict[str, Any] | None = None
    """What the instruction was taken for; None without one."""


def why_no_instruction(regressor: ModelMixin | OnnxRegressor) -> str:
    """Why a model without an instruction head takes no instruction, and what to do."""
    shape, name = embedding_shape_of(regressor), type(regressor).__name__
    if shape is None:
        return f"this model, {name}, takes no instructions; leave the instruction out, or use a model of InstructIR"
    if len(shape) > 1:
        return f"this model, {name}, takes the embeddings of a guide, not instructions; leave the instruction out"
    return (
        f"this model, {name}, was saved without an instruction head; convert its checkpoint again together with the "
        "head that it was trained with: ldrestore convert ARCH CHECKPOINT OUT_DIR --head HEAD"
    )


def steerings_of(
    photos: Sequence[Photo],
    *,
    regressor: ModelMixin | OnnxRegressor,
    head: InstructionHead | None,
    instruction: Instruction | None = None,
    embedding: EmbeddingInput = None,
    strengths: Mapping[str, float] | None = None,
) -> list[Steering]:
    """What steers each picture; no network takes both embeddings and hints.

    Args:
        photos: The pictures.
        regressor: The network.
        head: That reads its instructions, if it takes some.
        instruction: What was understood, for all pictures.
        embedding: What a guide said.
        strengths: How strongly named degradations are treated, for all pictures; None where none were named.

    Raises:
        InputError: an instruction and an embedding, or an embedding for a network that takes none.
        ShapeError: an embedding has another shape.
    """
    if instruction is not None and embedding is not None:
        raise InputError("an instruction is made to an embedding itself; give an instruction or an embedding")
    if instruction is not None:
        return [steering_of_instruction(instruction)] * len(photos)
    if strengths is not None:
        return [Steering(hints=hints_of_strengths(strengths, regressor.config["degradations"]))] * len(photos)
    neutral = neutral_steering(head)
    if embedding is None:
        return [neutral] * len(photos)
    given = read_embeddings(embedding, photos, shape=embedding_shape_of(regressor))
    return [neutral if one is None else steering_of_embedding(one) for one in given]


def neutral_steering(head: InstructionHead | None) -> Steering:
    """Of a picture of which nothing is said: the head's neutral instruction, or nothing where it has none."""
    return Steering() if head is None or head.neutral is None else Steering(embedding=head.neutral[None])


def steering_of_instruction(instruction: Instruction) -> Steering:
    """Of a picture with an instruction; the record keeps its text and its likeliest class, to three digits."""
    name = instruction.asked_for
    return Steering(
        embedding=instruction.embedding,
        recorded={"instruction": instruction.text, "embedding": None},
        understood={"class": name, "probability": round(instruction.probabilities[name], 3)},
    )


def steering_of_embedding(embedding: Tensor) -> Steering:
    """Of a picture with a guide's embedding, of one picture's shape; the record keeps its hash."""
    digest = hash_of_pixels(embedding.numpy(), None)  # over type, shape and bytes, which is as good here
    return Steering(embedding=embedding[None], recorded={"instruction": None, "embedding": digest})


def hints_of_strengths(strengths: Mapping[str, float], names: Sequence[str]) -> Tensor:
    """What a user says of the damage, as a network takes it.

    Args:
        strengths: How strongly each named degradation is to be taken away, in [0, 1].
        names: The N degradations that the network knows.

    Returns:
        (1, 2N) float32: whether each is named, then the strengths, 0 for those that are not.
    """
    named = [float(name in strengths) for name in names]
    return torch.tensor([[*named, *(strengths.get(name, 0.0) for name in names)]])


def rules_everything_out(hints: Tensor) -> bool:
    """Whether all degradations that the network knows are named, each with strength 0: nothing is to be done.

    Args:
        hints: (1, 2N), see `hints_of_strengths`.
    """
    named, strengths = hints.chunk(2, dim=1)
    return bool((named > 0).all() and (strengths == 0).all())


def advice_on(photo: Photo, estimate: DegradationEstimate | None, strengths: Mapping[str, float]) -> tuple[str, ...]:
    """What a network that takes hints leaves to the user, and how to ask for it.

    Args:
        photo: The picture as it came.
        estimate: What the network sees in it; None from one that estimates nothing.
        strengths: What the user has said already.
    """
    if estimate is None or DARKNESS not in estimate.names or DARKNESS in strengths:
        return ()
    if estimate[DARKNESS] >= SURE:
        return (f"looks too dark, which may be meant; --degradation {DARKNESS} brightens it",)
    if is_dark(photo):
        return (f"is dark, which may be meant; --degradation {DARKNESS} brightens it",)
    return ()


def is_dark(photo: Photo) -> bool:
    """Whether half of a picture lies below `DARK_MEDIAN`."""
    step = max(1, *(side // _LOOKED_AT for side in photo.pixels.shape[:2]))
    looked_at = photo.pixels[::step, ::step].astype(np.float32).mean(axis=2)
    return bool(np.median(looked_at) < DARK_MEDIAN * photo.max_value)


def read_embeddings(
    source: EmbeddingInput, photos: Sequence[Photo], *, shape: tuple[int, ...] | None
) -> list[Tensor | None]:
    """One embedding, or none, for each picture.

    Args:
        source: See `EmbeddingInput`; each of `shape`, alone or with a batch axis of 1.
        photos: The inputs.
        shape: Of one picture's embedding; None for a model that takes none.

    Returns:
        Each of `shape`, float32, on the CPU, or None.

    Raises:
        InputError: the model takes none, another number than pictures, no array, or numbers that are not finite.
        ShapeError: an embedding has another shape.
    """
    if shape is None:
        raise InputError("this model takes no embedding; leave it out")
    if isinstance(source, (list, tuple)):
        if len(source) != len(photos):
            raise InputError(f"expected one embedding for each of the {len(photos)} pictures, got {len(source)}")
        given = list(source)
    elif callable(source) and not isinstance(source, Tensor):
        given = [source(photo) for photo in photos]
    else:
        given = [source] * len(photos)
    return [None if one is None else _read_embedding(one, shape=shape) for one in given]


def _read_embedding(given: Any, *, shape: tuple[int, ...]) -> Tensor:
    """An embedding of one picture's shape, float32, on the CPU.

    Raises:
        InputError: no array of floating-point numbers, or one that is not finite.
        ShapeError: it has another shape.
    """
    if not isinstance(given, (Tensor, np.ndarray)):
        raise InputError(f"an embedding must be a tensor or an array of shape {shape}, got {type(given).__name__}")
    if isinstance(given, np.ndarray):  # torch takes none that is read-only, turned, or of another byte order
        given = np.array(given, dtype=given.dtype.newbyteorder("="), order="C")
    try:
        values = torch.as_tensor(given)
    except TypeError as error:
        raise InputError(f"an embedding must hold floating-point numbers, got an array of {given.dtype}") from error
    if not values.is_floating_point():
        raise InputError(f"an embedding must hold floating-point numbers, got {values.dtype}")
    if values.shape not in (shape, (1, *shape)):
        raise ShapeError(
            f"expected an embedding of shape {shape} for each picture, got {tuple(values.shape)}; "
            "give those of several pictures as a list"
        )
    embedding = values.detach().to("cpu", torch.float32).reshape(shape).contiguous()
    if not embedding.isfinite().all():
        raise InputError("an embedding holds infinite or undefined numbers; make it again")
    return embedding
