"""Writing into the folder of a run, which may be full, read-only or gone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from ldrestore.errors import ExportError, LDRestoreError
from ldrestore.training.loop.agreement import agreed

_TORCH_WRITERS = ("PytorchStreamWriter", "inline_container", "iostream error")
"""What torch's plain errors of writing name; the latter two where the disk fills up while an archive is closed."""


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Context in which a run's folder is written; what keeps it from being written is one line.

    Args:
        folder: `run.output_dir`.

    Raises:
        ExportError: it cannot be written.
    """
    try:
        yield
    except LDRestoreError:
        raise
    except (OSError, SafetensorError) as error:
        raise _failure(folder, getattr(error, "strerror", None) or error) from error
    except RuntimeError as error:
        if not any(name in str(error) for name in _TORCH_WRITERS):
            raise
        raise _failure(folder, "torch could not write a file to its end") from error


@contextmanager
def writing_together(folder: Path) -> Iterator[None]:
    """Context in which all processes write a run's folder; where one cannot, none waits for it, and all leave.

    Inside, no process may wait for another.

    Args:
        folder: `run.output_dir`.

    Raises:
        ExportError: it cannot be written, in the first process that failed.
        OtherProcessError: in all other processes.
    """
    with agreed(), writing(folder):
        yield


def _failure(folder: Path, reason: object) -> ExportError:
    """The error, with what to do."""
    return ExportError(
        f"{folder} cannot be written ({' '.join(str(reason).split())}); make room, or give a run.output_dir that can "
        "be written; go on with --resume auto where there is a checkpoint"
    )
