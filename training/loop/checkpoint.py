"""Checkpoints: everything that a run needs to go on as if it had never stopped.

A checkpoint is a folder `checkpoints/step_00001000`:

    model.safetensors, optimizer.bin, scaler.pt   accelerate's own files (other names under DeepSpeed and FSDP)
    ema.safetensors                               averaged weights
    process_0.pt ...                              random states and loss sums, one file a process
    progress.json                                 step, number of processes, config
    files.json                                    hashes of all these

It is written under another name and renamed when whole: a folder of that name is a complete checkpoint.
"""

import json
import logging
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from safetensors.torch import load_file, save_file
from torch import nn

from ldrestore.config import as_plain, build
from ldrestore.errors import ConfigError, WeightsError
from ldrestore.training.config import RunConfig, TrainingConfig
from ldrestore.training.loop.checkpoint_files import HASHES_FILE, check_files, damage_of, read_progress, write_hashes
from ldrestore.training.loop.ema import Ema
from ldrestore.training.loop.journal import LossWindow
from ldrestore.training.loop.run_folder import writing, writing_together

logger = logging.getLogger(__name__)

CHECKPOINT_FOLDER = "checkpoints"
FREE_TO_CHANGE = frozenset(
    f"run.{name}"
    for name in (
        "output_dir",
        "num_workers",
        "log_every",
        "validate_every",
        "checkpoint_every",
        "keep_checkpoints",
        "tracker",
    )
)
"""Keys of the config that change no result, and may differ when a run resumes."""
PLATEAU = "switch.plateau"
"""Where it is set, validations decide what is trained, and `run.validate_every` is not free to change."""
SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED)
"""Where processes wait for each other while they save their weights; one that fails then ends its launcher's others."""
DEFAULTS = {"trainer": "regressor"}
"""Keys that older checkpoints lack, and what holds for these."""


@dataclass(slots=True, kw_only=True)
class TrainingState:
    """What changes while training; model and optimizer as accelerate prepared them."""

    model: nn.Module
    """The network in training, wrapped."""
    optimizer: torch.optim.Optimizer
    """Its optimizer, wrapped."""
    ema: Ema | None
    """The averaged weights."""
    step: int = 0
    """Optimizer steps done."""
    window: LossWindow = field(default_factory=LossWindow)
    """Losses since the last line of metrics, of this process."""


def save_checkpoint(state: TrainingState, *, config: TrainingConfig, accelerator: Accelerator) -> Path:
    """Write a checkpoint and delete the oldest ones; every process must call this.

    Those of later steps, behind which the run went back, are set aside: neither do they count as newer ones when the
    oldest are deleted, nor does a run go on from them.

    Args:
        state: What to save.
        config: Where to write, and what to remember.
        accelerator: As it prepared the state.

    Returns:
        The checkpoint's folder.

    Raises:
        ExportError: the run's folder cannot be written, in the first process that failed.
        OtherProcessError: in all other processes.
    """
    parent = config.run.output_dir / CHECKPOINT_FOLDER
    final = parent / f"step_{state.step:08d}"
    partial = parent / f"partial_{state.step:08d}"
    with writing_together(config.run.output_dir):
        if accelerator.is_main_process:
            for left_over in parent.glob("partial_*"):  # of a run that died while it wrote
                shutil.rmtree(left_over, ignore_errors=True)
            partial.mkdir(parents=True)
    is_sharded = accelerator.distributed_type in SHARDED
    with (writing if is_sharded else writing_together)(config.run.output_dir):
        accelerator.save_state(str(partial))
        torch.save(_process_state(state.window), partial / f"process_{accelerator.process_index}.pt")
        if accelerator.is_main_process:
            if state.ema is not None:
                save_file(_contiguous(state.ema.network.state_dict()), partial / "ema.safetensors")
            progress = {"step": state.step, "num_processes": accelerator.num_processes, "config": as_plain(config)}
            (partial / "progress.json").write_text(json.dumps(progress, indent=2) + "\n", encoding="utf-8")
    accelerator.wait_for_everyone()
    with writing_together(config.run.output_dir):
        if accelerator.is_main_process:
            write_hashes(partial)
            _set_later_aside(config.run.output_dir, state.step)
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
            for old in list_checkpoints(config.run.output_dir)[: -config.run.keep_checkpoints]:
                shutil.rmtree(old)
    return final


def load_checkpoint(folder: Path, state: TrainingState, *, config: TrainingConfig, accelerator: Accelerator) -> None:
    """Bring a fresh state to where a checkpoint was written; every process must call this.

    Args:
        folder: The checkpoint.
        state: Freshly prepared; changed in place.
        config: The config of this run, which must equal that of the checkpoint but for `FREE_TO_CHANGE`.
        accelerator: As it prepared the state.

    Raises:
        ConfigError: config or number of processes differ, or another version wrote the checkpoint.
        WeightsError: a file of the checkpoint is missing or damaged.
    """
    progress: Any = read_progress(folder)
    check_same_config(_with_defaults(progress["config"], config), as_plain(config))
    if progress["num_processes"] != accelerator.num_processes:
        raise ConfigError(
            f"{folder} was written by {progress['num_processes']} processes, this run has {accelerator.num_processes}; "
            "resume with as many, or start a new run with init_from"
        )
    accelerator.load_state(str(folder))
    if state.ema is not None:
        state.ema.load(load_file(_existing(folder / "ema.safetensors")))
    # accelerate restores random states too, but goes on in silence where it fails.
    process_file = _existing(folder / f"process_{accelerator.process_index}.pt")
    try:
        process = torch.load(process_file, map_location="cpu", weights_only=True)
        _restore_random(process["random"])
        state.window.load_state_dict(process["window"], device=accelerator.device)
    except Exception as error:  # a damaged file makes unpicklers, and random generators, raise anything
        raise damage_of(process_file, f"holds no random states ({type(error).__name__})") from error
    state.step = progress["step"]


def find_checkpoint(run: RunConfig, resume: str | None, *, skips_damaged: bool = False) -> Path | None:
    """The checkpoint to start from, all of whose files are what was written.

    Args:
        run: Holds the run's folder.
        resume: None to start anew, "auto" for the newest checkpoint of the run's folder if there is one, or the folder
            of a checkpoint.
        skips_damaged: Whether "auto" goes on from the newest checkpoint that is intact, and says which are not.

    Returns:
        The checkpoint's folder; None to start anew.

    Raises:
        ConfigError: the folder is no checkpoint, the run would overwrite another one that has checkpoints, or damaged
            checkpoints are to be skipped without "auto".
        WeightsError: a file of the checkpoint is damaged, or all checkpoints are.
    """
    if skips_damaged and resume != "auto":
        raise ConfigError("--skip-damaged looks for the newest intact checkpoint; give it with --resume auto")
    found = list_checkpoints(run.output_dir)
    if resume is None:
        if found:
            raise ConfigError(
                f"{run.output_dir} holds a run with checkpoints; "
                "go on with --resume auto, or give another run.output_dir"
            )
        return None
    if resume == "auto":
        return _newest(found, skips_damaged=skips_damaged)
    if not any((Path(resume) / name).is_file() for name in ("progress.json", HASHES_FILE)):
        raise ConfigError(f"{resume} is no checkpoint; expected a folder such as {CHECKPOINT_FOLDER}/step_00001000")
    _require_same_run(run.output_dir, Path(resume))
    check_files(Path(resume))
    return Path(resume)


def _require_same_run(output_dir: Path, folder: Path) -> None:
    """Refuse to go on from a checkpoint of elsewhere where a run has its own: its own would be taken for later ones.

    Raises:
        ConfigError: it does not lie among the run's checkpoints, of which there are some.
    """
    place = output_dir / CHECKPOINT_FOLDER
    if list_checkpoints(output_dir) and folder.resolve().parent != place.resolve():
        raise ConfigError(
            f"{output_dir} holds a run with checkpoints, and {folder} is none of them; give another run.output_dir, or "
            f"copy it into {place}"
        )


def _newest(folders: list[Path], *, skips_damaged: bool) -> Path | None:
    """The newest checkpoint, or the newest intact one; None where there is none at all.

    Raises:
        WeightsError: it is damaged, or all are.
    """
    for folder in reversed(folders):
        try:
            check_files(folder)
        except WeightsError as error:
            if not skips_damaged:
                raise
            logger.warning("%s; skipped", str(error).partition(":")[0])
            continue
        return folder
    if folders:
        raise WeightsError(
            f"all {len(folders)} checkpoints in {folders[0].parent} are damaged; start a new run in another "
            "run.output_dir, with init_from where weights were exported"
        )
    return None


def list_checkpoints(output_dir: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first; what else lies beside them, such as copies, does not count."""
    steps = {}
    for folder in (output_dir / CHECKPOINT_FOLDER).glob("step_*"):
        number = folder.name.removeprefix("step_")
        if number.isascii() and number.isdecimal() and folder.is_dir():
            steps[folder] = int(number)
    return sorted(steps, key=steps.__getitem__)


def _set_later_aside(output_dir: Path, step: int) -> None:
    """Give checkpoints of later steps a name under which they do not count."""
    for folder in list_checkpoints(output_dir):
        number = folder.name.removeprefix("step_")
        if int(number) > step:
            aside = folder.with_name(f"left_{number}")
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
            logger.warning("the run went back to before step %d; its checkpoint is now %s", int(number), aside)


def check_same_config(saved: dict[str, Any], current: dict[str, Any]) -> None:
    """Refuse to resume with a config that gives other results.

    Args:
        saved: Config of the checkpoint, as plain values.
        current: Config of this run, as plain values.

    Raises:
        ConfigError: keys beyond `FREE_TO_CHANGE` differ; the message names them.
    """
    saved, current = DEFAULTS | _flat(saved), DEFAULTS | _flat(current)
    free = FREE_TO_CHANGE if current.get(PLATEAU) is None else FREE_TO_CHANGE - {"run.validate_every"}
    different = [
        f"{key} ({saved.get(key, 'missing')} -> {current.get(key, 'missing')})"
        for key in sorted(saved.keys() | current.keys())
        if key not in free and (key not in saved or key not in current or saved[key] != current[key])
    ]
    if different:
        raise ConfigError(
            f"cannot resume, the config differs in {', '.join(different)}; "
            "restore the values, or start a new run in another run.output_dir with init_from"
        )


def _with_defaults(saved: dict[str, Any], config: TrainingConfig) -> dict[str, Any]:
    """A checkpoint's config with the defaults of keys that came after it; as it is where it is another trainer's.

    Raises:
        ConfigError: it has keys or values that this version does not know.
    """
    if (DEFAULTS | saved)["trainer"] != (DEFAULTS | as_plain(config))["trainer"]:
        return saved
    try:
        return as_plain(build(type(config), saved))
    except ConfigError as error:
        raise ConfigError(
            f"cannot resume, another version of ldrestore wrote the checkpoint ({error}); "
            "resume with that version, or start a new run in another run.output_dir with init_from"
        ) from error


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings and lists as one mapping from dotted keys to leaves."""
    if isinstance(values, list) and values:
        values = {str(index): value for index, value in enumerate(values)}
    if not isinstance(values, dict) or not values:
        return {prefix: values}
    flat = {}
    for key, value in values.items():
        flat.update(_flat(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def _process_state(window: LossWindow) -> dict[str, Any]:
    """What differs between processes, in types that torch reads without pickle's dangers."""
    state = np.random.get_state(legacy=True)
    assert isinstance(state, tuple), "numpy's older form"
    name, keys, *rest = state
    return {
        "random": {
            "python": random.getstate(),
            "numpy": (name, torch.from_numpy(keys.astype(np.int64)), *rest),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        },
        "window": window.state_dict(),
    }


def _restore_random(states: dict[str, Any]) -> None:
    """Set the random states of this process."""
    random.setstate(states["python"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])


def _contiguous(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights in the plain memory order that safetensors asks for."""
    return {name: weight.contiguous() for name, weight in weights.items()}


def _existing(path: Path) -> Path:
    """The path itself.

    Raises:
        WeightsError: nothing lies there.
    """
    if not path.is_file():
        raise damage_of(path, "is missing")
    return path
