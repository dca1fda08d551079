"""Folders of weights, found on the disk or fetched from the Hub, and the small files that lie in them."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HFValidationError

from ldrestore.errors import WeightsError, WeightsUnavailableError
from ldrestore.weights.file_names import MODEL_FILES

_fetched: dict[tuple[object, ...], Path] = {}
"""What this process has fetched: the Hub is asked once for each repository, not for each picture."""


def find_folder(
    name_or_path: str | Path,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    patterns: Sequence[str] = MODEL_FILES,
) -> Path:
    """A folder of weights, fetched from the Hub where it is not on the disk.

    Args:
        name_or_path: A folder, or a Hub repository "owner/name"; HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE are honoured.
        revision: Branch, tag or commit of the repository.
        local_files_only: Whether only the cache is looked into.
        patterns: Names of the files that are fetched, as globs.

    Raises:
        WeightsUnavailableError: nothing lies there, or it cannot be fetched.
    """
    folder = Path(name_or_path)
    if os.path.isdir(folder):  # of names that are too long the method raises
        return folder
    request = (str(name_or_path), revision, tuple(patterns), constants.HF_HUB_CACHE, constants.ENDPOINT)
    folder = _fetched.get(request, folder)
    if not os.path.isdir(folder):
        try:
            folder = Path(
                snapshot_download(
                    str(name_or_path),
                    revision=revision,
                    local_files_only=local_files_only,
                    allow_patterns=list(patterns),
                )
            )
        except (OSError, HFValidationError) as error:  # no connection, no such repository, no such name
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise WeightsUnavailableError(
                f"no folder {str(name_or_path)!r}, and it cannot be fetched from the Hub ({reason}); give the path of "
                "a local folder, set HF_ENDPOINT to a mirror, or fill the cache on a connected machine and set "
                "HF_HUB_OFFLINE=1"
            ) from error
        if not local_files_only:  # a cache may hold a part only
            _fetched[request] = folder
    return folder


def find_model_folder(name_or_path: str | Path, *, revision: str | None = None, local_files_only: bool = False) -> Path:
    """The folder of a saved pipeline, fetched from the Hub where it is not on the disk.

    Args:
        name_or_path: A folder, or a Hub repository "owner/name"; HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE are honoured.
        revision: Branch, tag or commit of the repository.
        local_files_only: Whether only the cache is looked into.

    Raises:
        WeightsUnavailableError: nothing lies there, or it cannot be fetched.
    """
    folder = find_folder(name_or_path, revision=revision, local_files_only=local_files_only)
    if not (folder / "model_index.json").is_file():
        raise WeightsUnavailableError(f"{folder} is no saved pipeline: it has no model_index.json; name its folder")
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that belongs to a model.

    Raises:
        WeightsError: it is damaged, or holds no object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} cannot be read as JSON ({error}); fetch the model again") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds no JSON object; fetch the model again")
    return content
