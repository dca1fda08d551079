import json
import os
import time
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ldrestore.errors import InputError
from ldrestore.jobs.outcome import Status
from ldrestore.serving.batches import REPORT_NAME, restore_many
from ldrestore.serving.wishes import Wishes


def pixels(file):
    with Image.open(file) as image:
        return np.asarray(image)


def test_no_result_is_swapped_and_no_name_is_twice(make_studio, send):
    studio = make_studio()
    uploads = [send(studio, name, seed=seed) for seed, name in enumerate(["a.png", "a.png", "A.png", "b.jpg"])]
    broken = studio.store.new_folder() / "<i>no.png"
    broken.write_bytes(b"no picture")
    wishes = Wishes(model=studio.models["tiny"], fidelity=1.0)  # each result is its input
    *states, last = restore_many(studio, [*uploads, broken], wishes, studio.store.new_folder())
    assert [entry.status for entry in states[0].entries] == [Status.RUNNING, *[Status.PLANNED] * 4]
    assert [entry.status for entry in last.entries] == [*[Status.DONE] * 4, Status.FAILED]
    assert "not a picture" in last.entries[4].reason
    with zipfile.ZipFile(last.archive) as archive:
        names = archive.namelist()
        pictures = ["a.png", "a-2.png", "A-3.png", "b.jpg"]
        assert sorted(names) == sorted([*pictures, *(f"{name}.json" for name in pictures), REPORT_NAME])
        for name, upload in zip(pictures[:3], uploads, strict=False):
            with archive.open(name) as file:
                assert np.array_equal(pixels(file), pixels(upload))
        report = json.loads(archive.read(REPORT_NAME))
    assert [line["result"] for line in report] == [*pictures, None]
    assert str(studio.store.root) not in json.dumps(report)


def test_what_was_done_before_cancelling_is_in_the_zip(make_studio, send):
    studio = make_studio()
    uploads = [send(studio, f"{seed}.png", seed=seed) for seed in range(4)]
    count = {"done": 0}
    states = restore_many(
        studio,
        uploads,
        Wishes(model=studio.models["tiny"]),
        studio.store.new_folder(),
        is_cancelled=lambda: count["done"] >= 2,
    )
    for last in states:
        count["done"] = last.count(Status.DONE)
    assert [entry.status.value for entry in last.entries] == ["done", "done", "cancelled", "cancelled"]
    with zipfile.ZipFile(last.archive) as archive:
        assert {"0.png", "1.png"} <= set(archive.namelist())


def test_batches_have_limits(make_studio, send):
    studio = make_studio(max_batch=1)
    wishes = Wishes(model=studio.models["tiny"])
    for uploads in ([], [send(studio), send(studio)]):
        with pytest.raises(InputError, match=f"a batch takes 1 to 1 pictures, got {len(uploads)}"):
            next(restore_many(studio, uploads, wishes, studio.store.new_folder()))
    masked = Wishes(model=studio.models["tiny"], protect=send(studio))
    with pytest.raises(InputError, match="a mask belongs to one picture"):
        next(restore_many(studio, [send(studio)], masked, studio.store.new_folder()))


def test_a_batch_of_nothing_good_has_no_zip(make_studio):
    studio = make_studio()
    broken = studio.store.new_folder() / "x.png"
    broken.write_bytes(b"")
    *_, last = restore_many(studio, [broken], Wishes(model=studio.models["tiny"]), studio.store.new_folder())
    assert last.archive is None


def test_names_of_all_kinds_come_back_in_the_zip(make_studio, send) -> None:
    studio = make_studio()
    content = send(studio).read_bytes()
    names = [
        b"caf\xe9.png",  # Latin-1
        "हिन्दी.png".encode(),
        b"a\nb.png",
        b"<img src=x>.png",
        "写".encode() * 83 + b".png",  # 253 bytes
        b"photo",
        b"con.png",
        b"-rf.png",
        b"report.json",
    ]
    uploads = []
    for name in names:
        uploads.append(studio.store.new_folder() / os.fsdecode(name))
        uploads[-1].write_bytes(content)
    *_, last = restore_many(studio, uploads, Wishes(model=studio.models["tiny"]), studio.store.new_folder())
    assert [entry.status.value for entry in last.entries] == ["done"] * len(names)
    with zipfile.ZipFile(last.archive) as archive:
        packed = archive.namelist()
        report = json.loads(archive.read(REPORT_NAME))
        assert archive.testzip() is None
    results = [line["result"] for line in report]
    assert results[:4] == ["caf_.png", "हिन्दी.png", "a_b.png", "_img src=x_.png"]
    assert results[5:] == ["photo.png", "con_.png", "-rf.png", "report.json.png"]
    assert [line["name"] for line in report][:3] == ["caf\\xe9.png", "हिन्दी.png", "a\\nb.png"]
    assert sorted(packed) == sorted([*results, *(f"{name}.json" for name in results), REPORT_NAME])
    for name in packed:
        assert len(name.encode()) <= 255 and Path(name).name == name


def test_two_spellings_of_one_name_are_two_files_everywhere(make_studio, send) -> None:
    studio = make_studio()
    names = ["caf\u00e9.png", "cafe\u0301.png", "CAFÉ.png"]
    uploads = [send(studio, name, seed=seed) for seed, name in enumerate(names)]
    *_, last = restore_many(studio, uploads, Wishes(model=studio.models["tiny"]), studio.store.new_folder())
    with zipfile.ZipFile(last.archive) as archive:
        unpacked = {unicodedata.normalize("NFD", name).casefold() for name in archive.namelist()}
    assert len(unpacked) == 7  # three pictures, three records, the report


def test_a_picture_that_is_called_off_in_the_middle_of_a_batch_ends_it(make_studio, send) -> None:
    studio = make_studio()
    uploads = [send(studio, f"{seed}.png", seed=seed) for seed in range(3)]
    looks = []

    def is_cancelled():
        looks.append(1)
        return len(looks) > 7  # in the middle of the second one

    wishes = Wishes(model=studio.models["tiny"])
    *_, last = restore_many(studio, uploads, wishes, studio.store.new_folder(), is_cancelled=is_cancelled)
    assert [entry.status.value for entry in last.entries] == ["done", "cancelled", "cancelled"]
    assert {entry.reason for entry in last.entries[1:]} <= {"cancelled", "cancelled; nothing was kept of it"}
    with zipfile.ZipFile(last.archive) as archive:
        assert sorted(archive.namelist()) == ["0.png", "0.png.json", REPORT_NAME]


def test_an_upload_that_was_swept_meanwhile_fails_alone(make_studio, send) -> None:
    studio = make_studio()
    kept, swept = send(studio, "kept.png"), send(studio, "swept.png")
    swept.unlink()
    *_, last = restore_many(studio, [swept, kept], Wishes(model=studio.models["tiny"]), studio.store.new_folder())
    assert [entry.status.value for entry in last.entries] == ["failed", "done"]
    assert "no such file" in last.entries[0].reason and str(studio.store.root) not in last.entries[0].reason


def test_a_batch_that_is_worked_at_is_not_swept(make_studio, send) -> None:
    studio = make_studio()
    folder = studio.store.new_folder()
    states = restore_many(
        studio, [send(studio, "a.png"), send(studio, "b.png")], Wishes(model=studio.models["tiny"]), folder
    )
    next(states), next(states)
    studio.store.sweep(0, now=time.time() + 3600)
    assert folder.is_dir()
    *_, last = states
    assert last.entries[0].result.is_file()  # the second upload is gone, the first result stays
    studio.store.sweep(0, now=time.time() + 3600)
    assert not folder.exists()
