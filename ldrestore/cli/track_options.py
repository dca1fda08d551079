"""Options of all tracks on the command line, made of what the tracks declare."""

from collections.abc import Mapping
from dataclasses import field, make_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ldrestore.cli.completion import complete_degradations
from ldrestore.cli.shared_options import refuse_nan
from ldrestore.options import DeclaredOption, Flag
from ldrestore.tracks import options_of_all

_COMPLETIONS = {"degradations": complete_degradations}
_CLICK_TYPES = {int: int, float: float, str: str, Path: Path}


def with_track_options(call: type, names: Mapping[str, tuple[str, ...]] | None = None) -> type:
    """A command's call with the options of all registered tracks behind its own.

    Args:
        call: A keyword-only dataclass whose fields are arguments and options of the command.
        names: Name of a track to those of its options that are wanted; None for all.

    Returns:
        A dataclass upon it, for `typer`, which reads the arguments of its call.
    """
    fields = [
        (name, _annotation(option), field(default=False if _is_switch(option) else None))
        for name, option in options_of_all(names).items()
    ]
    return make_dataclass(call.__name__, fields, bases=(call,), kw_only=True, namespace={"__doc__": call.__doc__})


def given_to(call: Any, names: Mapping[str, tuple[str, ...]] | None = None) -> dict[str, Any]:
    """What the user said of the tracks' options, by the keyword of the pipelines' calls.

    Args:
        call: An instance of what `with_track_options` made.
        names: As there.

    Raises:
        InputError: a word means nothing.
    """
    given = {}
    for name, option in options_of_all(names).items():
        value = getattr(call, name)
        if value is None or (_is_switch(option) and value is False):
            continue
        given[name] = _value(option, value)
    return given


def _value(option: DeclaredOption, value: Any) -> Any:
    """The value of an option that was given."""
    flag = _flag(option)
    if _is_switch(option):
        return not option.default
    value = value.value if isinstance(value, StrEnum) else value
    return value if flag.read is None else flag.read(value)


def _annotation(option: DeclaredOption) -> Any:
    """What typer is to read, in its own words."""
    flag = _flag(option)
    if _is_switch(option):
        return Annotated[bool, typer.Option(flag.name, help=flag.help)]
    kind = _choices(flag) if flag.choices else _CLICK_TYPES[flag.kind]
    argument = typer.Option(
        flag.name,
        help=flag.help,
        metavar=flag.metavar,
        min=flag.minimum,
        max=flag.maximum,
        callback=refuse_nan if flag.kind is float else None,
        show_default=False if option.shown_default is None else option.shown_default,
        autocompletion=_COMPLETIONS.get(option.name),
    )
    return Annotated[kind | None, argument]


def _choices(flag: Flag) -> Any:
    """The words of a flag, as typer takes them in all versions."""
    name = "".join(part.capitalize() for part in flag.name.strip("-").split("-"))
    return StrEnum(name, {word.upper(): word for word in flag.choices})


def _is_switch(option: DeclaredOption) -> bool:
    """Whether the option's flag has no word."""
    return _flag(option).kind is bool


def _flag(option: DeclaredOption) -> Flag:
    """The flag of an option that has one."""
    assert option.flag is not None, option.name
    return option.flag
