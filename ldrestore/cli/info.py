"""`ldrestore info`: all that is known of one model."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ldrestore.cli.completion import complete_models
from ldrestore.cli.console import print_json, print_table
from ldrestore.cli.shared_options import BaseOption, ListJsonOption
from ldrestore.errors import WeightsError, printable

INFO_EXAMPLES = """\b
Examples:
  ldrestore info default
  ldrestore info nafnet-sidd --json
"""
"""Shown below the help; the first character keeps the lines as they are."""


def info_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A name that `ldrestore models` lists, or the folder of a model.",
            autocompletion=complete_models,
        ),
    ],
    base: BaseOption = None,
    as_json: ListJsonOption = False,
) -> None:
    """Tell all that is known of one model.

    What it is for, its licence, its size, the instructions or the degradations that it takes, its base, the hashes of
    its weights, its model card. The model is loaded, so that a damaged one is found out.
    """
    facts = _facts(model, base=base)
    if as_json:
        print_json(facts)
        raise typer.Exit()
    shown = {**facts, **{name: facts.get(name) or "takes none" for name in ("instructions", "degradations")}}
    rows = [(name, _text(value)) for name, value in shown.items() if name != "card" and value is not None]
    print_table(("fact", "value"), rows)
    if facts["card"]:
        print("", *map(printable, facts["card"].splitlines()), sep="\n")


def _facts(model: str, *, base: str | None) -> dict[str, Any]:
    """What is known of a model: its record, what its folder says, what its pipeline is.

    Raises:
        UnknownNameError: neither a model's name nor a folder.
        WeightsError: the weights are missing, or do not fit.
    """
    from ldrestore.assets.catalog import MODELS, embedded_folder
    from ldrestore.registry import resolve
    from ldrestore.restorers import load_restorer
    from ldrestore.tracks import track_of
    from ldrestore.weights.file_names import ORIGIN_FILE

    pipeline = load_restorer(model, base=base, device="cpu")
    track = track_of(pipeline)
    facts = {"track": track.name, **resolve(track.facts)(pipeline)}
    folder = embedded_folder(model) or Path(model)
    return {
        **(asdict(MODELS.get(model)) if model in MODELS else {}),
        "name": model,
        **facts,
        "provenance": facts.get("provenance") or _read_json(folder / ORIGIN_FILE),
        "weights_sha256": _hashes(folder),
        "card": _read_text(folder / "README.md"),
    }


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every weight file of a model folder, by its path inside it; or of the one exported file."""
    from ldrestore.weights.hashes import hash_of_file

    if folder.is_file():
        return {folder.name: hash_of_file(folder)}
    return {path.relative_to(folder).as_posix(): hash_of_file(path) for path in sorted(folder.rglob("*.safetensors"))}


def _read_json(path: Path) -> Any:
    """What a JSON file of a model folder says; None where there is no such file.

    Raises:
        WeightsError: the file is damaged.
    """
    try:
        return json.loads(_read_text(path) or "null")
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is no valid JSON ({error}); get an intact copy of the model folder") from error


def _read_text(path: Path) -> str | None:
    """Text of a file, whose bytes that are no UTF-8 are shown as such; None where there is no such file."""
    return path.read_text(encoding="utf-8", errors="backslashreplace") if path.is_file() else None


def _text(value: Any) -> str:
    """A fact as a person reads it."""
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_text(inner)}" for key, inner in value.items() if inner is not None)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return f"{value:,}" if type(value) is int else str(value)
