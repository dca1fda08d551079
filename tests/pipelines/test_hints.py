"""What a user says of the damage steers a network that takes hints."""

import numpy as np
import pytest
import skimage
import torch

from ldrestore.assets.catalog import embedded_folder
from ldrestore.errors import InputError, UnknownNameError
from ldrestore.images.photo import Photo
from ldrestore.metrics import psnr
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.structures import DegradationEstimate
from ldrestore.systems.regression_steering import advice_on, hints_of_strengths, is_dark
from tests.regressors.test_contract import tiny

BRIGHT = Photo(pixels=np.full((8, 8, 3), 200, np.uint8))


@pytest.fixture(scope="module")
def pipeline():
    made = FastRestorePipeline(regressor=tiny("grid_nafnet"))
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture
def lq():
    return np.random.default_rng(0).random((40, 56, 3)).astype(np.float32)


def pixels_of(output):
    return output.photos[0].pixels


def test_hints_change_the_result_as_text_and_as_a_mapping(pipeline, lq):
    named = pipeline(lq, degradations="haze=0.5,rain")
    assert not np.array_equal(pixels_of(named), pixels_of(pipeline(lq)))
    assert np.array_equal(pixels_of(named), pixels_of(pipeline(lq, degradations={"haze": 0.5, "rain": 1})))


def test_the_record_says_what_was_said(pipeline, lq):
    assert pipeline(lq, degradations="haze=0").records[0]["options"]["degradations"] == {"haze": 0.0}
    assert pipeline(lq).records[0]["options"]["degradations"] is None


def test_who_rules_everything_out_gets_the_picture_back(pipeline, lq):
    nothing = dict.fromkeys(pipeline.regressor.config["degradations"], 0.0)
    assert np.array_equal(pixels_of(pipeline(lq, degradations=nothing)), lq)
    assert not np.array_equal(pixels_of(pipeline(lq, degradations={**nothing, "rain": 0.5})), lq)


def test_a_clean_picture_stays_much_as_it_is_when_nearly_everything_is_ruled_out():
    embedded = FastRestorePipeline.from_pretrained(embedded_folder("default"))
    embedded.set_progress_bar_config(disable=True)
    clean = skimage.data.chelsea()[60:220, 100:260].copy()
    nearly_nothing = {name: 0.0 for name in embedded.regressor.config["degradations"] if name != "haze"}
    assert psnr(pixels_of(embedded(clean, degradations=nearly_nothing)), clean) > 33


def test_tiles_hear_the_hints_too(pipeline):
    lq = np.random.default_rng(1).random((300, 320, 3)).astype(np.float32)
    named, unnamed = (pixels_of(pipeline(lq, tile=256, degradations=words)) for words in ("haze", None))
    assert np.abs(named - unnamed).max() > 1e-4
    whole = pixels_of(pipeline(lq, tile="off", degradations="haze"))
    assert np.abs(named - whole).mean() < np.abs(named - unnamed).mean()


def test_the_estimate_knows_when_nothing_is_wrong(pipeline, lq):
    assert pipeline(lq).degradations[0].names[-1] == "clean"


def test_a_name_that_the_network_does_not_know_is_refused(pipeline, lq):
    with pytest.raises(UnknownNameError, match="did you mean 'haze'"):
        pipeline(lq, degradations="hase")


def test_a_network_without_hints_says_so(lq):
    with pytest.raises(InputError, match="takes no --degradation"):
        FastRestorePipeline(regressor=tiny("nafnet"))(lq, degradations="haze")


def test_hints_are_flags_then_strengths():
    assert torch.equal(hints_of_strengths({"rain": 0.5}, ("haze", "rain")), torch.tensor([[0.0, 1.0, 0.0, 0.5]]))


def test_a_picture_that_looks_too_dark_comes_with_the_way_to_ask():
    dark = DegradationEstimate(("haze", "low_light"), (0.1, 0.8))
    assert advice_on(BRIGHT, dark, {}) == ("looks too dark, which may be meant; --degradation low_light brightens it",)
    assert advice_on(BRIGHT, dark, {"low_light": 0.0}) == ()
    unsure = DegradationEstimate(("low_light",), (0.3,))
    assert advice_on(BRIGHT, unsure, {}) == advice_on(BRIGHT, None, {}) == ()


def test_a_dark_picture_comes_with_it_too_where_the_network_is_unsure(pipeline):
    night = np.full((2000, 1040, 3), 20, np.uint8)
    night[:500] = 240  # a bright sky over a dark city
    for pixels in (night, night.astype(np.uint16) * 257, night[..., :1]):
        assert is_dark(Photo(pixels=pixels)) and not is_dark(Photo(pixels=np.iinfo(pixels.dtype).max - pixels))
    unsure = DegradationEstimate(("low_light",), (0.3,))
    advice = ("is dark, which may be meant; --degradation low_light brightens it",)
    assert advice_on(Photo(pixels=night), unsure, {}) == advice
    assert advice_on(Photo(pixels=night), unsure, {"low_light": 0.5}) == ()
    assert pipeline(night[-40:, -56:]).advice[0][0].endswith(advice[0][-40:])
