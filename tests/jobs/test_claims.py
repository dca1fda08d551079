import os
import subprocess
import sys

import pytest

from ldrestore.jobs.claims import claim_path, claimed, claiming
from ldrestore.jobs.outcome import Job, Result
from ldrestore.jobs.plan import plan_jobs


def job(folder):
    return Job(source=folder / "in.png", target=folder / "out" / "x.png", name="in.png")


def test_a_result_is_held_by_one_at_a_time(tmp_path):
    target = tmp_path / "x.png"
    with claimed(target) as first:
        with claimed(target) as second, claimed(tmp_path / "y.png") as other:
            assert (first, second, other) == (True, False, True)
        assert claim_path(target).exists()
    with claimed(target) as again:
        assert again
    assert list(tmp_path.iterdir()) == []


def test_a_claim_is_let_go_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), claimed(tmp_path / "x.png"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_claim_that_a_killed_run_left_behind_is_taken_over(tmp_path):
    claim_path(tmp_path / "x.png").write_bytes(b"")
    with claimed(tmp_path / "x.png") as is_ours:
        assert is_ours
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_the_claim_of_a_killed_process_is_free(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from ldrestore.jobs.claims import claimed\n"
        "with claimed(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path / "x.png"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with claimed(tmp_path / "x.png") as is_ours:
        assert not is_ours
    process.kill()
    process.communicate()
    with claimed(tmp_path / "x.png") as is_ours:
        assert is_ours


def test_the_longest_names_can_be_claimed(tmp_path):
    with claimed(tmp_path / ("n" * 251 + ".png")) as is_ours:
        assert is_ours


def test_work_is_left_to_who_holds_the_claim_and_skipped_once_it_is_done(tmp_path):
    done = []
    work = claiming(lambda job: done.append(job) or Result(), may_overwrite=False)
    (tmp_path / "out").mkdir()
    with claimed(job(tmp_path).target):
        assert work(job(tmp_path)).is_busy
    assert work(job(tmp_path)).skipped is None
    job(tmp_path).target.write_bytes(b"done")
    assert work(job(tmp_path)).skipped.endswith("x.png exists")
    assert len(done) == 1
    assert claiming(lambda job: Result(), may_overwrite=True)(job(tmp_path)).skipped is None


@pytest.mark.parametrize("existed", [False, True])
def test_of_two_runs_that_overwrite_each_picture_is_made_by_one(tmp_path, existed):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"picture")
    target = tmp_path / "out" / "a.png"
    target.parent.mkdir()
    if existed:
        target.write_bytes(b"of an earlier run")
    options = {"picture_format": None, "is_recursive": False, "may_overwrite": True}
    plans = [plan_jobs([str(tmp_path / "in")], str(tmp_path / "out"), **options) for _ in range(2)]
    made = []

    def work(job):
        made.append(job)
        other = job.target.with_name("part")
        other.write_bytes(b"new")
        other.replace(job.target)
        return Result()

    results = [claiming(work, may_overwrite=True)(plan.jobs[0]) for plan in plans]
    assert len(made) == 1
    assert results[0].skipped is None
    assert results[1].skipped.endswith("a.png has been made by another run meanwhile")
    later = plan_jobs([str(tmp_path / "in")], str(tmp_path / "out"), **options)
    assert claiming(work, may_overwrite=True)(later.jobs[0]).skipped is None
