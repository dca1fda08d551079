"""Whether the files of a checkpoint are what was written: found out before anything of them is loaded.

Hashes of all files lie in `files.json`. Checkpoints from before there was one are held against what their formats tell:
the length that a safetensors header announces, and the checksums inside of what torch saves.
"""

import json
import zipfile
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ldrestore.errors import WeightsError
from ldrestore.weights.hashes import hash_of_file

HASHES_FILE = "files.json"
"""SHA-256 of every other file, by its path within the checkpoint."""


def write_hashes(folder: Path) -> None:
    """Hash all files of a checkpoint that is about to be complete."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    hashes = {path.relative_to(folder).as_posix(): hash_of_file(path) for path in paths}
    (folder / HASHES_FILE).write_text(json.dumps(hashes, indent=2) + "\n", encoding="utf-8")


def check_files(folder: Path) -> None:
    """Refuse a checkpoint with a damaged or missing file.

    Args:
        folder: Of the checkpoint.

    Raises:
        WeightsError: names the first such file.
    """
    record = folder / HASHES_FILE
    if not record.is_file():
        _check_formats(folder)
        return
    for name, digest in _read_object(record).items():
        path = folder / name
        if not path.is_file():
            raise damage_of(path, "is missing")
        try:
            is_intact = hash_of_file(path) == digest
        except OSError as error:
            raise damage_of(path, f"cannot be read ({error.strerror})") from error
        if not is_intact:
            raise damage_of(path, "is not what was written")


def read_progress(folder: Path) -> dict[str, object]:
    """Step, number of processes and config of a checkpoint.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    path = folder / "progress.json"
    progress = _read_object(path)
    kinds = {"step": int, "num_processes": int, "config": dict}
    if not all(isinstance(progress.get(name), kind) for name, kind in kinds.items()):
        raise damage_of(path, "lacks step, num_processes or config")
    return progress


def damage_of(path: Path, reason: str) -> WeightsError:
    """The error of a damaged file, with the way out."""
    return WeightsError(
        f"{path} {reason}; the checkpoint is damaged: go on from the next older one with --resume auto --skip-damaged, "
        "or name another one's folder"
    )


def _check_formats(folder: Path) -> None:
    """Hold each file against its own format.

    Raises:
        WeightsError: one is damaged.
    """
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            if path.suffix == ".safetensors":
                with safe_open(path, framework="pt"):
                    pass
            elif path.suffix in (".bin", ".pt", ".pkl"):
                with zipfile.ZipFile(path) as archive:
                    if archive.testzip() is not None:
                        raise damage_of(path, "is not what was written")
            elif path.suffix == ".json":
                _read_object(path)
        except WeightsError:
            raise
        except Exception as error:  # a damaged file makes its reader raise anything
            reason = str(error) if isinstance(error, SafetensorError) else type(error).__name__
            raise damage_of(path, f"cannot be read ({reason})") from error


def _read_object(path: Path) -> dict[str, object]:
    """A JSON object.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise damage_of(path, "is missing") from None
    except (OSError, ValueError) as error:
        raise damage_of(path, f"cannot be read ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise damage_of(path, "holds no JSON object")
    return content
