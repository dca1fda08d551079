"""What a sampled picture draws by, and the tiles of its stages when memory runs out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ldrestore.errors import OutOfMemoryError
from ldrestore.images.photo import Photo
from ldrestore.structures import TilePlan
from ldrestore.systems.picture_sampling import StagePlans, visible_content

PLAN = TilePlan(tile=512, overlap=64, memory_bytes=4 * 10**9)


def fits(side):
    """A stage with memory for tiles up to a side."""

    def compute(plan):
        if plan.tile == 0 or plan.tile > side:
            raise MemoryError
        return torch.tensor(plan.tile)

    return compute


@pytest.fixture
def plans():
    return StagePlans(PLAN, height=2000, width=1500)


def test_a_stage_that_fits_keeps_the_plan(plans):
    assert plans.predict(fits(512)) == plans.autoencode(fits(512)) == 512
    assert plans.summary == PLAN


def test_the_prediction_goes_on_with_the_tiles_that_memory_allowed(plans):
    small = int(plans.predict(fits(256)))
    calls = []
    plans.predict(lambda plan: calls.append(plan.tile) or torch.zeros(()))
    assert small <= 256 and calls == [small]
    assert plans.autoencoder is PLAN


def test_the_summary_tells_of_both_stages_and_counts_each_step_of_either(plans):
    plans.autoencode(fits(256))
    summary = plans.summary
    assert summary.tile == 512 and summary.decoder_tile == plans.autoencoder.tile <= 256
    assert summary.steps_down == plans.autoencoder.steps_down > 0
    plans.predict(fits(384))
    both = plans.summary
    steps = plans.prediction.steps_down, plans.autoencoder.steps_down
    assert min(steps) > 0 and both.steps_down == sum(steps)  # memory ran out so often
    plans.predict(fits(plans.autoencoder.tile))
    assert plans.summary.unet_tile == plans.summary.decoder_tile == plans.autoencoder.tile
    assert plans.summary.steps_down == 2 * plans.autoencoder.steps_down


def test_a_plan_that_came_down_before_is_not_counted_twice():
    begun = replace(PLAN, steps_down=2)
    plans = StagePlans(begun, height=2000, width=1500)
    plans.autoencode(fits(256))
    assert plans.summary.steps_down == plans.autoencoder.steps_down


def test_where_nothing_fits_the_error_says_so(plans):
    with pytest.raises(OutOfMemoryError):
        plans.predict(fits(0))


def test_other_failures_are_not_tried_again(plans):
    calls = []

    def fail(plan):
        calls.append(plan)
        raise RuntimeError("a fault of the code")

    with pytest.raises(RuntimeError, match="a fault of the code"):
        plans.predict(fail)
    assert len(calls) == 1 and plans.prediction is PLAN


def test_colours_under_full_transparency_do_not_count_and_all_else_does():
    pixels = np.full((2, 2, 3), 90, np.uint8)
    alpha = np.array([[0, 255], [255, 255]], np.uint8)
    other = pixels.copy()
    other[0, 0] = 7
    content = visible_content(Photo(pixels=pixels, alpha=alpha))
    assert visible_content(Photo(pixels=other, alpha=alpha)) == content
    assert visible_content(Photo(pixels=other)) != visible_content(Photo(pixels=pixels))
    other[1, 1] = 8
    assert visible_content(Photo(pixels=other, alpha=alpha)) != content
