"""The layout of `results.json` as JSON Schema, made of the dataclasses that read it."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from ldrestore.evaluation.results import RESULTS_VERSION, Results

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}
_INFINITE = {"type": "string", "enum": ["inf", "-inf", "nan"]}


def results_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12, of a results file of this version."""
    definitions: dict[str, Any] = {}
    root = _of_dataclass(Results, definitions)
    root["properties"]["version"] = {"const": RESULTS_VERSION}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Results of ldrestore bench",
        **root,
        "$defs": definitions,
    }


def _of_dataclass(kind: type[Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """An object with the fields of a dataclass and no others."""
    hints = typing.get_type_hints(kind)
    required = [each.name for each in dataclasses.fields(kind) if _is_required(each)]
    return {
        "type": "object",
        "description": (kind.__doc__ or "").partition("\n")[0],
        "properties": {each.name: _of_hint(hints[each.name], definitions) for each in dataclasses.fields(kind)},
        "required": required,
        "additionalProperties": False,
    }


def _of_hint(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """What a type allows."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_of_hint(part, definitions) for part in arguments]}
    if hint is type(None):
        return {"type": "null"}
    if origin is tuple:
        return {"type": "array", "items": _of_hint(arguments[0], definitions)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _of_hint(arguments[1], definitions)}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if hint.__name__ not in definitions:
            definitions[hint.__name__] = {}
            definitions[hint.__name__] = _of_dataclass(hint, definitions)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    if hint is float:
        return {"anyOf": [{"type": "number"}, _INFINITE]}
    return {"type": _PLAIN[hint]} if hint in _PLAIN else {}


def _is_required(each: "dataclasses.Field[Any]") -> bool:
    """Whether a field has no default."""
    return each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
