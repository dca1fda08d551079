"""YAML files and command-line overrides into frozen dataclasses; an unknown key is an error."""

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ldrestore.errors import ConfigError, UnknownNameError

Config = TypeVar("Config")


def load_config(config_class: type[Config], path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Fill a dataclass from a YAML file.

    Args:
        config_class: A dataclass; its fields may be dataclasses, tuples of dataclasses, or plain values.
        path: The YAML file.
        overrides: "key=value" or "section.key=value" strings, the value read as YAML; they win over the file.

    Raises:
        ConfigError: the file is missing or no mapping, a key is unknown or missing, or a value has the wrong type.
    """
    values = read_mapping(Path(path))
    for override in overrides:
        set_override(values, override)
    return build(config_class, values, where=str(path))


def read_mapping(path: Path) -> dict[str, Any]:
    """What a YAML file holds.

    Raises:
        ConfigError: the file is missing, damaged or no mapping.
    """
    if not path.is_file():
        raise ConfigError(f"no configuration file at {path}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a mapping at the top, got {type(values).__name__}")
    return values


def set_override(values: dict[str, Any], override: str) -> None:
    """Set one "section.key=value" in a nested mapping in place.

    Raises:
        ConfigError: no "=" in the override, or a section on the way is not a mapping.
    """
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"expected key=value, got {override!r}")
    *sections, leaf = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{override!r}: {section!r} is not a section")
    try:
        values[leaf] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{override!r}: the value is not valid YAML") from error


def build(config_class: type[Config], values: Mapping[str, Any], where: str = "config") -> Config:
    """Fill a dataclass from a mapping, its nested dataclasses too.

    Raises:
        ConfigError: a key is unknown or missing, or a value has the wrong type.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: expected a mapping, got {values!r}")
    hints = typing.get_type_hints(config_class)
    fields = {field.name: field for field in dataclasses.fields(config_class)}  # type: ignore[arg-type]  # is one
    arguments = {}
    for key, value in values.items():
        if key not in fields:
            raise ConfigError(f"{where}: {UnknownNameError('key', str(key), fields)}")
        arguments[key] = _convert(hints[key], value, f"{where}: {key}")
    missing = [
        name
        for name, field in fields.items()
        if name not in arguments
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{where}: missing {', '.join(missing)}")
    return config_class(**arguments)


def as_plain(config: Any) -> Any:
    """A config as plain dicts, lists and values, ready for YAML or JSON."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {field.name: as_plain(getattr(config, field.name)) for field in dataclasses.fields(config)}
    if isinstance(config, Mapping):
        return {key: as_plain(value) for key, value in config.items()}
    if isinstance(config, (tuple, list)):
        return [as_plain(value) for value in config]
    return str(config) if isinstance(config, Path) else config


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Check one value against its annotation; int passes for float, list for tuple, str for Path."""
    origin = typing.get_origin(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(typing.get_args(hint), value, where)
    if origin is typing.Literal:
        return _convert_choice(typing.get_args(hint), value, where)
    if origin is tuple:
        return _convert_tuple(typing.get_args(hint), value, where)
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected a mapping, got {value!r}")
        return value
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, where)
    if hint is float:
        return _convert_float(value, where)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{where}: expected {getattr(hint, '__name__', hint)}, got {value!r}")
    return value


def _convert_choice(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    """One of some words; YAML 1.1 reads no and off, yes and on as truth values, so these pass for a word of theirs."""
    words = {False: ("no", "off"), True: ("yes", "on")}[value] if isinstance(value, bool) else ()
    for choice in (value, *words):
        if choice in choices:
            return choice
    raise ConfigError(f"{where}: expected one of {choices}, got {value!r}")


def _convert_float(value: Any, where: str) -> float:
    """A number; YAML 1.1 reads 2e-4, without a point, as text, so text that is a number passes too."""
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: expected float, got {value!r}") from error


def _convert_union(options: tuple[Any, ...], value: Any, where: str) -> Any:
    """The first alternative of a union that takes the value."""
    if value is None and type(None) in options:
        return None
    problems = []
    for option in options:
        if option is type(None):
            continue
        try:
            return _convert(option, value, where)
        except ConfigError as error:
            problems.append(str(error))
    raise ConfigError("; or ".join(problems))


def _convert_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    """A YAML list as a typed tuple."""
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{where}: expected a list, got {value!r}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_convert(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if len(arguments) != len(value):
        raise ConfigError(f"{where}: expected {len(arguments)} values, got {len(value)}")
    return tuple(_convert(kind, item, where) for kind, item in zip(arguments, value, strict=True))
