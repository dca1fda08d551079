"""What records and outputs of all tracks have in common."""

from collections.abc import Mapping

import numpy as np
import pytest

from ldrestore.images.photo import Photo
from ldrestore.options import StableRestoreOptions
from ldrestore.pipelines.picture_records import record_of_picture
from ldrestore.pipelines.pipeline_foreign_restore import ForeignRestorePipeline
from ldrestore.records import hash_of_pixels
from ldrestore.structures import DegradationEstimate, TilePlan
from ldrestore.tracks import TRACKS
from tests.foreign_networks import compact, publish
from tests.tiny_stable import tiny_stable
from tests.tiny_xl_pipeline import tiny_xl

PHOTO = Photo(pixels=np.zeros((2, 3, 3), np.uint8))
ESTIMATE = DegradationEstimate(("rain", "haze"), (0.12345, 0.87655))


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


def test_a_record_keeps_what_was_asked_and_what_the_model_went_by():
    kept = record(options=StableRestoreOptions(num_inference_steps=7, seed=3))
    assert kept["options"]["num_inference_steps"] == 7 and kept["options"]["seed"] == 3
    assert kept["options"]["degradations"] is None and kept["options"]["protect_sha256"] is None
    assert kept["degradations"] == {"haze": 0.877, "rain": 0.123}
    assert kept["input_sha256"] == kept["output_sha256"] == hash_of_pixels(PHOTO.pixels, None)
    assert kept["tile_plan"]["tile"] == 512 and "transformers" not in kept["packages"]
    assert "transformers" in record(more_packages=("transformers",))["packages"]


def test_a_mask_is_kept_by_its_hash():
    mask = Photo(pixels=np.full((2, 3, 1), 255, np.uint8))
    assert record(mask=mask)["options"]["protect_sha256"] == hash_of_pixels(mask.pixels, None)


def foreign(tmp_path):
    """A pipeline around a network of another project."""
    pytest.importorskip("spandrel")
    return ForeignRestorePipeline.from_pretrained(publish(compact(scale=2), tmp_path / "double.safetensors"))


@pytest.mark.parametrize("track", ["fast", "foreign", "stable", "xl"])
def test_every_track_tells_of_degradations_in_one_form(track, pipeline, picture, tmp_path):
    assert sorted(TRACKS.names()) == ["fast", "foreign", "stable", "xl"]
    makers = {"fast": lambda: pipeline, "foreign": lambda: foreign(tmp_path), "stable": tiny_stable, "xl": tiny_xl}
    steps = {"num_inference_steps": 1} if track in ("stable", "xl") else {}
    output = makers[track]()([picture(8, 8, 3), picture(9, 7, 3)], **steps)
    assert type(output.degradations) is list and len(output.degradations) == 2
    for estimate, record in zip(output.degradations, output.records, strict=True):
        assert isinstance(estimate, Mapping) and bool(estimate) == (track == "stable")
        assert estimate.ranked() == sorted(estimate.items(), key=lambda pair: -pair[1])
        assert (record["degradations"] or {}).keys() == estimate.keys()
