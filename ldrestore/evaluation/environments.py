"""What figures may depend on beside models and pictures: machine, device, threads, versions."""

import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from ldrestore import __version__
from ldrestore.records import RECORDED_PACKAGES

_PACKAGES = (*RECORDED_PACKAGES, "transformers", "safetensors", "imagecodecs")


@lru_cache(maxsize=8)
def environment_of(device: str) -> dict[str, Any]:
    """Machine, device, threads and versions, in plain values without names or paths of this machine."""
    is_gpu = device != "cpu" and torch.cuda.is_available()
    return {
        "ldrestore": __version__,
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if is_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "packages": {name: _version_or_none(name) for name in _PACKAGES},
    }


def version_of_packages(*names: str) -> str:
    """Packages with their versions, in one line."""
    return ", ".join(f"{name} {_version_or_none(name) or 'absent'}" for name in names)


def _version_or_none(name: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
