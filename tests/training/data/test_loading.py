import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from accelerate import Accelerator
from tiny_run import TinyPairs, tiny_config

from ldrestore.errors import ConfigError, DatasetError, LoaderError
from ldrestore.training.data.loading import Batches, collate, create_loader, load_item, to_device


class Nothing(TinyPairs):
    def __len__(self) -> int:
        return 0


def names(config, step):
    loader = create_loader(TinyPairs(8), config=config, accelerator=Accelerator(cpu=True), step=step)
    return [batch["name"] for batch in loader]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_loading_from_a_step_gives_the_rest_of_its_stage(tmp_path):
    config = tiny_config(tmp_path)
    assert len(names(config, 0)) == 16 and len(names(config, 8)) == 20
    assert names(config, 5) == names(config, 0)[10:]
    assert names(tiny_config(tmp_path, "run.num_workers=2"), 5) == names(config, 5)


def test_loading_draws_no_global_random_numbers(tmp_path):
    state = torch.get_rng_state()
    names(tiny_config(tmp_path), 0)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_empty_data_set_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="the training data set is empty"):
        create_loader(Nothing(8), config=tiny_config(tmp_path), accelerator=Accelerator(cpu=True), step=0)


def test_pictures_take_the_memory_format_and_names_stay():
    batch = {"lq": torch.rand(2, 3, 4, 5), "name": ["a", "b"]}
    moved = to_device(batch, device=torch.device("cpu"), channels_last=True)
    assert moved["lq"].is_contiguous(memory_format=torch.channels_last) and moved["name"] == ["a", "b"]
    assert torch.equal(moved["lq"], batch["lq"])


class Failing(TinyPairs):
    """Fails at one picture, in one of several ways."""

    def __init__(self, way: str) -> None:
        super().__init__(8)
        self.way, self.num_items = way, 0

    def source_path(self, index: int) -> Path:
        return Path(f"folder/{index}.png")

    def __getitem__(self, key):
        self.num_items += 1
        if self.way == "sleeps" and self.num_items > 2:  # each process has loaded a batch
            time.sleep(1000)
        if key[1] == 3 and self.way != "sleeps":
            {"raises": self.fail, "dies": self.die}[self.way]()
        return super().__getitem__(key)

    def fail(self):
        raise ValueError("a message\nof two lines")

    def die(self):
        os.kill(os.getpid(), signal.SIGKILL)


def batches(dataset, tmp_path, num_workers):
    config = tiny_config(tmp_path, f"run.num_workers={num_workers}")
    return Batches(create_loader(dataset, config=config, accelerator=Accelerator(cpu=True), step=0))


def load_all(loaded):
    with loaded:
        for _ in range(8):
            loaded.next()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_an_item_that_fails_is_one_line_that_names_its_file(tmp_path, num_workers):
    with pytest.raises(DatasetError) as caught:
        load_all(batches(Failing("raises"), tmp_path, num_workers))
    message = str(caught.value)
    assert message.startswith("folder/3.png: cannot be made into a training pair (ValueError: a message of two lines)")
    assert "take it out of the folder" in message
    assert multiprocessing.active_children() == []


def test_pictures_of_two_sizes_do_not_fit_one_batch():
    failure = collate([{"lq": torch.zeros(3, 4, 4)}, {"lq": torch.zeros(3, 4, 5)}])
    assert failure.message.startswith("pictures cannot be put into one batch")
    assert "\n" not in failure.message


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_handler_of_ending_children_is_given_back(tmp_path):
    before = signal.signal(signal.SIGCHLD, lambda number, frame: None)
    handler = signal.getsignal(signal.SIGCHLD)
    try:
        with batches(TinyPairs(8), tmp_path, 0):
            assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGCHLD) is handler
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_whatever_ends_the_loop_ends_the_loading_processes(tmp_path):
    kept = None
    for error in (KeyboardInterrupt, RuntimeError):
        try:
            with batches(TinyPairs(8), tmp_path, 2) as loaded:
                loaded.next()
                raise error
        except error as caught:
            kept = caught  # its traceback holds the frames
        assert multiprocessing.active_children() == []
    assert kept is not None


@pytest.mark.e2e
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_loading_process_that_is_killed_is_an_error_within_seconds(tmp_path):
    with pytest.raises(LoaderError, match=r"ended by SIGKILL.*smaller run\.num_workers"):
        load_all(batches(Failing("dies"), tmp_path, 1))
    assert multiprocessing.active_children() == []


@pytest.mark.e2e
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_loading_process_that_does_not_end_is_killed(tmp_path):
    with batches(Failing("sleeps"), tmp_path, 2) as loaded:
        loaded.next()
        time.sleep(1)
        start = time.monotonic()
    assert time.monotonic() - start < 8
    assert multiprocessing.active_children() == []


@pytest.mark.e2e
def test_loading_processes_end_with_a_training_process_that_is_killed(tmp_path):
    code = (
        "import os, signal, sys, multiprocessing; from pathlib import Path;"
        f"sys.path[:0] = {[str(Path(__file__).parents[place]) for place in (0, 1)]!r};"
        "from test_loading import TinyPairs, batches;"
        "loaded = batches(TinyPairs(8), Path(sys.argv[1]), 2); loaded.next();"
        "print(*(child.pid for child in multiprocessing.active_children()), flush=True);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    outcome = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=100, check=False)
    pids = [int(pid) for pid in outcome.stdout.split()]
    assert len(pids) == 2
    for _ in range(200):
        pids = [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]
        if not pids:
            break
        time.sleep(0.1)
    assert pids == []


@pytest.mark.parametrize(
    ("exit_code", "advice"),
    [
        (3, "ended with exit code 3; see its messages above, or set run.num_workers=0 to see its error"),
        (-signal.SIGBUS, "shared memory is full: give /dev/shm more, or set run.num_workers=0"),
        (-signal.SIGKILL, "memory runs out; set a smaller run.num_workers, go on with --resume auto"),
        (-signal.SIGSEGV, "was ended by SIGSEGV; go on with --resume auto, or set run.num_workers=0"),
        (-200, "was ended by signal 200; go on with --resume auto"),
    ],
)
def test_each_death_of_a_loading_process_has_its_advice(exit_code: int, advice: str) -> None:
    class Ended:
        sentinel, exitcode = 0, exit_code

        def join(self, seconds: float) -> None:
            pass

    loaded = object.__new__(Batches)
    loaded._processes = [Ended()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ldrestore.training.data.loading.wait_for", lambda sentinels, timeout: sentinels)
        failure = loaded._loss(RuntimeError("lost"))
    assert isinstance(failure, LoaderError) and advice in str(failure)


def test_a_batch_that_is_lost_on_its_way_tells_of_open_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ldrestore.training.data.loading.SECONDS_TO_END", 0.01)
    with batches(TinyPairs(8), tmp_path, 0) as loaded:
        failure = loaded._loss(OSError(24, "Too many open files"))
        other = RuntimeError("of something else")
        assert loaded._loss(other) is other
    assert isinstance(failure, LoaderError)
    assert "Too many open files" in str(failure) and "allow more open files (ulimit -n)" in str(failure)


def test_a_single_item_that_fails_names_its_file() -> None:
    assert load_item(TinyPairs(8), (0, 3))["name"] == "0/3"
    with pytest.raises(DatasetError, match=r"^folder/3\.png: cannot be made into a training pair"):
        load_item(Failing("raises"), (0, 3))


def test_items_of_a_data_set_that_tells_no_files_are_named_by_number() -> None:
    class Nameless(TinyPairs):
        def __getitem__(self, key: tuple[int, int]) -> dict[str, object]:
            raise ValueError("broken")

    with pytest.raises(DatasetError, match=r"^item 5: .*ValueError: broken"):
        load_item(Nameless(8), (2, 5))


def test_pictures_keep_their_memory_format_where_none_is_asked_for() -> None:
    picture = torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    moved = to_device({"lq": picture, "window": torch.rand(2, 4)}, device=torch.device("cpu"), channels_last=False)
    assert moved["lq"].is_contiguous(memory_format=torch.channels_last)
    assert to_device({"window": torch.rand(2, 4)}, device=torch.device("cpu"), channels_last=True)["window"].ndim == 2
