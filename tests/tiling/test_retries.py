import weakref
from types import SimpleNamespace

import pytest
import torch

from ldrestore.errors import OutOfMemoryError
from ldrestore.tiling.planning import fixed_plan
from ldrestore.tiling.retries import on_cpu_without_memory, with_smaller_tiles


def refuse(*_):
    raise torch.OutOfMemoryError("CUDA out of memory")


def test_what_a_device_has_no_memory_for_is_computed_on_the_cpu(caplog):
    there = SimpleNamespace(device=SimpleNamespace(type="cuda"), cpu=lambda: "here")
    assert on_cpu_without_memory(lambda x: x if x == "here" else refuse(), there) == "here"
    assert "going on with the CPU" in caplog.text
    with pytest.raises(OutOfMemoryError, match="after the last tile"):
        on_cpu_without_memory(refuse, torch.ones(1))
    with pytest.raises(RuntimeError, match="else"):
        on_cpu_without_memory(lambda x: (_ for _ in ()).throw(RuntimeError("something else")), torch.ones(1))


def test_smaller_tiles_are_tried_until_they_fit():
    tried = []

    def compute(plan):
        tried.append(plan.tile)
        return "done" if plan.tile and plan.tile <= 256 else refuse()

    result, plan = with_smaller_tiles(compute, fixed_plan(0), height=500, width=700)
    assert (result, plan.tile, tried) == ("done", 256, [0, 512, 384, 256])
    with pytest.raises(OutOfMemoryError, match="the smallest"):
        with_smaller_tiles(refuse, fixed_plan(0), height=500, width=700)


def test_what_a_failed_pass_held_is_gone_before_the_next():
    held, alive = [], []

    def compute(plan):
        alive.extend(reference() is not None for reference in held)
        features = torch.ones(4)
        held.append(weakref.ref(features))
        return "done" if plan.tile and plan.tile <= 384 else refuse()

    with_smaller_tiles(compute, fixed_plan(0), height=500, width=700)
    assert alive == [False] * 3  # one at the second try, two at the third
