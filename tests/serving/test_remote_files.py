"""Pictures that lie in another file system, and Parquet manifests that list them."""

import json

import fsspec
import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from ldrestore.errors import InputError
from ldrestore.images.files import read_photo
from ldrestore.jobs.outcome import Status
from ldrestore.jobs.request import RestoreRequest, options_for
from ldrestore.jobs.restoring import RestoreWorker
from ldrestore.jobs.runner import run_jobs
from ldrestore.serving.remote_files import carrying, is_elsewhere
from ldrestore.serving.remote_plan import plan_elsewhere


@pytest.fixture
def memory():
    """The file system of memory:// URLs, empty."""
    file_system = fsspec.filesystem("memory")
    file_system.store.clear()
    yield file_system
    file_system.store.clear()


@pytest.fixture
def bucket(memory, picture, tmp_path):
    """memory://in with two pictures, one broken, a hidden one and a text, and a sub-folder with one picture."""
    for seed, name in enumerate(("a.png", "b.png", "deep/c.png", ".hidden.png")):
        memory.pipe_file(f"/in/{name}", picture(tmp_path / "made.png", seed=seed).read_bytes())
    memory.pipe_file("/in/broken.png", b"no picture")
    memory.pipe_file("/in/notes.txt", b"text")
    return "memory://in"


@pytest.fixture
def work(tiny_model):
    request = RestoreRequest(model=str(tiny_model), device="cpu", options=options_for(str(tiny_model), {}))
    return carrying(RestoreWorker(request), may_overwrite=False)


@pytest.fixture
def manifest(tmp_path):
    """`manifest(source=[..], target=[..])` writes list.parquet."""

    def write(**columns):
        parquet.write_table(pyarrow.table(columns), tmp_path / "list.parquet")
        return str(tmp_path / "list.parquet")

    return write


def planned(*sources, target, **options):
    plain = {"picture_format": None, "is_recursive": True, "may_overwrite": False}
    return plan_elsewhere(sources, target, **plain | options)


def states(plan):
    return {outcome.job.name: outcome.status for outcome in plan.settled}


def test_what_is_elsewhere_is_told_by_its_name():
    assert is_elsewhere(["s3://bucket/a"], "out") and is_elsewhere(["list.PARQUET"], "out")
    assert is_elsewhere(["in"], "memory://out") and not is_elsewhere(["in", "b.png"], "out")


def test_pictures_of_a_url_go_to_a_url_with_their_records(bucket, memory, work, picture, tmp_path):
    plan = planned(bucket, target="memory://out/")
    assert [job.name for job in plan.jobs] == ["a.png", "b.png", "broken.png", "deep/c.png"]
    assert [one.reason for one in plan.ignored] == ["hidden", "not the suffix of a picture that can be read"]
    outcomes = {outcome.job.name: outcome for outcome in run_jobs(plan.jobs, work)}
    broken = outcomes.pop("broken.png")
    assert broken.status is Status.FAILED and broken.reason.startswith("memory://in/broken.png: ")
    assert {outcome.status for outcome in outcomes.values()} == {Status.DONE}
    names = {"a.png", "b.png", "deep/c.png"}
    assert set(memory.find("/out")) == {f"/out/{name}{end}" for name in names for end in ("", ".json")}
    alone = planned(str(picture(tmp_path / "c" / "c.png", seed=2)), target=str(tmp_path / "alone"))
    assert [outcome.status for outcome in run_jobs(alone.jobs, work)] == [Status.DONE]
    (tmp_path / "there.png").write_bytes(memory.cat_file("/out/deep/c.png"))
    pixels = [read_photo(path).pixels for path in (tmp_path / "there.png", tmp_path / "alone" / "c.png")]
    assert np.array_equal(*pixels)
    record = json.loads(memory.cat_file("/out/deep/c.png.json"))
    assert record == json.loads((tmp_path / "alone" / "c.png.json").read_text())


def test_a_second_call_does_what_is_missing(bucket, memory, work):
    list(run_jobs(planned(bucket, target="memory://out").jobs, work))
    memory.rm_file("/out/a.png")
    again = planned(bucket, target="memory://out")
    assert [job.name for job in again.jobs] == ["a.png", "broken.png"]
    assert states(again) == dict.fromkeys(("b.png", "deep/c.png"), Status.SKIPPED)
    assert len(planned(bucket, target="memory://out", may_overwrite=True).jobs) == 4


def test_what_another_worker_has_put_there_is_not_made_again(bucket, memory, work):
    job = planned(bucket, target="memory://out", is_recursive=False).jobs[0]
    memory.pipe_file("/out/a.png", b"by another")
    (outcome,) = run_jobs([job], work)
    assert outcome.status is Status.SKIPPED and outcome.reason == "memory://out/a.png exists"
    assert memory.cat_file("/out/a.png") == b"by another"


def test_a_picture_that_cannot_be_put_is_named_and_not_half_there(bucket, memory, work, monkeypatch):
    def refuse(self, *args):
        raise PermissionError("AccessDenied: no")

    job = planned(bucket, target="memory://out").jobs[0]
    monkeypatch.setattr("fsspec.implementations.memory.MemoryFile.commit", refuse)
    (outcome,) = run_jobs([job], work)
    assert outcome.status is Status.FAILED and "memory://out/a.png.json: cannot be reached" in outcome.reason
    assert "AccessDenied" in outcome.reason and not memory.find("/out")


def test_a_picture_that_has_gone_meanwhile_is_named(bucket, memory, work):
    job = planned(bucket, target="memory://out").jobs[0]
    memory.rm_file("/in/a.png")
    (outcome,) = run_jobs([job], work)
    assert outcome.status is Status.FAILED and outcome.reason.startswith("memory://in/a.png: no such file")


def test_file_urls_are_folders_of_this_machine(work, picture, tmp_path):
    picture(tmp_path / "in" / "a.png")
    plan = planned(f"file://{tmp_path}/in", target=f"file://{tmp_path}/out")
    (job,) = plan.jobs
    assert (job.source, job.target) == (tmp_path / "in" / "a.png", tmp_path / "out" / "a.png")
    assert job.source_url is job.target_url is None
    assert [outcome.status for outcome in run_jobs(plan.jobs, work)] == [Status.DONE]
    assert states(planned(f"file://{tmp_path}/in", target=f"file://{tmp_path}/out")) == {"a.png": Status.SKIPPED}


def test_a_manifest_lists_paths_and_urls_and_names_results(bucket, manifest, picture, work, tmp_path):
    picture(tmp_path / "near.png")
    listed = manifest(
        source=["near.png", f"{bucket}/a.png", f"{bucket}/b.png"], target=[None, "x/one.png", "x/two.png"]
    )
    plan = planned(listed, target=str(tmp_path / "out"))
    assert [outcome.status for outcome in run_jobs(plan.jobs, work)] == [Status.DONE] * 3
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")}
    assert names == {"near.png", "x/one.png", "x/two.png"}
    assert not planned(listed, target=str(tmp_path / "out")).jobs


def test_bad_rows_of_a_manifest_are_named_and_the_others_planned(manifest, tmp_path):
    wrong = ["../up.png", "/root.png", "a\\b.png", "page.html", "same.png", "same.png", "good.png", ""]
    listed = manifest(source=[*(f"memory://in/{number}.png" for number in range(7)), " "], target=wrong)
    plan = planned(listed, target=str(tmp_path / "out"))
    assert [job.name for job in plan.jobs] == ["memory://in/6.png"]
    reasons = [outcome.reason for outcome in plan.settled]
    assert all(outcome.status is Status.FAILED for outcome in plan.settled) and len(reasons) == 7
    phrases = ["below OUT"] * 3 + ["suffix of a picture", "2 pictures would become", "2 pictures", "names no picture"]
    assert all(any(words in reason for reason in reasons) for words in phrases)


def test_a_manifest_without_its_column_or_damaged_is_refused(manifest, tmp_path):
    with pytest.raises(InputError, match="needs a column 'source' of paths or URLs, and has url, size"):
        planned(manifest(url=["a"], size=[1]), target="memory://out")
    (tmp_path / "list.parquet").write_bytes(b"PAR1 no table")
    with pytest.raises(InputError, match="cannot be read as a manifest"):
        planned(str(tmp_path / "list.parquet"), target="memory://out")
    with pytest.raises(InputError, match="cannot be read as a manifest"):
        planned(str(tmp_path / "gone.parquet"), target="memory://out")


def test_sources_and_targets_that_cannot_be_are_refused(bucket, memory):
    with pytest.raises(InputError, match="no file or folder at memory://gone"):
        planned("memory://gone", target="memory://out")
    with pytest.raises(InputError, match="nobody://a cannot be reached"):
        planned("nobody://a", target="memory://out")
    with pytest.raises(InputError, match="OUT must be a folder"):
        planned(bucket, target="memory://in/a.png")


def test_a_row_whose_place_nobody_can_reach_costs_no_other_row(manifest, tmp_path) -> None:
    listed = manifest(source=["nobody://a.png", "memory://in/b.png", "also nobody://c.png"])
    plan = planned(listed, target=str(tmp_path / "out"))
    assert [job.name for job in plan.jobs] == ["memory://in/b.png"]
    assert set(states(plan).values()) == {Status.FAILED} and len(plan.settled) == 2
    assert all("nobody" in outcome.reason for outcome in plan.settled)


@pytest.mark.parametrize(
    "name", ["x/../../up.png", "..", "a\0.png", "\\\\server\\a.png", "x/..\\a.png", "", ".", "a.png/"]
)
def test_no_name_of_a_manifest_leads_out_of_out(manifest, tmp_path, name) -> None:
    plan = planned(manifest(source=["memory://in/a.png"], target=[name]), target=str(tmp_path / "out"))
    for job in plan.jobs:
        assert (tmp_path / "out") in job.target.parents and ".." not in job.target.parts
    assert len(plan.jobs) + len(plan.settled) == 1
    assert plan.jobs == () or name == "a.png/"


def test_values_of_other_kinds_are_rows_that_fail_by_their_number(manifest, tmp_path) -> None:
    plan = planned(manifest(source=[1, 2, None]), target=str(tmp_path / "out"))
    assert plan.jobs == () and {outcome.job.name for outcome in plan.settled} == {
        f"row {number} of list.parquet" for number in range(3)
    }


def test_two_folders_that_hold_one_name_clash_by_name(memory, tmp_path) -> None:
    for folder in ("one", "two"):
        memory.pipe_file(f"/{folder}/a.png", b"x")
    plan = planned("memory://one", "memory://two", target=str(tmp_path / "out"))
    assert plan.jobs == () and set(states(plan)) == {"memory://one/a.png", "memory://two/a.png"}
    assert all("2 pictures would become a.png" in outcome.reason for outcome in plan.settled)
