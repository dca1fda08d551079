"""Options of the models that sample, those of the stable track; the others refuse them."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any

import typer

from ldrestore.errors import InputError

MAX_SEED = 2**63 - 1
"""Seeds are whole numbers of 63 bits."""

TRACKS = {"FastRestorePipeline": "fast", "StableRestorePipeline": "stable"}
"""Class of a pipeline to its track."""

FLAGS = {
    "instruction": "--instruction",
    "embedding": "--embeddings",
    "degradations": "--degradation",
    "num_inference_steps": "--steps",
    "strength": "--strength",
    "seed": "--seed",
    "refine": "--no-refine",
    "colour_fix": "--colour-fix",
}
"""Options of a pipeline's call that the models of one track take only, and what they are called here."""


class ColourFix(StrEnum):
    """Tones of the input for the result."""

    OFF = "off"
    WAVELET = "wavelet"
    ADAIN = "adain"


DegradationOption = Annotated[
    str | None,
    typer.Option(
        metavar="D=W,...",
        help="What is wrong with all pictures, in place of what the model sees, such as "
        "'rain=0.7,gaussian_noise=0.3'; the weights sum to 1. `ldrestore info MODEL` lists the names.",
    ),
]

StepsOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Steps of the whole sampling schedule; 50 if not given."),
]

SeedOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=MAX_SEED,
        metavar="N",
        help="Start of the random numbers, of which each picture draws by its own pixels; 0 if not given.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingOptions:
    """What a user says of the sampling; None leaves it to the pipeline."""

    degradation: DegradationOption = None
    """Names and weights."""
    steps: StepsOption = None
    """At least 1."""
    strength: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="S",
            help="Part of the schedule that is gone through: 1, as if not given, starts from pure noise, less from the "
            "picture with noise upon it.",
        ),
    ] = None
    """In [0, 1]."""
    seed: SeedOption = None
    """In [0, 2^63)."""
    no_refine: Annotated[
        bool, typer.Option("--no-refine", help="Decode as the autoencoder alone does, without its refinement.")
    ] = False
    """Whether the decoder is left as it is."""
    colour_fix: Annotated[
        ColourFix | None,
        typer.Option(
            help="Take tones from the input: its low frequencies, or its mean and contrast; `off` if not given, for "
            "pictures whose light or colour is what is wrong."
        ),
    ] = None
    """Where tones come from."""

    def given(self) -> dict[str, Any]:
        """What was said, under the names that the pipeline's call has for it."""
        options = {
            "degradations": self.degradation,
            "num_inference_steps": self.steps,
            "strength": self.strength,
            "seed": self.seed,
            "refine": False if self.no_refine else None,
            "colour_fix": None if self.colour_fix is None else self.colour_fix.value,
        }
        return {name: value for name, value in options.items() if value is not None}


NOT_SAID = SamplingOptions()
"""All left to the pipeline."""


def takes_sampling(command: Callable[..., None]) -> Callable[..., None]:
    """Let the user give the fields of `SamplingOptions` one by one where a command takes them as `sampling`.

    Args:
        command: Has a parameter of that name; the options stand in its place in the help.
    """
    fields = inspect.signature(SamplingOptions).parameters
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        parameters += fields.values() if parameter.name == "sampling" else own

    @wraps(command)
    def run(**values: Any) -> None:
        said = {name: values.pop(name) for name in fields}
        command(**values, sampling=SamplingOptions(**said))

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    return run


def check_taken(restorer: Any, names: Iterable[str]) -> None:
    """Refuse options that a model does not take.

    Args:
        restorer: The pipeline.
        names: Of the options that were given, as pipelines call them.

    Raises:
        InputError: they are another track's.
    """
    known = inspect.signature(type(restorer).__call__).parameters
    foreign = [FLAGS[name] for name in names if name in FLAGS and name not in known]
    if not foreign:
        return
    track = TRACKS[type(restorer).__name__]
    other = next(other for other in TRACKS.values() if other != track)
    are, them = ("is", "it") if len(foreign) == 1 else ("are", "them")
    instead = ", say what is wrong with --degradation" if FLAGS["instruction"] in foreign else ""
    raise InputError(
        f"{' and '.join(foreign)} {are} for models of the {other} track, this one is of the {track} track; "
        f"leave {them} out{instead}, or name another --model"
    )


def check_sampling(restorer: Any, options: dict[str, Any]) -> None:
    """Refuse, before any picture is read, what the model would refuse at each.

    Args:
        restorer: A pipeline of the stable track.
        options: Of its call, as far as they are given.

    Raises:
        UnknownNameError: the model does not know a degradation.
        InputError: the weights do not sum to 1, or there are more steps than it was trained with.
    """
    from ldrestore.estimators.given_degradations import given_estimate
    from ldrestore.sampling.denoising import set_timesteps

    if "degradations" in options:
        given_estimate(options["degradations"], restorer.predictor.names)
    taken = inspect.signature(type(restorer).__call__).parameters
    if "num_inference_steps" in taken:
        said = {name: options.get(name, taken[name].default) for name in ("num_inference_steps", "strength")}
        set_timesteps(restorer.scheduler, device=restorer.device, **said)
