"""`ldrestore train`: the training loop under accelerate's launcher."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from ldrestore.errors import InputError

TRAIN_EXAMPLES = """\b
Examples:
  ldrestore train configs/blind_small_cpu.yaml
  ldrestore train configs/blind_small_cpu.yaml run.output_dir=runs/second run.seed=1
  ldrestore train configs/blind_small_cpu.yaml --resume auto
  ldrestore train configs/stable/tiny_vae_cpu.yaml --resume auto
  ldrestore train configs/blind_small_cpu.yaml --accelerate-config configs/accelerate/multi_gpu.yaml
"""
"""Shown below the help; the first character keeps the lines as they are."""

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
"""What ends a process whatever it does; Windows has none, nor is it sent there."""


def train_command(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="The YAML file of the run, e.g. one of configs/.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            show_default=False,
            help="Values that win over the file's, e.g. run.seed=1; as many as you like.",
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="auto|FOLDER",
            help="`auto` goes on from the run's newest checkpoint, if there is one; or from the checkpoint in FOLDER.",
        ),
    ] = None,
    skip_damaged: Annotated[
        bool,
        typer.Option("--skip-damaged", help="With --resume auto: go on from the newest checkpoint that is intact."),
    ] = False,
    accelerate_config: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="accelerate's own YAML: processes, several GPUs, DeepSpeed, FSDP."),
    ] = None,
) -> None:
    """Train a model under accelerate's launcher.

    The same as `accelerate launch -m ldrestore.training CONFIG`. Ctrl-C and SIGTERM stop after the current step with a
    checkpoint, a second one at once.
    """
    if accelerate_config is not None and not Path(accelerate_config).is_file():
        raise InputError(
            f"no file at {accelerate_config}; --accelerate-config takes accelerate's own YAML, such as one of "
            "configs/accelerate, or what `accelerate config --config_file FILE` writes"
        )
    _check_config(config, overrides or [])
    command = [sys.executable, "-m", "ldrestore.training.launch"]
    command += ["--config_file", accelerate_config] if accelerate_config else []
    command += ["-m", "ldrestore.training", config, *(overrides or [])]
    command += ["--resume", resume] if resume else []
    command += ["--skip-damaged"] if skip_damaged else []
    raise typer.Exit(_run(command))


def _check_config(config: str, overrides: list[str]) -> None:
    """Refuse a wrong config before processes are started.

    Raises:
        ConfigError: the file is missing, or a value is unknown or out of range.
    """
    from ldrestore.training.trainers import load_training_config

    load_training_config(Path(config), overrides)


def _run(command: list[str]) -> int:
    """Run a command, and whatever it starts, to its end.

    Returns:
        Its exit code; a signal, to it or to this process, counts as 128 and its number, as in a shell.
    """
    # In a session of its own, so that a terminal's Ctrl-C reaches it once, from here.
    with subprocess.Popen(command, start_new_session=True) as process, _signals_passed_on(process) as received:
        code = process.wait()
    if os.name != "nt":
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nothing is left of it, as a rule
            os.killpg(process.pid, KILL)
    if signal.SIGINT in received:
        raise KeyboardInterrupt
    if received:
        return 128 + received[0]
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _signals_passed_on(process: "subprocess.Popen[bytes]") -> Iterator[list[int]]:
    """Inside, each signal that would end this process goes to the other one and all of its session, as SIGTERM.

    Yields:
        The signals that came.
    """
    received: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        received.append(number)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "nt":
                process.terminate()
            else:
                os.killpg(process.pid, signal.SIGTERM)

    numbers = [signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    shown = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]  # as under nohup
    previous = {number: signal.signal(number, pass_on) for number in shown}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
