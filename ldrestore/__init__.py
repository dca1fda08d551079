"""ldrestore: restore damaged pictures with diffusion priors and small blind networks.

Importing this package imports neither torch nor diffusers; the names below are resolved on first use.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "FastRestorePipeline": "ldrestore.pipelines.pipeline_fast_restore",
    "ForeignRestorePipeline": "ldrestore.pipelines.pipeline_foreign_restore",
    "RestoreOutput": "ldrestore.pipelines.pipeline_output",
    "StableRestorePipeline": "ldrestore.pipelines.pipeline_stable_restore",
    "XLRestorePipeline": "ldrestore.pipelines.pipeline_xl_restore",
    "list_models": "ldrestore.restorers",
    "load_restorer": "ldrestore.restorers",
    "restore": "ldrestore.restorers",
}

__all__ = ["__version__", *sorted(_LAZY)]

# In a checkout `pipelines/`, `training/` and `configs/` lie beside this package, in a wheel inside it. With the root on
# the path, they are found as sub-packages too, installed or not.
_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "pyproject.toml").is_file() and (_checkout / "pipelines").is_dir():
    __path__.append(str(_checkout))


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Public names, for completion."""
    return sorted({*globals(), *_LAZY})
