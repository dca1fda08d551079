"""Recipes: degradations in a row, written as text.

    gaussian_noise(sigma_255=25)+jpeg(quality=20)
    rain(severity=0.8)+low_light
    mid6/rain_noise_blur

A step names a degradation and, in brackets, physical parameters; what it leaves open follows from the severity, which a
step may set for itself.
"""

import inspect
import math
import re
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from ldrestore.degradations.catalog import DEGRADATIONS, MIXTURES, TRAINING_FORMS, step_record
from ldrestore.errors import InputError, ShapeError, UnknownNameError
from ldrestore.registry import resolve

_STEP = re.compile(r"\s*([A-Za-z0-9_/]+)\s*(?:\(([^()]*)\))?\s*")


@dataclass(frozen=True, slots=True)
class Step:
    """One degradation of a recipe."""

    name: str
    """Registry name."""
    parameters: tuple[tuple[str, float | str], ...] = ()
    """Names and values that the recipe fixes; "severity" among them sets the step's own severity."""

    def __str__(self) -> str:
        """The step as a recipe writes it."""
        inner = ", ".join(f"{key}={_written(value)}" for key, value in self.parameters)
        return f"{self.name}({inner})" if inner else self.name


@dataclass(frozen=True, slots=True)
class Recipe:
    """Degradations in the order in which they are applied."""

    steps: tuple[Step, ...]
    """At least one."""

    def __str__(self) -> str:
        """The recipe in its canonical spelling; `parse_recipe` gives the same recipe back."""
        return "+".join(map(str, self.steps))


def list_degradations() -> list[str]:
    """Names of all single degradations."""
    return DEGRADATIONS.names()


def list_mixtures() -> list[str]:
    """Names of the published mixtures, CDD11's and MID6's."""
    return list(MIXTURES)


def parse_recipe(text: str) -> Recipe:
    """Read a recipe.

    Args:
        text: `name(key=value, ...)+name+...`, or the name of a mixture.

    Raises:
        UnknownNameError: no such degradation, mixture or parameter.
        InputError: the text has another form, or a value is no number or out of range.
    """
    if not isinstance(text, str):
        raise InputError(f"a recipe is text such as 'rain+jpeg(quality=20)', got {type(text).__name__}")
    steps: list[Step] = []
    for position, part in _split(text):
        match = _STEP.fullmatch(part)
        if match is None:
            raise InputError(
                f"cannot read {part!r} at character {position} of recipe {text!r}; "
                "expected name or name(key=value, ...)"
            )
        name, inner = match[1], match[2]
        if name in MIXTURES:
            if inner is not None:
                raise InputError(
                    f"mixture {name!r} takes no parameters, got ({inner}); write its steps: {MIXTURES[name]}"
                )
            steps.extend(parse_recipe(MIXTURES[name]).steps)
        elif name in DEGRADATIONS or name in TRAINING_FORMS:
            steps.append(Step(name, _parse_parameters(name, inner or "")))
        else:
            raise UnknownNameError("degradation", name, [*DEGRADATIONS.names(), *MIXTURES, *TRAINING_FORMS.names()])
    return Recipe(tuple(steps))


def apply_recipe(image: np.ndarray, recipe: Recipe, *, severity: float, generator: np.random.Generator) -> np.ndarray:
    """Degrade a picture.

    Args:
        image: (H, W, 3) of any float type, in [0, 1]; not changed. What follows is float32, since OpenCV's filters
            refuse other types, or crash.
        recipe: What to apply.
        severity: In [0, 1], for every step that does not set its own.
        generator: Each step draws from its own child of it, so that one step's draws do not shift another's.

    Returns:
        (H, W, 3) float32 in [0, 1].

    Raises:
        ShapeError: the picture has another shape, or no pixels.
        InputError: the picture holds integers, or the severity is out of range.
    """
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ShapeError(f"expected a picture of shape (H, W, 3), got {image.shape}")
    if image.dtype.kind != "f":
        raise InputError(
            f"expected float32 pixels in [0, 1], got {image.dtype}; divide by the code value of white first"
        )
    _check_severity(severity)
    image = image.astype(np.float32, copy=False)
    for step, child in zip(recipe.steps, generator.spawn(len(recipe.steps)), strict=True):
        fixed = dict(step.parameters)
        own_severity = float(fixed.pop("severity", severity))
        parameters = {**parameters_of(step.name, own_severity), **fixed}
        image = resolve(step_record(step.name).target)(image, **parameters, generator=child)
    return image


def parameters_of(name: str, severity: float) -> dict[str, Any]:
    """Physical parameters of a degradation at a severity in [0, 1].

    Raises:
        UnknownNameError: no such degradation.
        InputError: the severity is out of range.
    """
    _check_severity(severity)
    return resolve(f"{step_record(name).target}_parameters")(severity)


def in_physical_order(names: list[str]) -> list[str]:
    """Degradations in the order of image formation: from rain, snow and haze over lens and sensor to the file."""
    return sorted(names, key=lambda name: step_record(name).order)


def _split(text: str) -> list[tuple[int, str]]:
    """The steps of a recipe, cut at each plus sign outside brackets: where each starts, counted from 1, and its text.

    Raises:
        InputError: a step is empty.
    """
    parts, position = [], 1
    for part in re.split(r"\+(?![^()]*\))", text):
        if not part.strip():
            raise InputError(
                f"recipe {text!r} has an empty step at character {position}; expected name(key=value, ...)+name+..."
            )
        parts.append((position, part))
        position += len(part) + 1
    return parts


def _written(value: float | str) -> str:
    """A value as a recipe writes it: the shortest spelling that reads back as the same number."""
    return value if isinstance(value, str) else repr(value).removesuffix(".0")


def _parse_parameters(name: str, inner: str) -> tuple[tuple[str, float | str], ...]:
    """The bracket of a step.

    Raises:
        UnknownNameError: the degradation has no such parameter.
        InputError: a part is not key=value, comes twice, or its value does not fit.
    """
    function = resolve(step_record(name).target)
    known = [key for key in inspect.signature(function).parameters if key not in ("image", "generator")]
    parameters: dict[str, float | str] = {}
    for part in filter(None, (piece.strip() for piece in inner.split(","))):
        key, separator, value = (piece.strip() for piece in part.partition("="))
        if not (key and separator and value):
            raise InputError(f"cannot read {part!r} in {name}({inner}); expected key=value")
        if key not in known and key != "severity":
            raise UnknownNameError(f"parameter of {name}", key, [*known, "severity"])
        if key in parameters:
            raise InputError(f"{name}({inner}) sets {key} twice; keep one")
        parameters[key] = _parse_value(name, key, value)
    return tuple(parameters.items())


def _parse_value(name: str, key: str, value: str) -> float | str:
    """One value: a number, or for `kernel` the name of a kernel.

    Raises:
        UnknownNameError: no such kernel.
        InputError: not a number, or out of range.
    """
    if key == "kernel":
        kernels = [*resolve("ldrestore.degradations.storage:KERNELS"), "random"]
        if value not in kernels:
            raise UnknownNameError("kernel", value, kernels)
        return value
    try:
        number = float(value)
    except ValueError as error:
        raise InputError(f"{key} of {name} must be a number, got {value!r}") from error
    low, high = _RANGES.get(key, (0.0, math.inf))
    if not low <= number <= high or math.isinf(number):
        raise InputError(f"{key} of {name} must lie in [{low:g}, {high:g}], got {value}")
    return number


_RANGES: dict[str, tuple[float, float]] = {
    "severity": (0.0, 1.0),
    "quality": (1.0, 95.0),
    "factor": (1.0, 64.0),
    "photons": (0.1, 1e6),
    "sigma_255": (0.0, 255.0),
    "length": (1.0, 500.0),
    "radius": (0.0, 200.0),
    "sigma": (0.05, 100.0),
    "veil": (0.0, 1.0),
    "max_radius": (4.0, 500.0),
    "stops": (0.0, 16.0),
    "density": (0.0, 1000.0),
    "opacity": (0.0, 100.0),
    "beta": (0.0, 100.0),
    "cast": (0.0, 2.0),
    "shot": (0.0, 1.0),
    "read": (0.0, 1.0),
    "cover": (0.0, 1.0),
    "thickness": (0.0, 100.0),
    "mtf": (0.01, 1.0),
    "electronic": (0.0, 1e4),
    "acceleration": (1.0, 64.0),
    "centre": (0.0, 1.0),
    "openness": (0.01, 1.0),
    "transmission": (0.0, 1.0),
    "contrast": (0.0, 10.0),
    "distance": (0.0, 1000.0),
    "depth": (0.0, 1000.0),
    "share": (0.0, 1.0),
    "strength": (0.0, 1.0),
}
"""Allowed values by parameter; any other is at least 0."""


def _check_severity(severity: float) -> None:
    """Refuse a severity outside [0, 1].

    Raises:
        InputError: it lies outside, or is no number.
    """
    if not isinstance(severity, Real) or not 0 <= severity <= 1:
        raise InputError(f"severity must lie in [0, 1], got {severity!r}")
