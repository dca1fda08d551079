"""What a record says of a pipeline of the stable track, and of degradations that a user named."""

import copy

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler

from ldrestore.pipelines.sampled_records import describe_pipeline, named_degradations
from ldrestore.structures import DegradationEstimate
from tests.tiny_stable import tiny_stable


@pytest.fixture(scope="module")
def pipeline():
    return tiny_stable()


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


def test_degradations_that_were_named_are_kept_without_those_of_no_weight():
    given = DegradationEstimate(("rain", "haze", "jpeg"), (0.25, 0.75, 0.0))
    assert named_degradations(given) == {"haze": 0.75, "rain": 0.25}
    assert named_degradations(None) is None
