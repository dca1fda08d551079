import numpy as np
import pytest

from ldrestore.images.photo import Photo
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from tests.regressors.test_contract import tiny


@pytest.fixture
def pipeline():
    """`pipeline(name)` gives a tiny, random model of an architecture."""

    def build(name):
        built = FastRestorePipeline(tiny(name))
        built.set_progress_bar_config(disable=True)
        return built

    return build


@pytest.fixture
def photo():
    """`photo(seed, shape)` gives a random picture."""

    def draw(seed=0, shape=(20, 24, 3), dtype=np.uint8):
        values = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
        return Photo(pixels=values)

    return draw
