"""Which parts a pipeline upon a diffusion model has: what saves, checks and loads takes such a table as an argument."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldrestore.errors import WeightsError


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseLayout:
    """A kind of diffusion model that is trained upon, as diffusers saves it."""

    title: str
    """As messages call it."""
    networks: Mapping[str, str]
    """Parts of diffusers that have weights, and the one class of each as "module:class"."""
    text_encoders: Mapping[str, str]
    """The same for parts of transformers."""
    tokenizers: tuple[str, ...]
    """Parts that have none; a base may lack them."""
    schedule: Mapping[str, Any]
    """How it was trained: arguments of `DDIMScheduler`, for a base without a scheduler."""
    prediction_advice: str
    """What to give as the prediction type where nothing tells it."""
    check_unet: Callable[[Mapping[str, Any]], None]
    """Refuses the configuration of another kind's U-Net with a WeightsError."""
    read_file: Callable[[Path], dict[str, Any]]
    """Parts of a single file, by name, without a scheduler; raises a WeightsError for damage and other kinds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartTable:
    """The parts of one system's pipeline."""

    pipeline: str
    """Name of the pipeline's class."""
    base: BaseLayout
    """What it stands upon."""
    towers: Mapping[str, str]
    """Frozen parts of transformers beside the base, and the one class of each."""
    trained: Mapping[str, str]
    """What is trained upon it, and the one class of each; the modules are those that saved folders name."""
    optional: tuple[str, ...]
    """What may be left out, of all parts."""
    tuned: tuple[str, ...] = ()
    """Networks of the base that training may have changed; adapters alone then hold them whole."""

    @property
    def exported(self) -> dict[str, str]:
        """What runs export and adapters hold, and the one class of each."""
        return {**self.trained, **{name: self.base.networks[name] for name in self.tuned}}

    @property
    def frozen(self) -> tuple[str, ...]:
        """What adapters alone point at and do not copy."""
        return (*self.base.networks, *self.base.text_encoders, *self.towers)

    @property
    def needed(self) -> tuple[str, ...]:
        """What no pipeline is without."""
        known = (*self.frozen, "scheduler", *self.trained)
        return tuple(name for name in known if name not in self.optional)


def check_present(parts: Mapping[str, Any], needed: Sequence[str], *, table: PartTable) -> None:
    """Refuse parts that do not make a pipeline: one is missing, or the U-Net is of another kind of base.

    Args:
        parts: By name, as the pipeline's constructor calls them.
        needed: What there must be.
        table: Of the pipeline.

    Raises:
        WeightsError: they do not.
    """
    missing = [name for name in needed if parts.get(name) is None]
    if missing:
        raise WeightsError(f"a {table.pipeline} needs {', '.join(missing)}; give all of {', '.join(needed)}")
    table.base.check_unet(parts["unet"].config)


def check_sizes(pairs: Sequence[tuple[str, Any, str, Any]]) -> None:
    """Refuse parts whose sizes differ where they meet.

    Args:
        pairs: Name of a part and its size, name of the other and what that needs.

    Raises:
        WeightsError: two do not fit.
    """
    for name, size, other, needed in pairs:
        if size != needed:
            raise WeightsError(
                f"{name} and {other} do not fit: {size} and {needed}; the adapters are another base's, or the parts "
                "are of different models"
            )


def text_width(unet: Any) -> int:
    """Width of the tokens that a U-Net attends to."""
    width: int | Sequence[int] = unet.config.cross_attention_dim
    return width if isinstance(width, int) else width[0]
