"""The models that a page offers by name: the embedded ones, and those of one folder."""

from dataclasses import dataclass
from pathlib import Path

from ldrestore.assets.catalog import MODELS
from ldrestore.errors import ConfigError, UnknownNameError, printable
from ldrestore.weights.file_names import ADAPTERS_FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedModel:
    """One model, as the page names it."""

    name: str
    """As it is chosen."""
    location: str
    """As `restorers.load_restorer` takes it."""
    summary: str
    """One line on what it is good for."""


def offered_models(folder: Path | None) -> dict[str, OfferedModel]:
    """Name to model; nothing else can be loaded through the page.

    Args:
        folder: Its sub-folders that hold a model are offered under their own names, and .onnx files too; None for none.

    Raises:
        ConfigError: no such folder, it holds no model, or one is called like an embedded one or in no letters.
    """
    offered = {
        record.name: OfferedModel(name=record.name, location=record.name, summary=record.summary) for record in MODELS
    }
    if folder is None:
        return offered
    if not folder.is_dir():
        raise ConfigError(f"--models takes a folder of models, got {printable(folder)}")
    found = sorted(path for path in folder.iterdir() if _is_model(path))
    if not found:
        raise ConfigError(f"{printable(folder)} holds no folder with a model and no .onnx file; see ldrestore fetch")
    for path in found:
        if printable(path.name) != path.name:
            raise ConfigError(f"{printable(path)} has a name that a page cannot show; rename the folder")
        if path.name in offered:
            raise ConfigError(f"{printable(path)} is called like an embedded model; rename the folder")
        summary = "an exported network" if path.is_file() else "a model of yours"
        offered[path.name] = OfferedModel(name=path.name, location=str(path.resolve()), summary=summary)
    return offered


def find_offered(models: dict[str, OfferedModel], name: object) -> OfferedModel:
    """A model by the name that a visitor gave.

    Raises:
        UnknownNameError: it is not offered.
    """
    if not isinstance(name, str) or name not in models:
        raise UnknownNameError("model", f"{name!s:.80}", models)
    return models[name]


def _is_model(path: Path) -> bool:
    """Whether there is something to load."""
    if path.suffix.lower() == ".onnx":
        return path.is_file()
    return any((path / name).is_file() for name in ("model_index.json", ADAPTERS_FILE))
