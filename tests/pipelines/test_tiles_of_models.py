"""Every embedded model: a picture in tiles is the picture taken whole, also where no part of it is like the whole."""

import numpy as np
import pytest

from ldrestore.assets.catalog import MODELS
from ldrestore.restorers import load_restorer
from ldrestore.structures import TilePlan
from ldrestore.tiling.planning import count_tiles
from tests.tile_pictures import PICTURES, picture_of
from tests.tile_scores import block_difference, border_jump, share_beyond

MEGAPIXEL = (1000, 1000)
FOUR_MEGAPIXELS = (1700, 2300)
NUM_STEPS = 2
"""Of sampled models: each step goes through the same tiles."""


@pytest.fixture(scope="module")
def restored():
    """Restores with a model, each loaded once; the result (H, W, 3) uint8, and its plan."""
    pipelines = {}

    def restore(model, pixels, **options):
        if model not in pipelines:
            pipelines[model] = load_restorer(model)
            pipelines[model].set_progress_bar_config(disable=True)
        steps = {"num_inference_steps": NUM_STEPS} if is_sampled(model) else {}
        output = pipelines[model](pixels, output_type="photo", **steps, **options)
        return output.photos[0].pixels, TilePlan(**output.records[0]["tile_plan"])

    return restore


def is_sampled(model):
    return MODELS.get(model).track != "fast"


def check_alike(model, tiled, whole):
    """Within two levels: each value but one of a thousand, or, of a sampled model, the mean of each block."""
    if is_sampled(model):
        assert block_difference(tiled, whole) <= 2
    else:
        assert share_beyond(tiled, whole) <= 0.001


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("model", list(MODELS.names()))
def test_tiles_are_the_whole(restored, model, name):
    pixels = picture_of(name, 64, 448)
    whole, _ = restored(model, pixels, tile="off")
    tiled, plan = restored(model, pixels, tile=256)
    assert count_tiles(plan, 64, 448) > 1
    check_alike(model, tiled, whole)
    assert border_jump(tiled, whole, plan) <= 2


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("model", list(MODELS.names()))
def test_large_pictures_in_tiles_and_by_budgets_are_the_whole(restored, model, name):
    pixels = picture_of(name, *(MEGAPIXEL if is_sampled(model) else FOUR_MEGAPIXELS))
    whole, _ = restored(model, pixels, tile="off")
    for options in ({"tile": 256}, {"tile": 512}, {"memory_gb": 1}, {"memory_gb": 2}, {"memory_gb": 4}):
        tiled, plan = restored(model, pixels, **options)
        check_alike(model, tiled, whole)
        assert border_jump(tiled, whole, plan) <= 2, options


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("model", [name for name in MODELS.names() if not is_sampled(name)])
def test_two_plans_of_twelve_megapixels_are_alike(restored, model):
    pixels = np.repeat(np.repeat(picture_of("one lamp", 750, 1000), 4, axis=0), 4, axis=1)
    results = [restored(model, pixels, **options) for options in ({}, {"memory_gb": 1})]
    assert results[0][1] != results[1][1]
    check_alike(model, results[0][0], results[1][0])
