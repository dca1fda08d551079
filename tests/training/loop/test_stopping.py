import os
import signal
import threading

import pytest
import torch
from accelerate import Accelerator

from ldrestore.training.loop.stopping import StopRequest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_a_wish_and_the_second_acts(number):
    accelerator, before = Accelerator(cpu=True), signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop.agreed(accelerator)
        os.kill(os.getpid(), number)
        assert stop.agreed(accelerator)
        assert signal.getsignal(number) is before


def test_handlers_are_given_back():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with StopRequest():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_other_threads_train_without_signals():
    errors = []

    def train():
        try:
            with StopRequest():
                pass
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert not errors


@pytest.mark.parametrize(("wishes_of_others", "is_stopping"), [(0, False), (1, True), (3, True)])
def test_of_several_processes_one_wish_is_enough(wishes_of_others: int, is_stopping: bool) -> None:
    class Processes:
        num_processes, device = 4, torch.device("cpu")

        def reduce(self, wishes: torch.Tensor, *, reduction: str) -> torch.Tensor:
            assert reduction == "sum" and wishes.tolist() == [0]
            return wishes + wishes_of_others

    assert StopRequest().agreed(Processes()) is is_stopping
