"""The one way into every trainer: config, checkpoint, what is trained, and the loop."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import PartialState
from torch import nn

from ldrestore.config import load_config
from ldrestore.errors import InputError, OtherProcessError
from ldrestore.training.loop.agreement import agreed
from ldrestore.training.loop.checkpoint import find_checkpoint
from ldrestore.training.loop.training_loop import Task, train


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """What a trainer hands over to the loop."""

    network: nn.Module
    """With its initial weights."""
    task: Task
    """Data, loss, validation, export."""
    begin: Callable[[], None] | None = None
    """Loads what a run begins with; a run that goes on takes all weights from its checkpoint."""
    skips_weights: bool = False
    """See `training_loop.train`."""
    clipped_apart: tuple[str, ...] = ()
    """See `training_loop.TrainingRun`."""


def run_trainer(
    config_class: type[Any],
    path: Path,
    *,
    overrides: list[str],
    resume: str | None,
    skips_damaged: bool = False,
    prepare: Callable[[Any], Prepared],
) -> bool:
    """Train what a YAML file says.

    What fails before the first step fails in all processes, and the first of them says why.

    Args:
        config_class: Dataclass of the trainer's config.
        path: YAML file.
        overrides: "section.key=value" strings, which win over the file.
        resume: None, "auto", or the folder of a checkpoint, see `checkpoint.find_checkpoint`.
        skips_damaged: Whether "auto" passes over damaged checkpoints.
        prepare: Takes the config to what is trained.

    Returns:
        Whether the run is finished; False where a signal stopped it.

    Raises:
        LDRestoreError: the config is wrong, a file is missing or damaged, or training diverged.
    """
    try:
        config = load_config(config_class, path, overrides)
    except InputError as error:
        if os.environ.get("LOCAL_RANK", "0") != "0":
            raise OtherProcessError("the first process of this machine says what is wrong with the config") from error
        raise
    PartialState(cpu=config.run.device == "cpu")  # joins the other processes, if there are some
    with agreed():
        checkpoint = find_checkpoint(config.run, resume, skips_damaged=skips_damaged)
        prepared = prepare(config)
        if checkpoint is None and prepared.begin is not None:
            prepared.begin()
    return train(
        config,
        task=prepared.task,
        network=prepared.network,
        checkpoint=checkpoint,
        skips_weights=prepared.skips_weights,
        clipped_apart=prepared.clipped_apart,
    )
