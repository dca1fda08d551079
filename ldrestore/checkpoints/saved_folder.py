"""What is checked of a saved pipeline before anything of it is loaded."""

import inspect
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ldrestore.assets.catalog import embedded_folder
from ldrestore.errors import WeightsError
from ldrestore.registry import resolve
from ldrestore.weights.file_names import ORIGIN_FILE
from ldrestore.weights.fitting import check_fit, read_shapes
from ldrestore.weights.folders import find_model_folder, read_json
from ldrestore.weights.hashes import cached_hash

NO_PART = (None, [None, None])
"""What an index says of a part that is left out; the first is from before there was such a part."""


def find_saved_pipeline(name_or_path: str | Path, *, revision: str | None, local_files_only: bool) -> tuple[Path, str]:
    """The folder of a saved pipeline, and the name that it goes by, which tells nothing of this disk.

    Args:
        name_or_path: A name of `list_models()`, which wins over a folder called so; a folder; or a Hub repository
            "owner/name".
        revision: Branch, tag or commit of the repository.
        local_files_only: Whether only the cache of the Hub is looked into.

    Raises:
        WeightsUnavailableError: nothing lies there, or it cannot be fetched.
    """
    embedded = embedded_folder(name_or_path)
    folder = find_model_folder(embedded or name_or_path, revision=revision, local_files_only=local_files_only)
    is_named = embedded is not None or not os.path.isdir(name_or_path)
    return folder, str(name_or_path) if is_named else folder.resolve().name


def check_saved_networks(
    folder: Path, *, networks: Mapping[str, Collection[str]], optional: Collection[str], pipeline_name: str
) -> None:
    """Hold config and weights of each part of a folder against the class that it names, and import that class's module.

    diffusers finds a component of ours only if its module has been imported, and makes up missing keys with a warning.

    Args:
        folder: Has a model_index.json.
        networks: Name of each part to the classes that it may be of, as "module:class".
        optional: Parts that may be left out.
        pipeline_name: The class that it must be of.

    Raises:
        WeightsUnavailableError: there are no safetensors weights.
        WeightsError: another pipeline, an unknown network, or a config or weights that are not the network's.
    """
    index = read_index(folder, pipeline_name=pipeline_name)
    for name, targets in networks.items():
        if name not in optional or index.get(name) not in NO_PART:
            check_part(folder, index, name, targets=targets)


def check_recorded_weights(folder: Path, network: nn.Module) -> None:
    """Hold weights against the hash that their conversion recorded; a folder without one, or half precision, passes.

    Args:
        folder: Of the pipeline.
        network: Loaded from it.

    Raises:
        WeightsError: they are others.
    """
    if not (folder / ORIGIN_FILE).is_file():
        return
    expected = read_json(folder / ORIGIN_FILE).get("weights_sha256")
    is_full = all(tensor.dtype in (torch.float32, torch.float64) for tensor in network.parameters())
    if expected is not None and is_full and cached_hash(network) != expected:
        raise WeightsError(
            f"the weights of {folder} are not those that were converted, as {ORIGIN_FILE} says; convert again, or "
            "remove that file if they were changed on purpose"
        )


def read_index(folder: Path, *, pipeline_name: str) -> dict[str, Any]:
    """Which class each part of a saved pipeline is of, by the part's name.

    Args:
        folder: Has a model_index.json.
        pipeline_name: The class that the pipeline must be of.

    Raises:
        WeightsError: the file is damaged, or another pipeline's.
    """
    index = read_json(folder / "model_index.json")
    if index.get("_class_name") != pipeline_name:
        raise WeightsError(f"{folder} holds a {index.get('_class_name')}, expected a {pipeline_name}")
    return index


def check_part(folder: Path, index: Mapping[str, Any], name: str, *, targets: Collection[str]) -> None:
    """Hold config and weights of one part against its class, which is imported.

    Args:
        folder: Has a folder of the part's name.
        index: Module and class of each part, as `model_index.json` has them.
        name: Of the part.
        targets: The classes that it may be of, each as "module:class".

    Raises:
        WeightsUnavailableError: there are no safetensors weights.
        WeightsError: another class, or a config or weights that are not that class's.
    """
    network_class = resolve(check_class(folder, index, name, targets=targets))
    config = read_json(folder / name / "config.json")
    known = inspect.signature(network_class.__init__).parameters
    unknown = sorted(key for key in config if not key.startswith("_") and key not in known)
    if unknown:
        raise WeightsError(f"{folder}: {network_class.__name__} takes no {', '.join(unknown)}; upgrade ldrestore")
    try:
        with torch.device("meta"):
            network = network_class.from_config(config)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{folder}: its config builds no {network_class.__name__} ({error})") from error
    check_fit(network, read_shapes(folder / name), source=str(folder / name))


def check_class(folder: Path, index: Mapping[str, Any], name: str, *, targets: Collection[str]) -> str:
    """The class of a part as "module:class".

    Args:
        folder: Of the pipeline.
        index: Module and class of each part.
        name: Of the part.
        targets: The classes that it may be of.

    Raises:
        WeightsError: it is of another.
    """
    component = index.get(name)
    target = ":".join(map(str, component)) if isinstance(component, list) else str(component)
    if target not in targets:
        raise WeightsError(f"{folder} needs the network {target}, unknown to this version; upgrade ldrestore")
    return target
