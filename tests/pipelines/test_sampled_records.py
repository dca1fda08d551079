"""What a record says of a pipeline of the stable track, and of what was asked."""

import copy

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler

from ldrestore.images.photo import Photo
from ldrestore.options import StableRestoreOptions
from ldrestore.pipelines.sampled_records import describe_pipeline, named_degradations, record_of_picture
from ldrestore.records import hash_of_pixels
from ldrestore.structures import DegradationEstimate, TilePlan
from tests.tiny_stable import tiny_stable

PHOTO = Photo(pixels=np.zeros((2, 3, 3), np.uint8))
ESTIMATE = DegradationEstimate(("rain", "haze"), (0.12345, 0.87655))


@pytest.fixture(scope="module")
def pipeline():
    return tiny_stable()


def record(**given):
    values = {
        "model": {"name": "tiny"},
        "runtime": {"device": "cpu"},
        "options": StableRestoreOptions(),
        "recorded": {"degradations": None},
        "mask": None,
        "plan": TilePlan(tile=512, overlap=64, memory_bytes=None),
        "estimate": ESTIMATE,
    }
    return record_of_picture(PHOTO, PHOTO, **{**values, **given})


def test_every_network_has_its_hash_and_equal_pipelines_are_described_alike(pipeline):
    described = describe_pipeline(pipeline)
    assert described == describe_pipeline(tiny_stable())
    assert {"unet", "vae", "text_encoder", "image_encoder", "predictor", "drm"} <= set(described["parts_sha256"])
    assert described["pipeline"] == "StableRestorePipeline" and described["scheduler"] == "DDIMScheduler"


def test_a_weight_that_changed_is_another_model(pipeline):
    other = tiny_stable()
    with torch.no_grad():
        other.drm.levels[0].modulator.visual_prompt.add_(1)
    before, after = describe_pipeline(pipeline), describe_pipeline(other)
    assert before["weights_sha256"] != after["weights_sha256"]
    changed = {name for name, digest in before["parts_sha256"].items() if after["parts_sha256"][name] != digest}
    assert changed == {"drm"}


def test_a_scheduler_or_its_settings_are_part_of_the_description(pipeline):
    before = describe_pipeline(pipeline)
    other = copy.copy(pipeline)
    other.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    after = describe_pipeline(other)
    assert after["scheduler"] == "DPMSolverMultistepScheduler"
    assert after["scheduler_sha256"] != before["scheduler_sha256"]
    assert after["weights_sha256"] == before["weights_sha256"]


def test_a_record_keeps_what_was_asked_and_what_the_model_went_by():
    kept = record(options=StableRestoreOptions(num_inference_steps=7, seed=3))
    assert kept["options"]["num_inference_steps"] == 7 and kept["options"]["seed"] == 3
    assert kept["options"]["degradations"] is None and kept["options"]["protect_sha256"] is None
    assert kept["degradations"] == {"haze": 0.877, "rain": 0.123}
    assert kept["input_sha256"] == kept["output_sha256"] == hash_of_pixels(PHOTO.pixels, None)
    assert kept["tile_plan"]["tile"] == 512 and "transformers" in kept["packages"]


def test_degradations_that_were_named_are_kept_without_those_of_no_weight():
    given = DegradationEstimate(("rain", "haze", "jpeg"), (0.25, 0.75, 0.0))
    assert record(recorded={"degradations": named_degradations(given)})["options"]["degradations"] == {
        "haze": 0.75,
        "rain": 0.25,
    }


def test_a_mask_is_kept_by_its_hash():
    mask = Photo(pixels=np.full((2, 3, 1), 255, np.uint8))
    assert record(mask=mask)["options"]["protect_sha256"] == hash_of_pixels(mask.pixels, None)
