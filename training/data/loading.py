"""The data loader of one stage, started at any step, and its end, which comes whatever happens.

Loading processes ignore signals, since the training process needs them to finish its step. They are ended by it alone:
by `Batches`, on every way out. What they raise does not travel as an exception, whose traceback would keep the loader
alive, but as a `LoadingFailure` in the place of a batch.
"""

import logging
import multiprocessing
import signal
import threading
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from types import TracebackType
from typing import Any, Self

import cv2
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, Dataset, default_collate

from ldrestore.datasets.pictures import fault_of_picture, index_of
from ldrestore.errors import ConfigError, DatasetError, LoaderError
from ldrestore.training.config import TrainingConfig, stage_at
from ldrestore.training.data.sample_order import ShardedBatches, samples_before

logger = logging.getLogger(__name__)

Batch = dict[str, Any]
"""Collated items of a data set: tensors (B, ...) and lists of length B."""

SECONDS_TO_END = 3.0
"""How long a loading process may take to end by itself before it is killed."""


@dataclass(frozen=True, slots=True)
class LoadingFailure:
    """What a loading process raised, in types that always travel."""

    message: str
    """One line that names the file and says what to do."""
    trace: str
    """The traceback, for the log of a developer."""


class GuardedItems(Dataset[Any]):
    """A data set that gives a `LoadingFailure` where another raises."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        """Guard a data set.

        Args:
            dataset: Indexed by (epoch, index); says the file of an index where it has `source_path`.
        """
        self.dataset = dataset

    def __getitem__(self, key: tuple[int, int]) -> Any:
        """One item, or why there is none."""
        try:
            return self.dataset[key]
        except Exception as error:  # whatever decoders and degradations raise: the training process raises it again
            path_of = getattr(self.dataset, "source_path", None)
            path = f"item {index_of(key)}" if path_of is None else path_of(index_of(key))
            return LoadingFailure(str(fault_of_picture(path, error)), traceback.format_exc())


def load_item(dataset: Dataset[Any], key: tuple[int, int]) -> Any:
    """One item of a data set.

    Raises:
        DatasetError: it cannot be loaded; names its file.
    """
    item = GuardedItems(dataset)[key]
    if isinstance(item, LoadingFailure):
        logger.debug("%s", item.trace)
        raise DatasetError(item.message)
    return item


def collate(items: list[Any]) -> Any:
    """A batch of items, or the first failure among them."""
    failure = next((item for item in items if isinstance(item, LoadingFailure)), None)
    if failure is not None:
        return failure
    try:
        return default_collate(items)
    except Exception as error:
        reason = " ".join(str(error).split())
        return LoadingFailure(f"pictures cannot be put into one batch: {reason}", traceback.format_exc())


class Batches:
    """The batches of a loader, one after the other; as a context it ends the loading processes on every way out."""

    def __init__(self, loader: DataLoader[Batch]) -> None:
        """Start the loading processes, if there are any."""
        others = set(multiprocessing.active_children())
        self._iterator: Iterator[Any] = iter(loader)
        self._processes = [process for process in multiprocessing.active_children() if process not in others]
        # torch would raise in the middle of whatever the main thread does when a loading process dies; `next` finds out
        # by itself, at a place where processes can agree on it.
        self._handler: Any = None
        if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def __enter__(self) -> Self:
        """Nothing more: the processes run already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the loading processes."""
        self.close()

    def next(self) -> Batch:
        """The next batch.

        Raises:
            DatasetError: a picture cannot be loaded; names it.
            LoaderError: a loading process died.
        """
        failure: BaseException
        try:
            batch = next(self._iterator)
        except BaseException as error:  # a traceback holds the frames of the loader, which then would not end
            failure = error.with_traceback(None)
        else:
            if not isinstance(batch, LoadingFailure):
                return batch
            logger.debug("%s", batch.trace)
            raise DatasetError(batch.message)
        failure.__cause__ = failure.__context__ = None
        if isinstance(failure, (RuntimeError, OSError, EOFError)):
            raise self._loss(failure)
        raise failure

    def _loss(self, failure: Exception) -> Exception:
        """Why a batch was lost: a process died, or what arrived could not be received; else the failure itself."""
        ended = wait_for([process.sentinel for process in self._processes], timeout=SECONDS_TO_END)
        for process in self._processes:
            if process.sentinel in ended:  # its files are closed, which comes a moment before its exit code is there
                process.join(SECONDS_TO_END)
        dead = [process.exitcode for process in self._processes if process.exitcode]
        if dead:
            return LoaderError(f"a process that loads pictures {_cause_of_death(dead[0])}")
        if isinstance(failure, (OSError, EOFError)):
            reason = " ".join(str(failure).split())
            return LoaderError(
                f"a batch was lost between processes ({type(failure).__name__}: {reason}); allow more open files "
                "(ulimit -n), or set run.num_workers=0"
            )
        return failure

    def close(self) -> None:
        """End the loading processes; those that do not end by themselves are killed."""
        timer = threading.Timer(SECONDS_TO_END, self._kill)
        timer.start()
        self._iterator = iter(())  # nothing else holds torch's iterator, which tells its processes to end, and waits
        timer.cancel()
        self._kill()
        for process in self._processes:
            process.join(SECONDS_TO_END)
        if self._handler is not None:
            signal.signal(signal.SIGCHLD, self._handler)
            self._handler = None

    def _kill(self) -> None:
        """End what still runs, whatever it does."""
        for process in self._processes:
            if process.is_alive():
                process.kill()


def _cause_of_death(exit_code: int) -> str:
    """What became of a process, and what helps."""
    if exit_code > 0:
        return f"ended with exit code {exit_code}; see its messages above, or set run.num_workers=0 to see its error"
    number = -exit_code
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if name == "SIGBUS":
        return "was ended by SIGBUS; shared memory is full: give /dev/shm more, or set run.num_workers=0"
    if name == "SIGKILL":
        return (
            "was ended by SIGKILL, as systems do when memory runs out; set a smaller run.num_workers, go on with "
            "--resume auto"
        )
    return f"was ended by {name}; go on with --resume auto, or set run.num_workers=0"


def create_loader(
    dataset: Dataset[Any], *, config: TrainingConfig, accelerator: Accelerator, step: int
) -> DataLoader[Batch]:
    """Load the batches of this process from a step to the end of the step's stage.

    Args:
        dataset: Indexed by (epoch, index), sized.
        config: Stages, seed, accumulation and number of workers.
        accelerator: Which process this is.
        step: Optimizer steps done.

    Raises:
        ConfigError: the data set is empty.
    """
    num_pictures = len(dataset)  # type: ignore[arg-type]  # torch's Dataset declares no length
    if num_pictures == 0:
        raise ConfigError("the training data set is empty")
    stage, stage_end = stage_at(step, config.stages)
    accumulation = config.run.gradient_accumulation_steps
    batches = ShardedBatches(
        num_pictures=num_pictures,
        seed=config.run.seed,
        batch_size=stage.batch_size,
        num_batches=(stage_end - step) * accumulation,
        first_sample=samples_before(
            step, stages=config.stages, batches_per_step=accumulation * accelerator.num_processes
        ),
        process_index=accelerator.process_index,
        num_processes=accelerator.num_processes,
    )
    # The loader draws a seed for its workers; from a generator of its own, so that the global one, which a resumed run
    # restores, stays where it was. A stage is one pass over its loader, so its workers live as long as the stage.
    return DataLoader(
        GuardedItems(dataset),
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=config.run.num_workers,
        worker_init_fn=prepare_worker,
        pin_memory=accelerator.device.type == "cuda",
        generator=torch.Generator().manual_seed(config.run.seed),
    )


def prepare_worker(worker: int) -> None:
    """Keep a loading process to one thread, and leave signals to the training process.

    A terminal sends Ctrl-C, and a cluster SIGTERM, to the whole process group. The training process then still needs
    its workers to finish the step; it ends them itself, and they end where it is gone.

    Args:
        worker: Number of the worker.
    """
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def to_device(batch: Mapping[str, Any], *, device: torch.device, channels_last: bool) -> Batch:
    """A batch with its tensors on the device; pictures (B, C, H, W) in the memory format asked for."""
    moved: Batch = {}
    for key, value in batch.items():
        if not isinstance(value, torch.Tensor):
            moved[key] = value
            continue
        memory_format = torch.channels_last if channels_last and value.ndim == 4 else torch.preserve_format
        moved[key] = value.to(device, non_blocking=True, memory_format=memory_format)
    return moved
