"""accelerate's launcher without its traceback where a trainer failed: `python -m ldrestore.training.launch OPTIONS`.

The options are those of `accelerate launch`. The trainer has said what went wrong; a traceback and a table
of processes would bury it. A signal is left to the trainer, which writes a checkpoint, and waited for; a launcher whose
own parent is gone ends its trainers.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from accelerate.commands import launch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

SECONDS_BETWEEN_LOOKS = 1.0
"""How often a launcher looks whether its parent is still there."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Launch.

    Args:
        arguments: Words of the command line; None takes those of the process.

    Returns:
        Exit code: 0; 1 where a process failed, whatever its own code was; 128 and the number of a signal that ended
        several processes.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    options = launch.launch_command_parser().parse_args(arguments)
    try:
        launch.launch_command(options)
    except SignalException as end:  # torch has passed the signal on, and waited
        return 128 + int(end.sigval)
    except (ChildFailedError, subprocess.CalledProcessError):
        return 1
    return 0


def leave_signals_to_trainer() -> None:
    """Do nothing on a signal but wait on for the trainer, which gets it too; torch's agent sets handlers of its own."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: None)


def end_with_parent() -> None:
    """End all processes of this session once the parent is gone, where the session is this launcher's own."""
    parent = os.getppid()
    if os.name == "nt" or os.getsid(0) != os.getpid():
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os.killpg(0, signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    end_with_parent()
    leave_signals_to_trainer()
    sys.exit(main())
