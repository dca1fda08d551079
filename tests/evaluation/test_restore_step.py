"""The first step: what is restored once, what is made again, and what its files are called."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ldrestore.errors import InputError
from ldrestore.evaluation.benchmarking import BenchOptions, evaluate
from ldrestore.evaluation.contestants import Contestant, RestoredPicture, Restorer, open_contestant, results_contestant
from ldrestore.evaluation.results import OutputRow, Results
from ldrestore.evaluation.shards import Shard, current_shard
from ldrestore.evaluation.stored_files import folder_name, picture_name
from ldrestore.evaluation.suites import SuiteConfig, SuiteDataset
from ldrestore.images.files import read_photo
from ldrestore.images.photo import Photo

NOISE = SuiteDataset(name="noise", set="builtin", recipe="gaussian_noise(sigma_255=25)", crop=24, limit=3)
RAIN = SuiteDataset(name="rain", set="builtin", recipe="rain", crop=24, limit=2)
SUITE = SuiteConfig(name="tiny", summary="", metrics=("psnr",), datasets=(NOISE, RAIN))
Calls = list[tuple[str, str, int | None]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Every call of a model, which darkens by its options and brightens by its seed; "broken" fails at rain."""
    made: Calls = []

    def opened(contestant: Contestant, *, device: str) -> Restorer:
        if contestant.kind != "model":
            return open_contestant(contestant, device=device)

        def restore(photo: Photo, case: Any, seed: int | None) -> RestoredPicture:
            made.append((f"{case.dataset}/{case.name}", contestant.name, seed))
            if contestant.name == "broken" and case.dataset == "rain":
                raise ZeroDivisionError("a model's\n own fault")
            pixels = photo.pixels // contestant.options.get("darker", 1) + np.uint8(seed or 0)
            return RestoredPicture(photo=Photo(pixels=pixels), degradations={"rain": 0.5})

        return restore

    for place in ("restore_step", "benchmarking"):
        monkeypatch.setattr(f"ldrestore.evaluation.{place}.contestant_identity", lambda contestant: contestant.source)
    monkeypatch.setattr("ldrestore.evaluation.restore_step.open_contestant", opened)
    return made


def model(name: str = "a", **facts: Any) -> Contestant:
    return Contestant(name=name, kind="model", source=facts.pop("source", name), **facts)


def figures(results: Results) -> list[OutputRow]:
    return [dataclasses.replace(row, seconds=None) for row in results.outputs]


Run = Callable[..., Results]


@pytest.fixture
def run(tmp_path: Path, calls: Calls) -> Run:
    """`run(*contestants, suite=.., options..)` in one folder."""

    def call(*contestants: Contestant, suite: SuiteConfig = SUITE, out: str = "out", **options: Any) -> Results:
        return evaluate(suite, contestants, tmp_path / out, options=BenchOptions(**options))

    return call


def test_each_picture_is_restored_once_whatever_else_is_asked_for_later(run: Run, calls: Calls) -> None:
    first = run(model())
    assert len(calls) == 5
    calls.clear()
    assert run(model()) == first and calls == []
    run(model(), model("b"))
    assert {name for _, name, _ in calls} == {"b"} and len(calls) == 5


def test_a_benchmark_in_steps_is_a_benchmark_at_once(run: Run, calls: Calls) -> None:
    run(model(), limit=1)
    run(model(), suite=dataclasses.replace(SUITE, datasets=(NOISE,)))
    run(model("b"))
    assert len(calls) == 2 + 2 + 5
    in_steps, at_once = run(model(), model("b")), run(model(), model("b"), out="other")
    assert figures(in_steps) == figures(at_once)
    for name in ("means", "comparisons", "pictures", "datasets", "notes"):
        assert getattr(in_steps, name) == getattr(at_once, name)


@pytest.mark.parametrize(
    "other",
    [model(options={"darker": 2}), model(source="other weights"), model(num_seeds=2), model(solver="euler")],
    ids=["options", "weights", "seeds", "solver"],
)
def test_what_a_result_depends_on_makes_another_result(run: Run, calls: Calls, other: Contestant) -> None:
    run(model())
    calls.clear()
    run(other)
    assert len(calls) == 5 * other.num_seeds
    calls.clear()
    run(model())
    assert calls == []  # the first ones are still there


def test_a_name_alone_makes_no_other_result_of_the_same_picture(run: Run, tmp_path: Path) -> None:
    run(model(), model("b", source="a"))
    stored = [
        {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
        for folder in (tmp_path / "out/outputs/a", tmp_path / "out/outputs/b")
    ]
    assert stored[0] == stored[1] and len(stored[0]) == 10


def test_an_input_that_changed_is_restored_again(run: Run, calls: Calls) -> None:
    run(model())
    calls.clear()
    stronger = dataclasses.replace(RAIN, severity=0.9)
    run(model(), suite=dataclasses.replace(SUITE, datasets=(NOISE, stronger)))
    assert [picture for picture, _, _ in calls] == ["rain/astronaut", "rain/chelsea"]


def test_a_damaged_or_lost_file_is_made_again_alone(run: Run, calls: Calls, tmp_path: Path) -> None:
    first = run(model())
    rows = [row for row in first.outputs if row.contestant == "a"]
    (tmp_path / "out" / str(rows[0].path)).unlink()
    (tmp_path / "out" / str(rows[1].path)).with_suffix(".json").write_text("{", encoding="utf-8")
    calls.clear()
    assert figures(run(model())) == figures(first)
    assert [picture for picture, _, _ in calls] == [f"noise/{row.picture}" for row in rows[:2]]


def test_fresh_results_are_all_made_again_and_the_same(run: Run, calls: Calls) -> None:
    first = run(model())
    calls.clear()
    assert figures(run(model(), is_fresh=True)) == figures(first) and len(calls) == 5


def test_a_model_that_fails_at_some_pictures_is_named_and_tried_again(run: Run, calls: Calls, tmp_path: Path) -> None:
    results = run(model("broken"))
    failed = {(row.contestant, row.dataset, row.failure) for row in results.failures}
    assert failed == {("broken", "rain", "unexpected ZeroDivisionError: a model's own fault")}
    assert {(row.dataset, row.num_pictures) for row in results.means if row.contestant == "broken"} == {("noise", 3)}
    assert len([row for row in results.outputs if row.scores]) == 8
    calls.clear()
    run(model("broken"))
    assert [picture for picture, _, _ in calls] == ["rain/astronaut", "rain/chelsea"]
    kept = json.loads(next((tmp_path / "out/outputs/broken/rain").glob("astronaut*.json")).read_text())
    assert kept == {"failure": "unexpected ZeroDivisionError: a model's own fault"}


def test_a_stored_result_says_how_it_was_made_without_paths_of_this_machine(run: Run, tmp_path: Path) -> None:
    results = run(model())
    row = next(row for row in results.outputs if row.contestant == "a")
    document = json.loads((tmp_path / "out" / str(row.path)).with_suffix(".json").read_text())
    assert document.keys() == {"sha256", "seconds", "record", "degradations", "environment"}
    assert document["sha256"] == row.sha256 and document["environment"] == results.environments[str(row.environment)]
    for path in (tmp_path / "out").rglob("*.json"):
        assert str(tmp_path) not in path.read_text(encoding="utf-8")


def test_seeds_have_results_of_their_own_and_of_the_seed(run: Run, tmp_path: Path) -> None:
    results = run(model(num_seeds=3), has_input=False)
    rows = [row for row in results.outputs if (row.dataset, row.picture) == ("noise", "chelsea")]
    photos = [read_photo(tmp_path / "out" / str(row.path)).pixels.astype(int) for row in rows]
    assert [row.seed for row in rows] == [0, 1, 2] and len({row.path for row in rows}) == 3
    assert [int(np.median(photo - photos[0])) for photo in photos] == [0, 1, 2]


def test_finished_pictures_that_are_replaced_are_taken_anew(run: Run, tmp_path: Path, write: Any) -> None:
    for name in ("astronaut", "chelsea", "coffee"):
        write(tmp_path / "done" / "noise" / f"{name}.png", size=(24, 24))
    suite = dataclasses.replace(SUITE, datasets=(NOISE,))
    done = results_contestant("done", tmp_path / "done")
    first = run(done, suite=suite)
    write(tmp_path / "done" / "noise" / "chelsea.png", size=(24, 24), shift=9)
    second = run(done, suite=suite)
    changed = [old.picture for old, new in zip(first.outputs, second.outputs, strict=True) if old.sha256 != new.sha256]
    assert changed == ["chelsea"] and not second.failures


def test_nothing_is_written_where_contestants_do_not_go_together(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="several contestants are called a, b; name each model once"):
        run(model(), model("b"), model("b"), model())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_processes_share_all_items_and_no_item_twice(count: int) -> None:
    items = list(range(7))
    shares = [list(Shard(index=index, count=count).of(items)) for index in range(count)]
    assert sorted(item for share in shares for item in share) == items
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert [Shard(index=index, count=count).is_first for index in range(count)] == [True] + [False] * (count - 1)


def test_a_process_that_nobody_launched_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    shard = current_shard(device="cpu")
    assert (shard.index, shard.count, shard.is_first) == (0, 1, True)
    shard.wait()  # for nobody


@pytest.mark.parametrize("count", [2, 3, 5])
def test_any_number_of_processes_gives_the_files_of_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    alone = run(model(num_seeds=2), out="alone")
    monkeypatch.setattr(Shard, "wait", lambda self: None)
    for index in (*range(count), *range(count - 1, -1, -1)):  # all restore, then all score, the first one last
        monkeypatch.setattr(
            "ldrestore.evaluation.benchmarking.current_shard",
            lambda *, device, index=index: Shard(index=index, count=count),
        )
        shared = run(model(num_seeds=2), out="shared")
    assert figures(shared) == figures(alone) and shared.means == alone.means
    files = [
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.png")}
        for name in ("alone", "shared")
    ]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain-1.0", "plain-1.0-0123456789abcdef.png"),
        ("a/b c", "a_b_c-0123456789abcdef.png"),
        ("../../x", ".._.._x-0123456789abcdef.png"),
        ("ü", "ü-0123456789abcdef.png"),
        ("x" * 300, "x" * 100 + "-0123456789abcdef.png"),
    ],
)
def test_names_of_pictures_become_names_of_files(name: str, expected: str) -> None:
    assert picture_name(name, "0123456789abcdef" + "0" * 48) == expected


@pytest.mark.parametrize("name", ["a", "model,steps=4", "x_y-1.0"])
def test_plain_names_are_folders_as_they_are(name: str) -> None:
    assert folder_name(name) == name


@pytest.mark.parametrize(
    ("name", "start"), [("a b", "a_b-"), ("..", "-"), (".hidden", "hidden-"), ("a/../b", "a_.._b-")]
)
def test_other_names_get_a_hash_so_that_they_stay_apart_and_inside(name: str, start: str) -> None:
    folder = folder_name(name)
    assert folder.startswith(start) and "/" not in folder and len(folder) == len(start) + 8
    assert folder != folder_name(name + " ")
