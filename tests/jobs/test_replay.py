import contextlib
import copy
import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from ldrestore.errors import ImageFileError, ImageNotFoundError, InputError, LDRestoreError, RecordError
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


@pytest.fixture
def made(picture, tiny_model, tmp_path):
    """A result, with the request that replays it."""
    source = picture(tmp_path / "x.png")
    result = restored(source, tmp_path / "out.png", tiny_model)
    return result, ReplayRequest(source=source, model=str(tiny_model))


@pytest.mark.parametrize(
    ("group", "entry", "value", "name"),
    [
        ("packages", "torch", "1.0", "packages.torch"),
        ("packages", "gone", "2.0", "packages.gone"),
        ("model", "weights_sha256", "0" * 64, "model.weights_sha256"),
        ("model", "architecture", "Restormer", "model.architecture"),
        ("runtime", "processor", "NEON", "runtime.processor"),
        ("runtime", "device", "cuda:7", "runtime.device"),
        ("tile_plan", "overlap", 17, "tile_plan.overlap"),
    ],
)
def test_each_kind_of_difference_is_named_with_then_and_now(made, group, entry, value, name) -> None:
    result, request = made
    present = json.loads(record_path(result).read_text())[group].get(entry)
    edit(result, lambda record: record[group].update({entry: value}))
    replayed = replay(result, request)
    (difference,) = replayed.differences
    assert (difference.name, difference.recorded, difference.present) == (name, value, present)
    assert replayed.is_reproduced  # the pixels are the same all the same


def test_other_threads_and_another_version_of_ours_are_told(made) -> None:
    result, request = made
    edit(result, lambda record: (record.update(ldrestore="0.0.1"), record["runtime"].update(threads=3)))
    replayed = replay(result, request)
    assert [difference.name for difference in replayed.differences] == ["ldrestore"]
    assert replayed.record["runtime"]["threads"] == 3  # computed with as many as then


def test_what_an_older_record_did_not_tell_is_no_difference(made) -> None:
    result, request = made
    for group, entry in (("runtime", "processor"), ("packages", "tifffile"), ("tile_plan", "look")):
        edit(result, lambda record, group=group, entry=entry: record[group].pop(entry))
    edit(result, lambda record: record.pop("understood"))
    replayed = replay(result, request)
    assert replayed.is_reproduced and replayed.differences == ()


@pytest.mark.parametrize(
    ("group", "entry", "values"),
    [
        ("runtime", "threads", [0, -1, True, "4", [1], 10**9, 10**30]),
        ("tile_plan", "memory_bytes", ["much", [1], {"a": 1}, -1, 1.5, True]),
        ("options", "scale", [None, {}, "2", 0, 2.5, True, 99]),
    ],
)
def test_numbers_of_a_strangers_record_are_checked_before_they_are_used(made, group, entry, values) -> None:
    result, request = made
    before = record_path(result).read_text()
    for value in values:
        record_path(result).write_text(before)
        edit(result, lambda record, value=value: record[group].update({entry: value}))
        for call in (request, replace(request, source=None)):
            with pytest.raises(RecordError, match="an option that cannot be"):
                replay(result, call)


def test_nothing_that_a_record_may_hold_ends_in_a_fault_of_ours(made) -> None:
    result, request = made
    before = json.loads(record_path(result).read_text())
    strange = [None, "much", -1, 1e308, [1], {"a": 1}, "\udcff"]
    drawn = random.Random(0)
    groups = [name for name, value in before.items() if isinstance(value, dict)]
    for _ in range(60):
        record = copy.deepcopy(before)
        for _ in range(drawn.randint(1, 3)):
            group = drawn.choice(groups)
            record[group][drawn.choice(list(record[group]))] = drawn.choice(strange)
        record_path(result).write_text(json.dumps(record))
        with contextlib.suppress(LDRestoreError):
            assert replay(result, request).result == result


def test_a_record_in_place_of_its_picture_is_told_apart(made) -> None:
    result, request = made
    with pytest.raises(RecordError, match=r"out\.png\.json is a record; name the picture"):
        replay(record_path(result), request)


def test_an_input_that_is_gone_or_broken_is_named(made, tmp_path) -> None:
    result, request = made
    with pytest.raises(ImageNotFoundError, match="no such file"):
        replay(result, replace(request, source=tmp_path / "gone.png"))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ImageFileError, match=r"broken\.png: is not a picture"):
        replay(result, replace(request, source=tmp_path / "broken.png"))


def test_the_input_is_the_same_whatever_file_its_pixels_lie_in(made, tmp_path) -> None:
    result, request = made
    with Image.open(request.source) as image:
        image.save(tmp_path / "x.tif")
    assert replay(result, replace(request, source=tmp_path / "x.tif")).is_reproduced


def test_broken_and_other_pictures_on_the_way_to_the_input_are_passed_by(made, picture, tmp_path) -> None:
    result, request = made
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "b.png").mkdir()
    (tmp_path / "c.png").symlink_to(tmp_path / "c.png")
    picture(tmp_path / "d.png", seed=5)  # of the same size
    found = replay(result, replace(request, source=None))
    assert found.source == tmp_path / "x.png" and found.is_reproduced


def test_the_search_for_the_input_ends(made, picture, tmp_path, monkeypatch) -> None:
    result, request = made
    monkeypatch.setattr("ldrestore.jobs.replay.MOST_LOOKED_AT", 3)
    for index in range(4):
        picture(tmp_path / f"a{index}.png", seed=10 + index)
    replayed = replay(result, replace(request, source=None))
    assert (replayed.source, replayed.is_reproduced, replayed.photo) == (None, False, None)
    assert "name it with --input" in replayed.reason
