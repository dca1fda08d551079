"""A model of one's own to the Hub: its files, and a card that says what it is."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from shutil import copyfile
from typing import Any

import yaml
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from ldrestore import __version__
from ldrestore.errors import InputError, UploadError, WeightsUnavailableError
from ldrestore.registry import resolve
from ldrestore.restorers import load_restorer
from ldrestore.tracks import track_of
from ldrestore.weights.file_names import MODEL_FILES, ORIGIN_FILE
from ldrestore.weights.folders import read_json
from ldrestore.weights.hashes import hash_of_file

CARD = "README.md"
"""Of a repository."""
_LICENCES = frozenset(
    {"apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "agpl-3.0", "openrail++", "creativeml-openrail-m"}
    | {"cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"}
)
"""Licences that the Hub knows by name, as it spells them."""


def push_to_hub(
    folder: str | Path,
    repository: str,
    *,
    licence: str | None = None,
    private: bool = False,
    message: str | None = None,
    new_card: bool = False,
) -> str:
    """Upload a model folder: configs, safetensors and card, nothing else of it.

    The model is loaded first, so that a damaged one is not published; the token is that of `hf auth login` or HF_TOKEN.

    Args:
        folder: Of a model, as `save_pretrained`, `convert`, `assemble` or a training run write it.
        repository: "owner/name"; made if it is missing.
        licence: Of the weights; None for what the folder says.
        private: Whether a new repository is for its owner alone.
        message: Of the commit.
        new_card: Whether a card is generated even where the folder has one.

    Returns:
        Address of the commit.

    Raises:
        InputError: nobody says what the licence is.
        WeightsUnavailableError: there is no such folder.
        WeightsError: the model is damaged.
        UploadError: the Hub does not take it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise WeightsUnavailableError(f"no folder of a model at {folder}; save, convert or assemble one first")
    card = folder / CARD
    text = model_card(folder, repository, licence=licence) if new_card or not card.is_file() else None
    if text is None:
        load_restorer(folder, device="cpu")
    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        with tempfile.TemporaryDirectory() as place:
            for path in _files_of(folder):
                target = Path(place) / path.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                copyfile(path, target)
            if text is not None:
                (Path(place) / CARD).write_text(text, encoding="utf-8")
            commit = api.upload_folder(
                repo_id=repository,
                folder_path=place,
                commit_message=message or f"Upload a model of ldrestore {__version__}",
            )
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UploadError(
            f"{repository} cannot be written ({reason}); log in with `hf auth login`, or set HF_TOKEN to a token "
            "that may write there"
        ) from error
    return str(commit)


def model_card(folder: str | Path, repository: str, *, licence: str | None = None) -> str:
    """The card of a model, of what its folder and its networks tell; it claims no quality.

    Args:
        folder: Of the model.
        repository: Where it will lie.
        licence: Of the weights; None for what the folder says.

    Raises:
        InputError: nobody says what the licence is.
        WeightsError: the model is damaged.
    """
    folder = Path(folder)
    origin = read_json(folder / ORIGIN_FILE) if (folder / ORIGIN_FILE).is_file() else {}
    stated = licence or str(origin.get("weights_licence", "not stated"))
    if stated.startswith("not stated"):
        raise InputError("nobody says under which licence these weights are; say it with licence (--licence)")
    pipeline = load_restorer(folder, device="cpu")
    track = track_of(pipeline)
    facts: Mapping[str, Any] = resolve(track.facts)(pipeline)
    hashes = {path.relative_to(folder).as_posix(): hash_of_file(path) for path in _files_of(folder, ".safetensors")}
    head = {
        "library_name": "ldrestore",
        **_licence_of(stated),
        "pipeline_tag": "image-to-image",
        "tags": ["image-restoration", "ldrestore", track.name],
        **_base_of(facts),
    }
    lines = [
        f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---",
        f"# {repository.rpartition('/')[2]}",
        f"{_sentence(facts, track.name)} Made with ldrestore {__version__}; licence of the weights: {stated}.",
        f"```bash\nldrestore restore photo.jpg better.jpg --model {repository}\n```",
        f'```python\nimport ldrestore\n\noutput = ldrestore.restore("photo.jpg", model="{repository}")\n'
        'output.photos[0].save("better.png")\n```',
        "## What it is\n\n" + _table(_plain(facts)),
        *(["## Where its weights come from\n\n" + _table(origin)] if origin else []),
        "## Limits\n\nNo figures are claimed here. Measure it on your own pictures before you rely on it: "
        f"`ldrestore bench builtin --model {repository} --out results`. A restorer may invent detail; `--fidelity` and "
        "`--changes` show and bound what it does.",
        "## Files\n\n" + _table(hashes),
    ]
    return "\n\n".join(lines) + "\n"


def _files_of(folder: Path, suffix: str | None = None) -> list[Path]:
    """What is published of a folder: never code, never a pickle."""
    found = {path for pattern in MODEL_FILES for path in folder.rglob(pattern) if path.is_file()}
    return sorted(path for path in found if suffix is None or path.suffix == suffix)


def _sentence(facts: Mapping[str, Any], track: str) -> str:
    """What a model is, in a line."""
    parameters = facts.get("parameters")
    size = f", {parameters / 1e6:.1f} million parameters" if isinstance(parameters, int) else ""
    return f"A restorer of damaged pictures: {facts.get('architecture')}, {track} track{size}."


def _licence_of(stated: str) -> dict[str, str]:
    """What the head of a card says of the licence."""
    name = stated.lower()
    return {"license": name} if name in _LICENCES else {"license": "other", "license_name": stated}


def _base_of(facts: Mapping[str, Any]) -> dict[str, str]:
    """The base for the card's head, where it lies on the Hub."""
    base = facts.get("base")
    name = base.get("name") if isinstance(base, Mapping) else None
    return {"base_model": name} if isinstance(name, str) and name.count("/") == 1 else {}


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts that say something, as text."""
    shown = {}
    for name, value in facts.items():
        if value in (None, [], {}, ()):
            continue
        if isinstance(value, Mapping):
            value = "; ".join(f"{key}: {part}" for key, part in value.items() if part is not None)
        elif isinstance(value, (list, tuple)):
            value = ", ".join(map(str, value))
        shown[name] = value
    return shown


def _table(rows: Mapping[str, Any]) -> str:
    """Two columns of Markdown, in which no cell begins a column of its own."""
    cells = [(str(name), str(value).replace("|", "\\|").replace("\n", " ")) for name, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in cells)])
