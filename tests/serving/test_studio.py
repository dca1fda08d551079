import json
import threading
import time

import numpy as np
import pytest
from PIL import Image

from ldrestore.errors import LDRestoreError, RunCancelledError, UnknownNameError
from ldrestore.images.files import read_photo, write_photo
from ldrestore.images.headers import read_size
from ldrestore.images.photo import Photo
from ldrestore.jobs.outcome import Job
from ldrestore.jobs.restoring import RestoreWorker
from ldrestore.serving.offered_models import OfferedModel
from ldrestore.serving.studio import Studio, result_name
from ldrestore.serving.wishes import Wishes, request_of


def wishes_of(studio, model="tiny", **changes):
    return Wishes(model=studio.models[model], **changes)


def test_the_file_is_the_one_that_the_command_writes(make_studio, tmp_path):
    studio = make_studio()
    source = studio.store.new_folder() / "deep.tif"
    values = np.random.default_rng(0).integers(0, 65_536, (30, 41, 3), dtype=np.uint16)
    alpha = np.random.default_rng(1).integers(0, 65_536, (30, 41), dtype=np.uint16)
    icc = bytes(Image.new("RGB", (1, 1)).info.get("icc_profile", b"")) or None
    write_photo(Photo(pixels=values, alpha=alpha, icc_profile=icc), source)
    finished = studio.restore(source, wishes_of(studio, fidelity=0.25), studio.store.new_folder())
    request = request_of(wishes_of(studio, fidelity=0.25), studio.settings, device="cpu")
    RestoreWorker(request)(Job(source=source, target=tmp_path / "deep.tif", name="deep.tif"))
    assert finished.result.read_bytes() == (tmp_path / "deep.tif").read_bytes()
    assert json.loads(finished.result.with_name("deep.tif.json").read_text()) == json.loads(
        (tmp_path / "deep.tif.json").read_text()
    )
    assert read_photo(finished.result).pixels.dtype == np.uint16
    assert finished.record["options"]["fidelity"] == 0.25


def test_previews_have_the_results_size(make_studio, send):
    studio = make_studio()
    source = send(studio, "a.png", height=20, width=33)
    finished = studio.restore(source, wishes_of(studio, scale=2), studio.store.new_folder())
    assert [read_size(path) for path in (finished.result, finished.before, finished.after)] == [(66, 40)] * 3


def test_a_mask_keeps_what_it_covers(make_studio, send):
    studio = make_studio()
    source = send(studio, "a.png", height=32, width=32)
    mask = np.zeros((32, 32), np.uint8)
    mask[:16] = 255
    mask_file = studio.store.new_folder() / "mask.png"
    Image.fromarray(mask).save(mask_file)
    finished = studio.restore(source, wishes_of(studio, protect=mask_file), studio.store.new_folder())
    before, after = (read_photo(path).pixels for path in (source, finished.result))
    assert (before[:16] == after[:16]).all()
    assert (before[16:] != after[16:]).any()


def test_a_model_that_samples_says_what_it_sees_and_can_be_told(make_studio, send):
    studio = make_studio()
    sighting = studio.look(send(studio, width=64, height=40), studio.models["sampler"], studio.store.new_folder())
    assert set(sighting.estimate) == {"rain", "haze", "jpeg"} == sighting.tellable
    assert sighting.abilities.steps == 50
    assert not sighting.abilities.takes_instruction
    assert (sighting.width, sighting.height, sighting.is_whole) == (64, 40, True)
    assert read_size(sighting.preview) == (64, 40)


def test_what_is_said_steers_a_model_that_samples(make_studio, send):
    studio = make_studio()
    source = send(studio)
    results = []
    for degradations in (None, {"rain": 1.0}, {"rain": 0.2, "haze": 0.8}):
        wishes = wishes_of(studio, "sampler", degradations=degradations, steps=2)
        record = studio.restore(source, wishes, studio.store.new_folder()).record
        results.append((record["options"]["degradations"], record["output_sha256"]))
    assert len({digest for _, digest in results}) == 3
    assert results[1][0] == {"rain": 1.0, "haze": 0.0, "jpeg": 0.0} or results[1][0] == {"rain": 1.0}


def test_a_model_of_one_pass_that_sees_nothing_says_so(make_studio, send):
    studio = make_studio()
    sighting = studio.look(send(studio, width=600, height=20), studio.models["tiny"], studio.store.new_folder())
    assert sighting.estimate == {}
    assert not sighting.is_whole


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.png", b"no picture at all", "not a picture of a supported format"),
        ("a.png", b"", "the file is empty"),
        ("a.jpg", b"\xff\xd8\xff\xe0 cut", "a.jpg"),
        ("<b>x</b>.png", b"<svg onload=alert(1)>", "not a picture"),
    ],
)
def test_what_is_no_picture_is_refused_without_places_of_this_machine(make_studio, name, content, words):
    studio = make_studio()
    upload = studio.store.new_folder() / name.replace("/", "_")
    upload.write_bytes(content)
    with pytest.raises(LDRestoreError, match=words) as refusal:
        studio.restore(upload, wishes_of(studio), studio.store.new_folder())
    assert str(studio.store.root) not in str(refusal.value)


def test_bombs_and_giants_are_refused_by_their_header(make_studio, send):
    studio = make_studio(max_pixels=10_000, max_result_pixels=20_000)
    bomb = studio.store.new_folder() / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(bomb)
    with pytest.raises(LDRestoreError, match="400,000,000 pixels, at most 10,000 are taken here"):
        studio.restore(bomb, wishes_of(studio), studio.store.new_folder())
    with pytest.raises(LDRestoreError, match="enlarged 8 times the result would have 30,720 pixels, at most 20,000"):
        studio.restore(send(studio), wishes_of(studio, scale=8), studio.store.new_folder())


def test_a_refused_wish_is_told_in_the_models_words(make_studio, send):
    studio = make_studio()
    with pytest.raises(LDRestoreError, match="takes no instructions"):
        studio.restore(send(studio), wishes_of(studio, instruction="remove the rain"), studio.store.new_folder())


def test_one_picture_at_a_time_and_who_waits_may_leave(make_studio, send):
    studio = make_studio()
    source = send(studio)
    has_left = threading.Event()
    with studio.devices.worker(lambda: False):
        failures = []

        def wait():
            try:
                studio.restore(source, wishes_of(studio), studio.store.new_folder(), is_cancelled=has_left.is_set)
            except RunCancelledError as error:
                failures.append(str(error))

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.05)
        assert thread.is_alive()
        has_left.set()
        thread.join(timeout=10)
    assert failures == ["cancelled before it began"]


def test_what_is_cancelled_in_the_middle_leaves_no_file(make_studio, send):
    studio = make_studio()
    folder, calls = studio.store.new_folder(), []
    with pytest.raises(RunCancelledError, match="nothing was kept"):
        studio.restore(send(studio), wishes_of(studio), folder, is_cancelled=lambda: calls.append(1) or len(calls) > 2)
    assert not list(folder.rglob("*.png"))
    assert studio.restore(send(studio), wishes_of(studio), folder).result.is_file()  # the model is whole


def test_a_full_disk_is_a_plain_failure(make_studio, send, monkeypatch):
    studio = make_studio()
    source, folder = send(studio), studio.store.new_folder()

    def full(*words, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.mkdir", full)
    with pytest.raises(LDRestoreError, match="No space left on device") as refusal:
        studio.restore(source, wishes_of(studio), folder)
    assert str(studio.store.root) not in str(refusal.value)


def test_a_result_has_a_suffix_that_can_be_written(make_studio, send, tmp_path):
    studio = make_studio()
    source = send(studio, "a.png")
    assert result_name("photo", source) == "photo.png"
    assert result_name("photo.gif", source) == "photo.gif.png"
    assert result_name("photo.HEIC", source) == "photo.png"
    assert result_name("Photo.JPG", source) == "Photo.JPG"


def test_no_factor_leads_past_the_limit_of_the_result(make_studio, send) -> None:
    studio = make_studio(max_result_pixels=24 * 20 * 16)
    assert studio.restore(send(studio), wishes_of(studio, scale=4), studio.store.new_folder()).record["options"][
        "scale"
    ]
    for scale, words in ((5, "at most 7,680 are made here"), (5.0, "at most 7,680"), (7.9, "whole number")):
        with pytest.raises(LDRestoreError, match=words):
            studio.restore(send(studio), wishes_of(studio, scale=scale), studio.store.new_folder())
    with pytest.raises(LDRestoreError, match="scale must be a number"):
        studio.restore(send(studio), wishes_of(studio, scale=10**4000), studio.store.new_folder())


def test_progress_is_of_steps_where_there_are_some(make_studio, send) -> None:
    studio = make_studio()
    reports = []

    def progress(share, text):
        reports.append((share, text))

    studio.restore(send(studio), wishes_of(studio, "sampler", steps=2), studio.store.new_folder(), progress=progress)
    assert [text for _, text in reports] == [
        "reading",
        *(f"restoring, {done} of 2" for done in (0, 1, 2)),
        "drawing",
    ]
    reports.clear()
    studio.restore(send(studio), wishes_of(studio), studio.store.new_folder(), progress=progress)
    assert [share for share, text in reports if text == "restoring"] == [None, None]  # one tile: no share is known


def test_a_picture_that_is_too_large_is_not_even_looked_at(make_studio, send) -> None:
    studio = make_studio(max_pixels=100)
    with pytest.raises(LDRestoreError, match="has 480 pixels, at most 100 are taken here; send a smaller picture"):
        studio.look(send(studio), studio.models["tiny"], studio.store.new_folder())
    fits = make_studio(max_pixels=480)
    assert fits.look(send(fits), fits.models["tiny"], fits.store.new_folder()).width == 24


def test_without_anybody_to_look_nothing_is_drawn(make_studio, send) -> None:
    studio = make_studio()
    folder = studio.store.new_folder()
    finished = studio.restore(send(studio), wishes_of(studio), folder, shows=False)
    assert (finished.before, finished.after, finished.changes) == (None, None, None)
    assert sorted(path.name for path in folder.rglob("*.*")) == ["a.png", "a.png.json"]


def test_a_device_is_free_again_after_a_picture_that_failed(make_studio, send) -> None:
    studio = make_studio()
    broken = studio.store.new_folder() / "x.png"
    broken.write_bytes(b"no picture")
    for _ in range(2 * studio.devices.num_devices):
        with pytest.raises(LDRestoreError):
            studio.restore(broken, wishes_of(studio), studio.store.new_folder())
    assert studio.restore(send(studio), wishes_of(studio), studio.store.new_folder()).result.is_file()


def test_a_model_that_cannot_be_had_fails_the_picture_and_names_no_place(make_studio, send, models_folder) -> None:
    studio = make_studio()
    empty = studio.store.new_folder()
    gone = OfferedModel(name="gone", location=str(empty), summary="")
    with pytest.raises(LDRestoreError) as refusal:
        studio.restore(send(studio), Wishes(model=gone), studio.store.new_folder())
    assert "model" in str(refusal.value) and f"{studio.store.root}/" not in str(refusal.value)


def test_the_result_may_be_called_otherwise_than_the_upload(make_studio, send) -> None:
    studio = make_studio()
    finished = studio.restore(send(studio), wishes_of(studio), studio.store.new_folder(), name="../../Bild ä")
    assert finished.result.name == "Bild ä.png" and finished.result.is_relative_to(studio.store.root)
    broken = studio.store.new_folder() / "x.png"
    broken.write_bytes(b"")
    with pytest.raises(LDRestoreError, match=r"mine\.png: the file is empty"):
        studio.restore(broken, wishes_of(studio), studio.store.new_folder(), name="mine.png")


def test_a_model_to_begin_with_that_is_not_offered_leaves_no_folder(make_settings, tmp_path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tiny'"):
        Studio(make_settings(first_model="tinny"), parent=tmp_path)
    assert list(tmp_path.glob("ldrestore-app-*")) == []
