"""accelerate's launcher without its traceback where a trainer failed: `python -m ldrestore.training.launch OPTIONS`.

The options are those of `accelerate launch`. The trainer has said what went wrong; a traceback and a table
of processes would bury it.
"""

import logging
import subprocess
import sys
from collections.abc import Sequence

from accelerate.commands import launch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError


def main(arguments: Sequence[str] | None = None) -> int:
    """Launch.

    Args:
        arguments: Words of the command line; None takes those of the process.

    Returns:
        Exit code: 0, or 1 where a process failed, whatever its own code was.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    options = launch.launch_command_parser().parse_args(arguments)
    try:
        launch.launch_command(options)
    except (ChildFailedError, subprocess.CalledProcessError):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
