"""What a request to the HTTP interface must look like; gradio's own words for a wrong one are of its insides."""

import json
from collections.abc import Callable
from typing import Any

_NUM_VALUES = {"restore": 9, "estimate": 2, "models": 0}
"""Calls of the HTTP interface, and how many values each takes."""
FILE_PLACES = {"restore": (0, 5), "estimate": (0,), "models": ()}
"""Which of its values are files."""
OWN_PREFIX = "page_"
"""Of the calls that the page itself makes."""
WAYS = ("/call/", "/api/", "/run/")
"""What stands before a call's name in an address: gradio's present way, and two older ones that it still answers."""
_UNNAMED = "predict"
"""In the place of a name where gradio's own script numbers what it calls."""


def called_name(path: str) -> str | None:
    """The call that a request's path begins, such as "restore" of `/gradio_api/call/restore`; None for other paths."""
    for way in WAYS:
        before, mark, name = path.rstrip("/").rpartition(way)
        if mark and "/" not in name and name != _UNNAMED and way.rstrip("/") not in before:
            return name
    return None


def fault_of_call(name: str, body: bytes, *, is_stored: Callable[[str], bool]) -> tuple[int, str] | None:
    """Why a call is refused.

    Args:
        name: Of the call.
        body: Of the request.
        is_stored: Whether a path is one of the page's files.

    Returns:
        Status and words; None for a call that can be handed on.
    """
    if name.startswith(OWN_PREFIX):
        return None
    if name not in _NUM_VALUES:
        return 404, f"there is no such call; there are {', '.join(sorted(_NUM_VALUES))}"
    try:
        data = json.loads(body)["data"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 422, 'send JSON such as {"data": [...]}, with the values in their order'
    expected = _NUM_VALUES[name]
    if not isinstance(data, list) or len(data) != expected:
        came = f"{len(data)}" if isinstance(data, list) else "no list"
        return 422, f"data must have {expected} values for {name}, got {came}; see the page's documentation"
    for place in FILE_PLACES[name]:
        fault = _fault_of_file(data[place], is_stored)
        if fault is not None:
            return 422, f"value {place + 1} of data {fault}"
    return None


def _fault_of_file(value: Any, is_stored: Callable[[str], bool]) -> str | None:  # Any: what JSON may hold
    """Why a value is no uploaded file; None where it is one, or none is sent."""
    if value is None:
        return None
    meta = value.get("meta") if isinstance(value, dict) else None
    if not isinstance(meta, dict) or meta.get("_type") != "gradio.FileData" or not isinstance(value.get("path"), str):
        return 'must be an uploaded file, {"path": "...", "meta": {"_type": "gradio.FileData"}}, or null'
    if not is_stored(value["path"]):
        return "names no file that was uploaded here; upload it first, then name the path that the upload gives"
    return None
