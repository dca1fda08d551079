"""One call of a pipeline at a time, and nothing left behind by it."""

import copy
import threading
import time

import pytest

from ldrestore.pipelines.one_call import one_call
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from tests.regressors.test_contract import tiny


@pytest.fixture
def pipeline(monkeypatch):
    """Counts how often its modules are sent back."""
    built = FastRestorePipeline(tiny("nafnet"))
    built.num_freed = 0
    monkeypatch.setattr(FastRestorePipeline, "maybe_free_model_hooks", lambda self: vars(self).update(num_freed=1))
    return built


def test_modules_go_back_after_success_and_after_failure(pipeline):
    with one_call(pipeline):
        assert pipeline.num_freed == 0
    assert pipeline.num_freed == 1
    pipeline.num_freed = 0
    with pytest.raises(KeyError), one_call(pipeline):
        raise KeyError
    assert pipeline.num_freed == 1


def test_threads_wait_for_each_other_and_other_pipelines_do_not(pipeline):
    order, inside = [], threading.Event()
    other = copy.copy(pipeline)

    def hold():
        with one_call(pipeline):
            inside.set()
            time.sleep(0.1)
            order.append("first")

    def follow():
        with one_call(pipeline):
            order.append("second")

    threads = [threading.Thread(target=hold), threading.Thread(target=follow)]
    threads[0].start()
    inside.wait()
    threads[1].start()
    with one_call(other):
        order.append("other")
    for thread in threads:
        thread.join()
    assert order == ["other", "first", "second"]


def test_a_call_within_a_call_does_not_wait_for_itself(pipeline):
    with one_call(pipeline), one_call(pipeline):
        pass


def test_the_lock_does_not_hinder_a_copy(pipeline):
    with one_call(pipeline):
        assert isinstance(copy.deepcopy(pipeline), FastRestorePipeline)
