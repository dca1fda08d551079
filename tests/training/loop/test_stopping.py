import os
import signal
import threading

import pytest
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
