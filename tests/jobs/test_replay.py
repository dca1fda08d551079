import json

import numpy as np
import pytest
import torch
from PIL import Image

from ldrestore.errors import InputError, RecordError
from ldrestore.jobs.outcome import Job
from ldrestore.jobs.replay import FileState, ReplayRequest, replay
from ldrestore.jobs.request import RestoreRequest, options_for
from ldrestore.jobs.restoring import RestoreWorker
from ldrestore.records import record_path


def restored(source, target, model, **options):
    """A result with its record."""
    request = RestoreRequest(model=str(model), device="cpu", options=options_for(str(model), options))
    RestoreWorker(request)(Job(source=source, target=target, name=source.name))
    return target


def edit(result, change):
    """Change the record of a result."""
    path = record_path(result)
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_the_same_pixels_come_again_with_the_options_of_the_record(picture, tiny_model, tmp_path, suffix):
    source = picture(tmp_path / "x.png", height=150, width=140)
    options = {"fidelity": 0.3, "tile": 64, "self_ensemble": True}
    result = restored(source, tmp_path / f"out{suffix}", tiny_model, **options)
    replayed = replay(result, ReplayRequest(source=source, model=str(tiny_model)))
    assert replayed.is_reproduced and replayed.differences == () and replayed.file_state is FileState.INTACT
    assert replayed.record["tile_plan"]["tile"] == 64
    if suffix == ".png":
        assert np.array_equal(replayed.photo.pixels, np.asarray(Image.open(result)))


def test_a_planned_picture_is_planned_the_same(picture, tiny_model, tmp_path):
    source = picture(tmp_path / "x.png", height=300, width=310)
    result = restored(source, tmp_path / "out.png", tiny_model, memory_gb=0.04)
    assert json.loads(record_path(result).read_text())["tile_plan"]["tile"] > 0
    replayed = replay(result, ReplayRequest(source=source, model=str(tiny_model)))
    assert replayed.is_reproduced and replayed.differences == ()


def test_a_sampled_result_comes_again_with_its_seed(picture, stable_model, tmp_path):
    source = picture(tmp_path / "x.png", height=40, width=36)
    result = restored(source, tmp_path / "out.png", stable_model, seed=7, num_inference_steps=2)
    replayed = replay(result, ReplayRequest(source=source, model=str(stable_model)))
    assert replayed.is_reproduced and replayed.differences == ()
    edit(result, lambda record: record["options"].update(seed=8))
    assert not replay(result, ReplayRequest(source=source, model=str(stable_model))).is_reproduced


def test_as_many_threads_compute_as_then_and_the_number_is_restored(picture, tiny_model, tmp_path):
    source = picture(tmp_path / "x.png")
    result = restored(source, tmp_path / "out.png", tiny_model)
    before = torch.get_num_threads()
    edit(result, lambda record: record["runtime"].update(threads=before + 1))
    replayed = replay(result, ReplayRequest(source=source, model=str(tiny_model)))
    assert replayed.record["runtime"]["threads"] == before + 1 and replayed.differences == ()
    assert torch.get_num_threads() == before


def test_other_weights_and_versions_are_told(picture, tiny_model, tmp_path):
    from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline

    source = picture(tmp_path / "x.png")
    result = restored(source, tmp_path / "out.png", tiny_model)
    edit(result, lambda record: record["packages"].update(torch="1.0"))
    pipeline = FastRestorePipeline.from_pretrained(tiny_model)
    with torch.no_grad():
        pipeline.regressor.ending.bias.add_(0.2)
    pipeline.save_pretrained(tmp_path / "other")
    replayed = replay(result, ReplayRequest(source=source, model=str(tmp_path / "other")))
    assert not replayed.is_reproduced
    names = {one.name: one for one in replayed.differences}
    assert names.keys() == {"packages.torch", "model.name", "model.weights_sha256"}
    assert names["packages.torch"].recorded == "1.0" and names["model.name"].present == "other"


def test_another_input_is_told_and_nothing_is_computed(picture, tiny_model, tmp_path):
    result = restored(picture(tmp_path / "x.png"), tmp_path / "out.png", tiny_model)
    other = picture(tmp_path / "y.png", seed=5)
    replayed = replay(result, ReplayRequest(source=other, model=str(tiny_model)))
    assert not replayed.is_reproduced and replayed.photo is None
    assert [one.name for one in replayed.differences] == ["input_sha256"]
    assert "not the picture that this result was made of" in replayed.reason


@pytest.mark.parametrize(
    ("source", "target"),
    [("x.png", "out.png"), ("in/x.png", "out/x.png"), ("x.png", "out/x.png"), ("in/sub/x.png", "out/sub/x.png")],
)
def test_the_input_is_found_by_its_pixels(picture, tiny_model, tmp_path, source, target):
    picture(tmp_path / "a.png", seed=9)
    path = picture(tmp_path / source)
    (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
    result = restored(path, tmp_path / target, tiny_model, scale=2)
    replayed = replay(result, ReplayRequest(model=str(tiny_model)))
    assert replayed.source == path and replayed.is_reproduced
    path.unlink()
    missing = replay(result, ReplayRequest(model=str(tiny_model)))
    assert missing.source is None and "--input" in missing.reason and not missing.is_reproduced


def test_a_mask_is_given_again(picture, tiny_model, tmp_path):
    source, mask = picture(tmp_path / "x.png"), picture(tmp_path / "mask.png", mode="L")
    result = restored(source, tmp_path / "out.png", tiny_model, protect=mask)
    request = ReplayRequest(source=source, model=str(tiny_model))
    with pytest.raises(InputError, match="give it again with --protect"):
        replay(result, request)
    masked = replay(result, ReplayRequest(source=source, model=str(tiny_model), protect=mask))
    assert masked.is_reproduced and masked.differences == ()
    other = ReplayRequest(source=source, model=str(tiny_model), protect=picture(tmp_path / "n.png", mode="L", seed=3))
    assert [one.name for one in replay(result, other).differences] == ["options.protect_sha256"]


def test_a_changed_file_is_told_from_changed_metadata(picture, tiny_model, tmp_path):
    source = picture(tmp_path / "x.png")
    result = restored(source, tmp_path / "out.png", tiny_model)
    request = ReplayRequest(source=source, model=str(tiny_model))
    with Image.open(result) as image:
        pixels = np.asarray(image).copy()
    Image.fromarray(pixels).save(result, compress_level=1)
    assert replay(result, request).file_state is FileState.SAME_PIXELS
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(result)
    replayed = replay(result, request)
    assert replayed.file_state is FileState.OTHER_PIXELS and replayed.is_reproduced


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "has no record"),
        ("{", "cannot be read as a record"),
        ("[]", "is no record of ldrestore"),
        ('{"ldrestore": "1"}', "is no record of ldrestore"),
    ],
)
def test_what_is_no_record_is_refused(picture, tmp_path, text, message):
    result = picture(tmp_path / "x.png")
    if text is not None:
        record_path(result).write_text(text)
    with pytest.raises(RecordError, match=message):
        replay(result)
    with pytest.raises(RecordError, match=r"there is no file .*y\.png; check the path"):
        replay(tmp_path / "y.png")


@pytest.mark.parametrize("options", [{"fidelity": "much"}, {"scale": 99}, {"fidelity": 2}])
def test_options_that_cannot_be_are_a_damaged_record(picture, tiny_model, tmp_path, options):
    source = picture(tmp_path / "x.png")
    result = restored(source, tmp_path / "out.png", tiny_model)
    edit(result, lambda record: record["options"].update(options))
    with pytest.raises(RecordError, match="holds an option that cannot be"):
        replay(result, ReplayRequest(source=source, model=str(tiny_model)))


def test_a_record_fetches_nothing(picture, tiny_model, tmp_path, monkeypatch):
    from ldrestore.errors import WeightsUnavailableError

    source = picture(tmp_path / "x.png")
    result = restored(source, tmp_path / "out.png", tiny_model)
    edit(result, lambda record: record["model"].update(name="somebody/something"))
    calls = []

    def snapshot_download(*arguments, local_files_only, **options):
        calls.append(local_files_only)
        raise OSError("not in the cache")

    monkeypatch.setattr("ldrestore.weights.folders.snapshot_download", snapshot_download)
    with pytest.raises(WeightsUnavailableError):
        replay(result, ReplayRequest(source=source))
    assert calls and all(calls)
