"""Who waits for a device, and which models stay loaded on it."""

import threading
from types import SimpleNamespace

import pytest

from ldrestore.errors import RunCancelledError, WeightsError
from ldrestore.serving.device_workers import MOST_LOADED, DevicePool, DeviceWorker


def request_for(model, dtype="float32"):
    return SimpleNamespace(model=model, dtype=dtype)


@pytest.fixture
def loads(monkeypatch):
    """Names of the models that were loaded, in order; "broken" cannot be."""
    names = []

    def load(request):
        names.append(request.model)
        if request.model == "broken":
            raise WeightsError("damaged")
        return object()

    monkeypatch.setattr("ldrestore.serving.device_workers.load_pipeline", load)
    return names


def test_a_model_is_loaded_once_and_the_one_used_least_lately_goes(loads) -> None:
    worker = DeviceWorker("cpu")
    assert MOST_LOADED == 2
    first = worker.pipeline(request_for("a"))
    worker.pipeline(request_for("b"))
    assert worker.pipeline(request_for("a")) is first
    worker.pipeline(request_for("c"))  # in place of b
    assert worker.pipeline(request_for("a")) is first
    worker.pipeline(request_for("b"))
    assert loads == ["a", "b", "c", "b"]


def test_one_model_in_two_number_formats_is_two(loads) -> None:
    worker = DeviceWorker("cpu")
    assert worker.pipeline(request_for("a")) is not worker.pipeline(request_for("a", "bfloat16"))
    assert loads == ["a", "a"]


def test_a_model_that_cannot_be_loaded_is_asked_for_again(loads) -> None:
    worker = DeviceWorker("cpu")
    for _ in range(2):
        with pytest.raises(WeightsError, match="damaged"):
            worker.pipeline(request_for("broken"))
    assert loads == ["broken", "broken"]
    assert worker.pipeline(request_for("a")) is worker.pipeline(request_for("a"))


def test_each_device_does_one_picture_at_a_time() -> None:
    pool, lock = DevicePool(["cuda:0", "cuda:1"]), threading.Lock()
    at_work, most, done = [], [], []

    def work():
        with pool.worker(lambda: False) as worker:
            with lock:
                at_work.append(worker.device)
                most.append(sorted(at_work))
            threading.Event().wait(0.005)
            with lock:
                at_work.remove(worker.device)
                done.append(worker.device)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 12 and set(done) == {"cuda:0", "cuda:1"}
    assert all(len(set(devices)) == len(devices) <= 2 for devices in most)


def test_a_device_comes_back_after_an_error() -> None:
    pool = DevicePool(["cpu"])
    with pytest.raises(ZeroDivisionError), pool.worker(lambda: False):
        raise ZeroDivisionError
    with pool.worker(lambda: False) as worker:
        assert worker.device == "cpu"


def test_who_has_called_off_gets_no_device_even_if_one_is_free() -> None:
    pool = DevicePool(["cpu"])
    with pytest.raises(RunCancelledError, match="before it began"), pool.worker(lambda: True):
        pytest.fail("nobody wants the device")
    with pool.worker(lambda: False) as worker:
        assert worker.device == "cpu"
