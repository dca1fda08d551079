"""Command of the trainers: `python -m ldrestore.training CONFIG [key=value ...] [--resume auto|FOLDER]`.

Under a launcher: `accelerate launch -m ldrestore.training CONFIG ...`.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from ldrestore.errors import InputError, LDRestoreError, OtherProcessError
from ldrestore.training.trainers import train_by_config

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a trainer.

    Args:
        arguments: Words of the command line; None takes those of the process.

    Returns:
        Exit code: 0 finished, or stopped by a signal with a checkpoint; 1 failed; 2 wrong call or config; 130
        interrupted before a checkpoint was written.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ldrestore.training",
        description="Train what a config says: a regressor, or parts of the stable track.",
    )
    parser.add_argument("config", type=Path, help="YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="values that win over the file's")
    parser.add_argument(
        "--resume",
        metavar="auto|FOLDER",
        help="go on from the newest checkpoint of run.output_dir, if there is one, or from the one in FOLDER",
    )
    parser.add_argument(
        "--skip-damaged",
        action="store_true",
        help="with --resume auto: go on from the newest checkpoint that is intact",
    )
    options = parser.parse_intermixed_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("accelerate").setLevel(logging.WARNING)  # it tells of every file of a checkpoint
    try:
        is_finished = train_by_config(
            options.config,
            overrides=options.overrides,
            resume=options.resume,
            skips_damaged=options.skip_damaged,
        )
    except InputError as error:
        logger.error("%s", error)
        return 2
    except OtherProcessError as error:
        logger.debug("%s", error)  # the other process has said why
        return 1
    except LDRestoreError as error:
        logger.error("%s", error)
        return 1
    except OSError as error:  # a path that the system refuses: too long a name, a folder that may not be entered
        if error.filename is None:
            raise
        logger.debug("%s", error, exc_info=True)
        logger.error("%s: %s; check the path and its permissions", error.filename, error.strerror)
        return 1
    except KeyboardInterrupt:
        logger.error("interrupted; go on with --resume auto")
        return 130
    if not is_finished:
        logger.warning("stopped by a signal; go on with --resume auto")
    return 0


if __name__ == "__main__":
    sys.exit(main())
