"""Many pictures on the devices of one machine: a process on each, started by accelerate's launcher.

The processes need nothing of each other, so each has a launcher of its own: one that dies takes no other with it. It
is started again, and gets the picture it was at. As on one device, results are written whole or not at all and what
lies at a picture's target is not made again, so that the same call again finishes what a dead run left.
"""

import contextlib
import logging
import os
import pickle
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import IO

from ldrestore.errors import InputError, LDRestoreError, OtherProcessError, printable
from ldrestore.jobs.outcome import Job, Outcome
from ldrestore.jobs.request import RestoreRequest
from ldrestore.serving.worker_pool import MOST_DEATHS, WorkerPool, WorkerStart, as_known, deadly

logger = logging.getLogger(__name__)

MOST_STARTS = 3
"""A worker that died so often while it loaded the model is not started again."""
END_SIGNAL = getattr(signal, "SIGKILL", signal.SIGTERM)
"""What ends a process whatever it does; Windows has none, nor is it sent there."""


def run_on_devices(jobs: Sequence[Job], request: RestoreRequest, pool: WorkerPool) -> Iterator[Outcome]:
    """Do all jobs on the devices of this machine.

    Args:
        jobs: What to do.
        request: What is asked of all of them; its device is `auto`, `cuda` for all GPUs, `cpu`, or one of them.
        pool: The workers.

    Yields:
        What became of each, as it comes.

    Raises:
        InputError: no such device.
        LDRestoreError: the model cannot be had, or every worker gave up.
    """
    for outcome, _ in rows_of_devices(jobs, request, pool):
        yield outcome


def rows_of_devices(
    jobs: Sequence[Job], request: RestoreRequest, pool: WorkerPool
) -> Iterator[tuple[Outcome, int | None]]:
    """`run_on_devices`, with the number of the process that each picture was done in, None where all of them died."""
    places = worker_places(request.device, pool, num_jobs=len(jobs))
    shared = _Shared(jobs, WorkerStart(request=request, threads=pool.threads))
    threads = [threading.Thread(target=shared.keep_worker, args=(place,), daemon=True) for place in places]
    for thread in threads:
        thread.start()
    num_left, num_threads = len(jobs), len(threads)
    try:
        while num_left:
            answer = shared.answers.get()
            if isinstance(answer, _Told):
                num_left -= 1
                yield answer.outcome, answer.process
            elif answer.is_final or num_threads == 1:
                raise answer.error
            else:
                logger.warning("%s; the other workers go on", answer.error)
                num_threads -= 1
    finally:
        shared.stop()
        for thread in threads:
            thread.join()


def worker_places(device: str, pool: WorkerPool, *, num_jobs: int) -> list[str | None]:
    """Where the workers are: the number of a GPU as the driver counts them, or None for the processor.

    Args:
        device: `auto`, `cpu`, `cuda`, or such as `cuda:1`.
        pool: The workers; with more of them than GPUs several share one.
        num_jobs: Pictures.

    Raises:
        InputError: no such device here.
    """
    gpus = [] if device == "cpu" else _gpus()
    match = re.fullmatch(r"auto|cpu|cuda(?::(\d+))?", device)
    is_there = match is not None and (gpus or not device.startswith("cuda"))
    if match is not None and match[1] is not None:
        number = int(match[1])
        is_there, gpus = number < len(gpus), gpus[number : number + 1]
    if not is_there:
        raise InputError(
            f"the engine accelerate computes on auto, cpu, cuda or cuda:N, and this machine has {len(_gpus())} GPUs; "
            f"got {printable(device)}"
        )
    size = pool.size(num_cpus=os.cpu_count() or 1, num_gpus=len(gpus), num_jobs=num_jobs)
    return [gpus[index % len(gpus)] if gpus else None for index in range(size)]


def _gpus() -> list[str]:
    """GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [name.strip() for name in visible.split(",") if name.strip()]
    count = torch.cuda.device_count()
    return names[:count] if names else [str(number) for number in range(count)]


@dataclass(frozen=True, slots=True)
class _Told:
    """What a worker told of a picture."""

    outcome: Outcome
    process: int | None


@dataclass(frozen=True, slots=True)
class _GaveUp:
    """Why a worker is not started again."""

    error: LDRestoreError
    is_final: bool
    """Whether the others would give up for the same reason."""


class _Shared:
    """What the threads that keep a worker each have in common."""

    def __init__(self, jobs: Sequence[Job], start: WorkerStart) -> None:
        """Queue the jobs.

        Args:
            jobs: All of them.
            start: What each worker is told first.
        """
        self.answers: queue.SimpleQueue[_Told | _GaveUp] = queue.SimpleQueue()
        self._waiting = deque(jobs)
        self._deaths: Counter[Job] = Counter()
        self._start = start
        self._lock = threading.Lock()
        self._is_stopped = False
        self._processes: set[subprocess.Popen[bytes]] = set()

    def stop(self) -> None:
        """End all workers; pictures that were begun are left as they were."""
        with self._lock:
            self._is_stopped = True
            processes = list(self._processes)
        for process in processes:
            _end(process)

    def keep_worker(self, place: str | None) -> None:
        """Have a worker do jobs until none wait, and start another when it dies.

        Args:
            place: Of `worker_places`.
        """
        num_vain = 0
        while self._waiting and not self._is_stopped:
            with tempfile.TemporaryFile() as complaints:
                process = self._launch(place, complaints)
                try:
                    is_loaded = process is not None and self._converse(process)
                finally:
                    if process is not None:
                        self._processes.discard(process)
                        _end(process)
                        _close(process)
                num_vain = 0 if is_loaded else num_vain + 1
                if num_vain == MOST_STARTS and not self._is_stopped:
                    reason = _last_line(complaints)
                    error = LDRestoreError(f"a worker died {num_vain} times while it loaded the model ({reason})")
                    self.answers.put(_GaveUp(error, is_final=False))
                    return

    def _launch(self, place: str | None, complaints: IO[bytes]) -> "subprocess.Popen[bytes] | None":
        """Start a worker; None once the run is stopped."""
        with self._lock:
            if self._is_stopped:
                return None
            process = subprocess.Popen(
                _command(place, self._start.threads),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                start_new_session=True,  # a terminal's Ctrl-C ends this process, which ends the workers
            )
            self._processes.add(process)
            return process

    def _converse(self, process: "subprocess.Popen[bytes]") -> bool:
        """Have a worker do jobs until none wait or it dies, and tell of each.

        Returns:
            Whether its model was loaded.
        """
        is_loaded = False
        try:
            _send(self._start, process)
            answer = _receive(process)
            if isinstance(answer, LDRestoreError):
                self.answers.put(_GaveUp(answer, is_final=True))
                self._is_stopped = True
                return False
            is_loaded = True
            while (job := self._next()) is not None:
                self._have_done(job, process)
        except OtherProcessError:
            pass
        return is_loaded

    def _next(self) -> Job | None:
        """A job that waits."""
        with contextlib.suppress(IndexError):
            return self._waiting.popleft()
        return None

    def _have_done(self, job: Job, process: "subprocess.Popen[bytes]") -> None:
        """Have one job done.

        Raises:
            OtherProcessError: the worker died at it; it waits again, or has failed.
        """
        try:
            _send(job, process)
            answer = _receive(process)
        except OtherProcessError:
            self._deaths[job] += 1
            if self._deaths[job] == MOST_DEATHS:
                self.answers.put(_Told(deadly(job), None))
            else:
                self._waiting.appendleft(job)
            raise
        assert isinstance(answer, tuple), "a worker that is ready tells of a picture"
        number, outcome = answer
        self.answers.put(_Told(as_known(outcome, job, is_retried=job in self._deaths), number))


def _command(place: str | None, threads: int) -> list[str]:
    """The command that starts a worker, everything said so that accelerate warns of nothing."""
    name = "cpu.yaml" if place is None else "one_device.yaml"
    config = files("ldrestore.configs").joinpath("accelerate", name)
    return [
        *(sys.executable, "-m", "ldrestore.training.launch", "--config_file", str(config)),
        *("--num_cpu_threads_per_process", str(threads), "--mixed_precision", "no", "--dynamo_backend", "no"),
        *(("--cpu",) if place is None else ("--gpu_ids", place)),
        *("-m", "ldrestore.serving.accelerate_worker"),
    ]


def _send(message: object, process: "subprocess.Popen[bytes]") -> None:
    """Send a message to a worker.

    Raises:
        OtherProcessError: it is gone.
    """
    assert process.stdin is not None, "it was started with a pipe"
    try:
        pickle.dump(message, process.stdin)
        process.stdin.flush()
    except (OSError, ValueError) as error:
        raise OtherProcessError("a worker is gone") from error


def _receive(process: "subprocess.Popen[bytes]") -> "tuple[int, Outcome] | LDRestoreError | str":
    """The next answer of a worker.

    Raises:
        OtherProcessError: it is gone.
    """
    assert process.stdout is not None, "it was started with a pipe"
    try:
        answer: tuple[int, Outcome] | LDRestoreError | str = pickle.load(process.stdout)
    except (EOFError, OSError, ValueError, pickle.UnpicklingError) as error:  # ValueError: closed when the run ended
        raise OtherProcessError("a worker is gone") from error
    return answer


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a worker with its launcher: it has nothing to do, or what it does is left."""
    if os.name == "nt":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, END_SIGNAL)
    process.wait()


def _close(process: "subprocess.Popen[bytes]") -> None:
    """Close the pipes of a worker that is gone."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what it has not read cannot be flushed any more
                pipe.close()


def _last_line(complaints: IO[bytes]) -> str:
    """The last thing that a worker wrote on standard error."""
    complaints.seek(0)
    lines = complaints.read().decode(errors="replace").strip().splitlines()
    return printable(lines[-1]) if lines else "it said nothing"
