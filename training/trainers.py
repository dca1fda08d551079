"""Which trainer a config is for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldrestore.config import load_config, read_mapping, set_override
from ldrestore.errors import UnknownNameError
from ldrestore.registry import resolve

DEFAULT_TRAINER = "regressor"
"""Of configs that name none."""


@dataclass(frozen=True, slots=True)
class TrainerRecord:
    """Where a trainer is; read when it is used."""

    prepare: str
    """"module:function", which takes the config to an `entry.Prepared`."""
    config_class: str
    """"module:class" of its config."""


def _record(name: str, config_class: str) -> TrainerRecord:
    """The record of a trainer in the places where all of them are."""
    return TrainerRecord(
        f"ldrestore.training.tasks.{name}:prepare_{name}", f"ldrestore.training.tasks.{name}_config:{config_class}"
    )


TRAINERS = {
    "regressor": _record("regressor", "RegressorTrainingConfig"),
    "backbone": _record("backbone", "BackboneTrainingConfig"),
    "estimator": _record("estimator", "EstimatorTrainingConfig"),
    "adapters": _record("adapters", "AdaptersTrainingConfig"),
    "refiner": _record("refiner", "RefinerTrainingConfig"),
    "detail_experts": _record("detail_experts", "DetailExpertsTrainingConfig"),
    "fusion": _record("fusion", "FusionTrainingConfig"),
}
"""All trainers, by the name that stands under `trainer` in a config."""


def find_trainer(path: Path, overrides: list[str]) -> TrainerRecord:
    """The trainer that a config names under `trainer`.

    Args:
        path: YAML file.
        overrides: "key=value" strings, which win over the file.

    Raises:
        ConfigError: the file is missing or damaged.
        UnknownNameError: there is no such trainer.
    """
    values = read_mapping(path)
    for override in overrides:
        if override.startswith("trainer="):
            set_override(values, override)
    name = values.get("trainer", DEFAULT_TRAINER)
    if name not in TRAINERS:
        raise UnknownNameError("trainer", str(name), TRAINERS)
    return TRAINERS[name]


def load_training_config(path: Path, overrides: list[str]) -> Any:
    """The config of whatever trainer it names, checked.

    Args:
        path: YAML file.
        overrides: "section.key=value" strings, which win over the file.

    Raises:
        InputError: the file is missing, or a value is unknown or out of range.
    """
    return load_config(resolve(find_trainer(path, overrides).config_class), path, overrides)


def train_by_config(path: Path, *, overrides: list[str], resume: str | None, skips_damaged: bool = False) -> bool:
    """Run the trainer that a config names.

    Args:
        path: YAML file.
        overrides: "section.key=value" strings, which win over the file.
        resume: None, "auto", or the folder of a checkpoint, see `checkpoint.find_checkpoint`.
        skips_damaged: Whether "auto" passes over damaged checkpoints.

    Returns:
        Whether the run is finished; False where a signal stopped it.

    Raises:
        LDRestoreError: the config is wrong, a file is missing, or training diverged.
    """
    from ldrestore.training.entry import run_trainer  # brings accelerate, which checking a config does not need

    trainer = find_trainer(path, overrides)
    return run_trainer(
        resolve(trainer.config_class),
        path,
        overrides=overrides,
        resume=resume,
        skips_damaged=skips_damaged,
        prepare=resolve(trainer.prepare),
    )
