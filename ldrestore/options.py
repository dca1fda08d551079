"""What may be asked of a restoration, declared once: for a pipeline's call, the command line, requests and records.

A track has one frozen dataclass of options, with which its pipeline's `restore` is called. Its fields are the keywords
of the pipeline's own call, which takes the defaults from here; a field with a `Flag` is an option of the command line
too; and each field says what the record of a result keeps of it. Importing this imports no torch.
"""

import math
import os
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from numbers import Real
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from ldrestore.errors import InputError, UnknownNameError

MAX_SEED = 2**63 - 1
"""Seeds are whole numbers of 63 bits."""

MAX_SCALE = 8
"""Largest factor of enlargement."""

OutputType = Literal["pil", "np", "pt", "photo"]
"""How `RestoreOutput.images` come: PIL, numpy (H, W, C), torch (C, H, W), or photos."""

ColourFix = Literal["off", "wavelet", "adain"]
"""Tones of the input for the result: none, its low frequencies, or its mean and contrast."""


class Recorded(Enum):
    """What the record of a result keeps of an option; without such a mark its value."""

    HASH = "the SHA-256 of what it names, as NAME_sha256"
    NOTHING = "nothing, since the same pixels come without it, or another entry tells them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """How the command line calls an option."""

    name: str
    """With its dashes."""
    help: str
    """For a reader of the command's help."""
    kind: type = str
    """What its words are read as: int, float, str, Path, or bool for a flag without a word."""
    metavar: str | None = None
    """What stands for the value in the help."""
    minimum: float | None = None
    """Smallest number allowed."""
    maximum: float | None = None
    """Largest number allowed."""
    choices: tuple[str, ...] = ()
    """All words allowed; empty for any."""
    shows_default: bool | str = False
    """Whether the help says what leaving it out means, or in which words, where the default itself does not tell."""
    instead: tuple[str, str] | None = None
    """Another option, by its keyword, and what to do with it on a track that takes that one and not this."""
    read: Callable[[Any], Any] | None = None
    """Makes the option's value of the word; raises an InputError that names the flag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredOption:
    """One option of a track, as its field declares it."""

    name: str
    """Keyword of the pipeline's call."""
    default: Any
    """What leaving it out means."""
    flag: Flag | None
    """On the command line; None for an option of Python alone."""
    recorded: Recorded | None
    """What records keep of it; None for its value."""
    shown_default: str | None
    """What the help says of leaving it out; None for nothing."""


def read_tile(text: str) -> int | str:
    """Read "auto", "off", or a number of pixels.

    Raises:
        InputError: anything else.
    """
    if text in ("auto", "off"):
        return text
    is_number = text.isascii() and text.isdecimal() and len(text) < 10
    if not is_number or int(text) == 0 or int(text) % 64:
        raise InputError(f"--tile takes auto, off, or a multiple of 64 pixels such as 512, got {text!r}")
    return int(text)


def read_memory(memory: float) -> float:
    """A memory budget in gigabytes.

    Raises:
        InputError: it is not positive.
    """
    if not 0 < memory < math.inf:
        raise InputError(f"--memory takes a positive number of gigabytes such as 2, got {memory:g}")
    return memory


def read_mask(path: str) -> Path:
    """The file of a mask.

    Raises:
        InputError: there is none.
    """
    if not os.path.isfile(path):
        raise InputError(f"no mask at {path}; --protect takes one picture of the input's size")
    return Path(path)


DegradationsOption = Annotated[
    Any,
    Flag(
        name="--degradation",
        metavar="D[=W],...",
        help="What is wrong with all pictures, in place of what the model sees, such as 'rain=0.7,gaussian_noise=0.3'. "
        "For models that sample the weights sum to 1; for the others each is a strength from 0, off, to 1, and what is "
        "left out stays as the model sees it. `ldrestore info MODEL` lists the names.",
    ),
]
"""Weights by name or such a text, for all pictures, or a list with one or None for each."""


InstructionOption = Annotated[
    Any,
    Flag(
        name="--instruction",
        metavar="TEXT",
        instead=("degradations", "say what is wrong with --degradation"),
        help="What to do with all pictures, in English, such as 'remove the noise'; for models that take "
        "instructions, see `ldrestore info MODEL`. Without it a neutral one.",
    ),
]
"""A text for all pictures; on tracks that say so, or a list with one or None for each."""


StepsOption = Annotated[
    int | None,
    Flag(
        name="--steps",
        kind=int,
        minimum=1,
        metavar="N",
        shows_default="as many as the model says",
        help="Steps of the whole sampling schedule.",
    ),
]
"""Of models that sample; None for as many as the model says."""


def check_choice(name: str, value: object, literal: Any) -> None:
    """Refuse a word that is not one of a type's.

    Args:
        name: Of the option.
        value: Given for it.
        literal: `Literal[...]` of all words.

    Raises:
        UnknownNameError: it is none of them.
    """
    if value not in get_args(literal):
        raise UnknownNameError(name, str(value), get_args(literal))


def check_share(name: str, value: object) -> None:
    """Refuse what is no number in [0, 1].

    Args:
        name: Of the option.
        value: Given for it.

    Raises:
        InputError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise InputError(f"{name} must lie in [0, 1], got {value}")


@dataclass(frozen=True, kw_only=True)
class RestoreOptions:
    """What the models of all tracks take."""

    scale: Annotated[
        int,
        Flag(
            name="--scale",
            kind=int,
            minimum=1,
            maximum=MAX_SCALE,
            metavar="N",
            shows_default=True,
            help="Enlarge N times along each side first, then restore.",
        ),
    ] = 1
    fidelity: Annotated[
        float,
        Flag(
            name="--fidelity",
            kind=float,
            minimum=0.0,
            maximum=1.0,
            metavar="F",
            shows_default=True,
            help="Blend the input back in: 0 is the model's result, 1 the input itself.",
        ),
    ] = 0.0
    protect: Annotated[
        Any,
        Flag(
            name="--protect",
            metavar="MASK",
            read=read_mask,
            help="A grey picture of the input's size: white stays as it is, black is restored, grey is in between.",
        ),
        Recorded.HASH,
    ] = None
    keep_grain: Annotated[
        float,
        Flag(
            name="--keep-grain",
            kind=float,
            minimum=0.0,
            maximum=1.0,
            metavar="F",
            shows_default=True,
            help="Give film grain and paper back, as measured from what was taken away: 0 is none of it, 1 all.",
        ),
    ] = 0.0
    tile: Annotated[
        int | str,
        Flag(
            name="--tile",
            metavar="auto|N|off",
            read=read_tile,
            shows_default=True,
            help="Tile side in pixels: `auto` plans it from --memory, N (a multiple of 64) fixes it, `off` takes the "
            "picture whole.",
        ),
        Recorded.NOTHING,
    ] = "auto"
    memory_gb: Annotated[
        float,
        Flag(
            name="--memory",
            kind=float,
            metavar="GB",
            read=read_memory,
            shows_default=True,
            help="Working memory that `--tile auto` plans for, in gigabytes (10^9 bytes).",
        ),
        Recorded.NOTHING,
    ] = 4.0  # a constant, so that a plan does not depend on the machine
    clip: Annotated[
        bool,
        Flag(name="--clip", kind=bool, help="Clip float pixels outside [0, 1], which are refused without it."),
        Recorded.NOTHING,
    ] = False
    self_ensemble: Annotated[
        bool,
        Flag(
            name="--self-ensemble",
            kind=bool,
            help="Average over the 8 flips and turns: slightly better, 8 times slower.",
        ),
    ] = False
    output_type: Annotated[OutputType, Recorded.NOTHING] = "pil"
    """Kind of the output's `.images`."""

    def __post_init__(self) -> None:
        """Check what hangs on no model.

        Raises:
            InputError: an option is out of range.
        """
        if isinstance(self.scale, bool) or not isinstance(self.scale, int) or not 1 <= self.scale <= MAX_SCALE:
            raise InputError(f"scale must be a whole number in [1, {MAX_SCALE}], got {self.scale}")
        check_share("fidelity", self.fidelity)
        check_share("keep_grain", self.keep_grain)
        check_choice("output_type", self.output_type, OutputType)


@dataclass(frozen=True, kw_only=True)
class FastRestoreOptions(RestoreOptions):
    """What models of one pass take."""

    instruction: InstructionOption = None
    embedding: Annotated[
        Any,
        Flag(
            name="--embeddings",
            kind=Path,
            metavar="CACHE",
            help="What a guide said of the pictures, written by `ldrestore guide`; for models that take embeddings.",
        ),
        Recorded.HASH,
    ] = None
    degradations: DegradationsOption = None


@dataclass(frozen=True, kw_only=True)
class SamplingOptions(RestoreOptions):
    """What models that sample take, whatever they stand upon."""

    degradations: DegradationsOption = None
    num_inference_steps: StepsOption = None
    strength: Annotated[
        float,
        Flag(
            name="--strength",
            kind=float,
            minimum=0.0,
            maximum=1.0,
            metavar="S",
            shows_default=True,
            help="Part of the schedule that is gone through: 1 starts from pure noise, less from the picture with "
            "noise upon it.",
        ),
    ] = 1.0
    seed: Annotated[
        int | None,
        Flag(
            name="--seed",
            kind=int,
            minimum=0,
            maximum=MAX_SEED,
            metavar="N",
            shows_default="0",
            help="Start of the random numbers, of which each picture draws by its own pixels.",
        ),
    ] = None
    generator: Annotated[Any, Recorded.NOTHING] = None
    """A torch.Generator that draws the seed of the run, in place of `seed`."""
    refine: Annotated[
        bool,
        Flag(name="--no-refine", kind=bool, help="Decode as the autoencoder alone does, without its refinement."),
    ] = True
    colour_fix: Annotated[
        ColourFix,
        Flag(
            name="--colour-fix",
            choices=get_args(ColourFix),
            shows_default=True,
            help="Take tones from the input: its low frequencies, or its mean and contrast; off for pictures whose "
            "light or colour is what is wrong.",
        ),
    ] = "off"
    callback_on_step_end: Annotated[Any, Recorded.NOTHING] = None
    """Called after each step of the sampling, as in diffusers; what it changes is not in the record."""

    def __post_init__(self) -> None:
        """Check what hangs on no model; ranges of steps and strength hang on the scheduler.

        Raises:
            InputError: an option is out of range.
        """
        super().__post_init__()
        check_choice("colour_fix", self.colour_fix, ColourFix)


@dataclass(frozen=True, kw_only=True)
class StableRestoreOptions(SamplingOptions):
    """What models that sample upon Stable Diffusion 2.1 take."""


@dataclass(frozen=True, kw_only=True)
class XLRestoreOptions(SamplingOptions):
    """What models that sample upon SDXL take."""

    instruction: InstructionOption = None
    prompt: Annotated[
        Any,
        Flag(
            name="--prompt",
            metavar="TEXT",
            help="What all pictures show, in English, such as 'a house by the sea'; for models upon SDXL. Without it "
            "none is assumed.",
        ),
    ] = None
    guidance_scale: Annotated[
        float,
        Flag(
            name="--guidance",
            kind=float,
            minimum=1.0,
            metavar="G",
            shows_default=True,
            help="How far to go from what is predicted without texts to what is predicted with them; above 1 it takes "
            "twice the time.",
        ),
    ] = 1.0

    def __post_init__(self) -> None:
        """Check what hangs on no model.

        Raises:
            InputError: an option is out of range.
        """
        super().__post_init__()
        if not 1 <= self.guidance_scale < math.inf:
            raise InputError(f"guidance_scale must be a number from 1 on, got {self.guidance_scale}")


def declared_options(options_class: type[RestoreOptions]) -> tuple[DeclaredOption, ...]:
    """All options of a track, those of all tracks first.

    Args:
        options_class: `RestoreOptions` or a dataclass upon it.
    """
    hints = typing.get_type_hints(options_class, include_extras=True)
    options = []
    for field in fields(options_class):
        marks = getattr(hints[field.name], "__metadata__", ())
        flag = next((mark for mark in marks if isinstance(mark, Flag)), None)
        options.append(
            DeclaredOption(
                name=field.name,
                default=field.default,
                flag=flag,
                recorded=next((mark for mark in marks if isinstance(mark, Recorded)), None),
                shown_default=None if flag is None else _shown(field.default, flag.shows_default),
            )
        )
    return tuple(options)


def _shown(default: Any, how: bool | str) -> str | None:
    """What the help says of a default; None for nothing."""
    if isinstance(how, str) or not how:
        return how or None
    return f"{default:g}" if isinstance(default, float) else str(default)


def make_options(
    options_class: type[RestoreOptions], given: Mapping[str, Any], *, owner: str, more: tuple[str, ...] = ()
) -> RestoreOptions:
    """Options of a track, of what was given by name.

    Args:
        options_class: Of the track.
        given: Name to value; what is missing keeps its default.
        owner: Whose options they are, for the message, e.g. "FastRestorePipeline".
        more: Other names that may stand beside them where they come from, for the message.

    Raises:
        UnknownNameError: the track has no such option; the closest ones are named.
    """
    known = [field.name for field in fields(options_class)]
    for name in given:
        if name not in known:
            raise UnknownNameError(f"option of {owner}", name, [*known, *more])
    return options_class(**given)


def recorded_options(options: RestoreOptions, resolved: Mapping[str, Any]) -> dict[str, Any]:
    """What the record of a result keeps of the options, as plain values.

    Args:
        options: Of the call.
        resolved: Name to what stands in the record instead of the value: plain values for a thing, or its hash; of
            options that are recorded by their hash, all.
    """
    record = {}
    for option in declared_options(type(options)):
        if option.recorded is Recorded.HASH:
            record[f"{option.name}_sha256"] = resolved[option.name]
        elif option.recorded is None:
            record[option.name] = resolved.get(option.name, getattr(options, option.name))
    return record


def given_options(options: RestoreOptions) -> dict[str, Any]:
    """Name to value of the options that are not at their default."""
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    defaults = {field.name: field.default for field in fields(options)}
    return {
        name: value for name, value in values.items() if value is not defaults[name] and not _is(value, defaults[name])
    }


def _is(value: Any, default: Any) -> bool:
    """Whether a plain value is the default; arrays and tensors never are."""
    return isinstance(value, (str, int, float, bool)) and type(value) is type(default) and value == default
