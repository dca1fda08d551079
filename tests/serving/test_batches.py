import json
import zipfile

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
