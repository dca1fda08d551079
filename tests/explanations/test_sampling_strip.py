import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler

from ldrestore.explanations.sampling_strip import decode_estimates, decode_plainly, shown_steps, watched_sampling
from ldrestore.images.photo import Photo
from ldrestore.structures import TilePlan
from tests.tiny_stable import tiny_stable

WHOLE = TilePlan(tile=0, overlap=0, memory_bytes=None)
PICTURE = Photo(pixels=np.random.default_rng(0).integers(0, 256, (18, 23, 3), dtype=np.uint8))


@pytest.fixture
def pipeline():
    return tiny_stable()


def sampled(pipeline, **options):
    with watched_sampling(pipeline) as watch:
        output = pipeline(PICTURE, callback_on_step_end=watch.on_step_end, output_type="photo", **options)
    return watch, output.photos[0]


def test_estimates_are_those_of_the_scheduler(pipeline, monkeypatch):
    expected, step = [], DDIMScheduler.step

    def keep(self, model_output, timestep, sample, **options):
        expected.append(step(self, model_output, timestep, sample).pred_original_sample)
        return step(self, model_output, timestep, sample, **options)

    monkeypatch.setattr(DDIMScheduler, "step", keep)
    watch, _ = sampled(pipeline, num_inference_steps=4, tile="off")
    assert watch.timesteps == pipeline.scheduler.timesteps.tolist()
    for found, one in zip(watch.estimates, expected, strict=True):
        torch.testing.assert_close(found, one)


def test_watching_changes_nothing_and_leaves_nothing(pipeline):
    options = {"num_inference_steps": 3, "seed": 4}
    before = pipeline(PICTURE, output_type="photo", **options).photos[0]
    _, watched = sampled(pipeline, **options)
    assert np.array_equal(before.pixels, watched.pixels)
    assert not pipeline.unet._forward_hooks


def test_what_is_decoded_without_the_refiner_is_the_result_without_it(pipeline):
    plain = pipeline(PICTURE, num_inference_steps=3, refine=False, output_type="photo").photos[0]
    watch, refined = sampled(pipeline, num_inference_steps=3)
    (found,) = decode_plainly(pipeline, [watch.latents], PICTURE, plan=WHOLE)
    assert np.array_equal(found.pixels, plain.pixels) and not np.array_equal(found.pixels, refined.pixels)


def test_the_last_estimate_is_nearly_the_result(pipeline):
    watch, _ = sampled(pipeline, num_inference_steps=12)
    estimates = decode_estimates(pipeline, watch, PICTURE, plan=WHOLE)
    assert [one.step for one in estimates] == [1, 4, 7, 9, 12]
    assert [one.timestep for one in estimates] == [watch.timesteps[one.step - 1] for one in estimates]
    assert all(one.picture.pixels.shape == PICTURE.pixels.shape for one in estimates)
    torch.testing.assert_close(watch.estimates[-1], watch.latents, atol=0.2, rtol=0)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' own
def test_other_schedulers_are_watched_too():
    settings = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    watch, _ = sampled(tiny_stable(scheduler=EulerDiscreteScheduler(**settings)), num_inference_steps=3)
    assert all(one is not None and one.isfinite().all() for one in watch.estimates)


def test_a_picture_that_was_taken_in_tiles_has_no_estimates(pipeline, monkeypatch):
    # as one of more than a megapixel, or where memory is short
    monkeypatch.setattr("ldrestore.systems.sampled_pictures.prediction_tile", lambda *_sizes, **_needed: 256)
    large = Photo(pixels=np.zeros((16, 320, 3), np.uint8))
    with watched_sampling(pipeline) as watch:
        pipeline(large, callback_on_step_end=watch.on_step_end, num_inference_steps=1, tile=64)
    assert watch.estimates == [None] and watch.latents is not None
    assert decode_estimates(pipeline, watch, large, plan=WHOLE) == []


@pytest.mark.parametrize(("num_steps", "steps"), [(0, []), (1, [0]), (3, [0, 1, 2]), (50, [0, 12, 24, 37, 49])])
def test_steps_are_shown_from_the_first_to_the_last(num_steps, steps):
    assert shown_steps(num_steps) == steps
