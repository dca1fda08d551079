"""What a visitor asks of a picture, checked, and made to the request that the jobs take."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ldrestore.errors import InputError
from ldrestore.jobs.request import RestoreRequest, options_for
from ldrestore.options import MAX_SCALE, SamplingOptions
from ldrestore.restorers import find_track
from ldrestore.serving.offered_models import OfferedModel
from ldrestore.serving.settings import PageSettings
from ldrestore.tracks import options_class_of

MAX_TEXT = 2000
"""Letters of an instruction, or of degradations as text; models read fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is asked of one picture, or of all pictures of a batch; nothing is checked yet but by `request_of`."""

    model: OfferedModel
    """One of those that are offered."""
    fidelity: float = 0.0
    """0 is the model's result, 1 the input itself."""
    grain: float = 0.0
    """How much film grain and paper is given back: 0 none, 1 all of it."""
    instruction: str = ""
    """For models that take one; empty for none."""
    degradations: Mapping[str, float] | str | None = None
    """What is said to be wrong, name to strength or as `--degradation` has it; None or empty for nothing."""
    protect: Path | None = None
    """File of a mask, white where the picture stays."""
    scale: int = 1
    """How many times each side is enlarged."""
    steps: int | None = None
    """Of models that sample; None for the model's own."""


def request_of(wishes: Wishes, settings: PageSettings, *, device: str) -> RestoreRequest:
    """The request of a visitor, which loads nothing yet.

    Args:
        wishes: What was asked.
        settings: Of the page.
        device: Where it will be computed.

    Raises:
        InputError: a value of the wrong type or out of range, or one that the model's track does not take.
    """
    options_class = options_class_of(find_track(wishes.model.location))
    samples = issubclass(options_class, SamplingOptions)
    given: dict[str, Any] = {
        "fidelity": _number("fidelity", wishes.fidelity, low=0.0, high=1.0),
        "keep_grain": _number("grain", wishes.grain, low=0.0, high=1.0),
        "scale": _whole_number("scale", wishes.scale, low=1, high=MAX_SCALE),
    }
    instruction = _text("the instruction", wishes.instruction)
    if instruction:
        given["instruction"] = instruction
    degradations = _degradations(wishes.degradations, are_weights=samples)
    if degradations:
        given["degradations"] = degradations
    if wishes.protect is not None:
        given["protect"] = wishes.protect
    if wishes.steps is not None and any(field.name == "num_inference_steps" for field in fields(options_class)):
        given["num_inference_steps"] = _whole_number("steps", wishes.steps, low=1, high=1000)
    request = RestoreRequest(
        model=wishes.model.location, device=device, dtype=settings.dtype, max_pixels=settings.max_pixels
    )
    return replace(request, options=options_for(wishes.model.location, given))


def _number(name: str, value: object, *, low: float, high: float) -> float:
    """A number in a range.

    Raises:
        InputError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise InputError(f"{name} must be a number in [{low:g}, {high:g}], got {value!r:.40}")
    return value


def _whole_number(name: str, value: object, *, low: int, high: int) -> int:
    """A whole number in a range.

    Raises:
        InputError: it is none.
    """
    number = _number(name, value, low=low, high=high)
    if number != int(number):
        raise InputError(f"{name} must be a whole number, got {number:g}")
    return int(number)


def _text(name: str, value: object) -> str:
    """A short text without blanks around it; None is an empty one.

    Raises:
        InputError: it is no text, or too long.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{name} must be text, got {type(value).__name__}")
    if len(value) > MAX_TEXT:
        raise InputError(f"{name} has {len(value)} characters, at most {MAX_TEXT} are read; say it in a sentence")
    return value.strip()


def _degradations(value: object, *, are_weights: bool) -> Mapping[str, float] | str | None:
    """What is said to be wrong; bars that were moved become weights that sum to 1 for models that sample.

    Raises:
        InputError: it is neither text nor names with numbers in [0, 1].
    """
    if value is None or isinstance(value, str):
        return _text("degradations", value) or None
    if not isinstance(value, Mapping) or len(value) > 100:
        raise InputError(
            f"degradations must be text such as rain=0.7, or strengths by name, got {type(value).__name__}"
        )
    strengths = {str(name): float(_number(f"{name!s:.40}", one, low=0.0, high=1.0)) for name, one in value.items()}
    if not are_weights or not strengths:
        return strengths
    total = math.fsum(strengths.values())
    if not total:
        raise InputError("this model needs to know what is wrong: raise at least one bar, or let it look for itself")
    return {name: strength / total for name, strength in strengths.items() if strength}
