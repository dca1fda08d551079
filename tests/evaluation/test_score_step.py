"""Scores of stored results: kept by all that they depend on, and computed anew where any of it differs."""

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ldrestore.errors import InputError, WeightsUnavailableError
from ldrestore.evaluation import BenchOptions, evaluate, read_results, rescore
from ldrestore.evaluation.contestants import results_contestant
from ldrestore.evaluation.picture_memory import PictureMemory
from ldrestore.evaluation.results import Results
from ldrestore.evaluation.score_step import SCORES, ScoreStep, score_all
from ldrestore.evaluation.shards import Shard
from ldrestore.evaluation.suites import SuiteConfig, SuiteDataset
from ldrestore.images.files import read_photo
from ldrestore.metrics import measures
from ldrestore.metrics.catalog import METRICS
from ldrestore.metrics.compared_pictures import ComparedPictures
from ldrestore.metrics.protocols import find_protocol

PAIRS = SuiteConfig(name="pairs", summary="", metrics=("psnr", "ssim"), datasets=())


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The metrics that are computed from here on, one name a picture."""
    names: list[str] = []

    def noted(name: str, measure: measures.Measure, pictures: ComparedPictures) -> float:
        names.append(name)
        return measures.value_of(name, measure, pictures)

    monkeypatch.setattr("ldrestore.evaluation.score_step.value_of", noted)
    return names


@pytest.fixture
def folders(tmp_path: Path, write: Any) -> tuple[Path, Path]:
    for index, name in enumerate("abc"):
        write(tmp_path / "lq" / f"{name}.png", shift=5 + index)
        write(tmp_path / "gt" / f"{name}.png")
        write(tmp_path / "done" / f"{name}.png", shift=2 + index)
    return tmp_path / "lq", tmp_path / "gt"


@pytest.fixture
def run(folders: tuple[Path, Path], tmp_path: Path) -> Any:
    """`run(options..)` compares finished results and the input on three pairs, in one folder."""
    done = results_contestant("done", tmp_path / "done")

    def call(**options: Any) -> Results:
        return evaluate(PAIRS, [done], tmp_path / "out", pairs=folders, options=BenchOptions(**options))

    return call


def scores_of(results: Results) -> dict[tuple[str, str], dict[str, float]]:
    return {(row.contestant, row.picture): dict(row.scores) for row in results.outputs}


def test_scores_are_those_of_scikit_image(run: Any, tmp_path: Path) -> None:
    results = run(protocol="cdd11")
    for (contestant, name), scores in scores_of(results).items():
        folder = "done" if contestant == "done" else "lq"
        result, gt = (read_photo(tmp_path / part / f"{name}.png").pixels for part in (folder, "gt"))
        assert scores["psnr"] == pytest.approx(peak_signal_noise_ratio(gt, result), abs=1e-9)
        assert scores["ssim"] == pytest.approx(structural_similarity(gt, result, channel_axis=2), abs=1e-6)


def test_what_is_known_is_not_computed_again(run: Any, counted: list[str]) -> None:
    first = run()
    assert sorted(counted) == ["psnr"] * 6 + ["ssim"] * 6
    counted.clear()
    assert scores_of(run()) == scores_of(first) and counted == []


def test_another_metric_is_computed_alone(run: Any, counted: list[str]) -> None:
    run(metrics=("psnr",))
    counted.clear()
    run(metrics=("psnr", "ssim"))
    assert counted == ["ssim"] * 6


def test_another_protocol_is_computed_and_the_way_back_gives_the_first_figures(run: Any, counted: list[str]) -> None:
    first = scores_of(run(metrics=("psnr",)))
    other = scores_of(run(metrics=("psnr",), protocol="osediff"))
    assert all(first[key]["psnr"] != other[key]["psnr"] for key in first)
    counted.clear()
    assert scores_of(run(metrics=("psnr",))) == first
    assert counted == ["psnr"] * 6  # one protocol's scores are kept a metric


def test_fresh_scores_are_computed_again_from_the_pictures(run: Any, counted: list[str], tmp_path: Path) -> None:
    first = run()
    counted.clear()
    again = rescore(tmp_path / "out", options=BenchOptions(is_fresh=True))
    assert len(counted) == 12 and scores_of(again) == scores_of(first)


def test_a_lost_or_damaged_score_alone_is_computed_again(run: Any, counted: list[str], tmp_path: Path) -> None:
    first = run()
    kept = sorted((tmp_path / "out" / SCORES / "done").rglob("*.json"))
    kept[0].unlink()
    kept[1].write_text("{", encoding="utf-8")
    counted.clear()
    assert scores_of(rescore(tmp_path / "out")) == scores_of(first)
    assert sorted(counted) == ["psnr", "psnr", "ssim", "ssim"]


def test_a_kept_score_says_what_it_depends_on(run: Any, tmp_path: Path) -> None:
    run()
    for path in (tmp_path / "out" / SCORES).rglob("*.json"):
        document = json.loads(path.read_text(encoding="utf-8"))
        assert document.keys() == {"psnr", "ssim", "files"}
        assert all(len(document[name]["key"]) == 64 for name in ("psnr", "ssim"))
    assert len({path.name for path in (tmp_path / "out" / SCORES / "done").rglob("*.json")}) == 3


def test_another_version_of_what_computes_is_another_score(run: Any, counted: list[str], monkeypatch: Any) -> None:
    run(metrics=("psnr",))
    counted.clear()
    monkeypatch.setattr("ldrestore.evaluation.score_step.version_of_packages", lambda *names: "numpy 99")
    results = run(metrics=("psnr",))
    assert counted == ["psnr"] * 6 and results.metrics[0].version == "numpy 99"


@pytest.fixture
def lpips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file of weights; LPIPS is a number that they hold, and cannot be had without them."""

    def opened(options: measures.MetricOptions) -> measures.Measure:
        if "lpips" not in options.weights:
            raise WeightsUnavailableError("no weights of LPIPS; get them with: ldrestore fetch metrics")
        value = float(options.weights["lpips"].read_text())
        return lambda pictures: value

    monkeypatch.setattr(measures, "open_lpips", opened)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert METRICS["lpips"].target == "ldrestore.metrics.measures:open_lpips"
    path = tmp_path / "weights.txt"
    path.write_text("0.25")
    return path


def test_scores_by_weights_that_are_gone_are_not_shown_as_scores(run: Any, lpips: Path, tmp_path: Path) -> None:
    with_weights = run(metrics=("psnr", "lpips"), weights={"lpips": lpips})
    assert {row.scores["lpips"] for row in with_weights.outputs} == {0.25}
    without = run(metrics=("psnr", "lpips"))
    assert all(row.scores.keys() == {"psnr"} and row.failure is None for row in without.outputs)
    (row,) = [row for row in without.metrics if row.name == "lpips"]
    assert row.unavailable == "no weights of LPIPS; get them with: ldrestore fetch metrics"
    assert row.weights_sha256 is None
    assert "- lpips: no weights of LPIPS" in (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    assert "lpips" not in (tmp_path / "out" / "results.csv").read_text(encoding="utf-8")
    assert run(metrics=("psnr", "lpips"), weights={"lpips": lpips}).means == with_weights.means


def test_other_weights_under_the_same_name_are_other_scores(run: Any, lpips: Path) -> None:
    first = run(metrics=("lpips",), weights={"lpips": lpips})
    lpips.write_text("0.5")
    second = run(metrics=("lpips",), weights={"lpips": lpips})
    assert {row.scores["lpips"] for row in second.outputs} == {0.5}
    assert first.metrics[0].weights_sha256 != second.metrics[0].weights_sha256


def test_a_picture_that_is_too_small_for_a_metric_fails_in_that_metric_alone(run: Any) -> None:
    results = run(metrics=("psnr", "ms_ssim"))
    for row in results.outputs:
        assert row.scores.keys() == {"psnr"}
        assert row.failure is not None and row.failure.startswith("ms_ssim: MS-SSIM of 5 scales needs at least 176")
    assert [mean.metric for mean in results.means] == ["psnr", "psnr"]


def test_a_failure_is_tried_again_by_the_next_run(run: Any, tmp_path: Path) -> None:
    first = run()
    gt = tmp_path / "out" / first.pictures[0].gt
    aside = gt.rename(tmp_path / "aside.png")
    lost = rescore(tmp_path / "out")
    assert {row.contestant for row in lost.failures} == {"done", "input"}
    assert {row.picture for row in lost.failures} == {first.pictures[0].name}
    aside.rename(gt)
    assert scores_of(rescore(tmp_path / "out")) == scores_of(first)


def test_rescoring_keeps_everything_but_scores(run: Any, tmp_path: Path) -> None:
    first = run()
    again = rescore(tmp_path / "out", options=BenchOptions(metrics=("ssim",)))
    kept = ("suite", "summary", "datasets", "contestants", "pictures", "environments", "notes")
    assert [getattr(again, name) for name in kept] == [getattr(first, name) for name in kept]
    assert [row.sha256 for row in again.outputs] == [row.sha256 for row in first.outputs]
    assert read_results(tmp_path / "out") == again


def test_rescoring_an_unknown_metric_or_protocol_changes_nothing(run: Any, tmp_path: Path) -> None:
    run()
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    for options in (BenchOptions(metrics=("psnrr",)), BenchOptions(protocol="osedif")):
        with pytest.raises(InputError, match=r"did you mean '(psnr|osediff)'"):
            rescore(tmp_path / "out", options=options)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def step_of(tmp_path: Path, shard: Shard) -> ScoreStep:
    return ScoreStep(
        out_dir=tmp_path / "out",
        data_root=None,
        protocol=find_protocol("osediff"),
        metrics=("psnr",),
        weights={},
        device="cpu",
        shard=shard,
        memory=PictureMemory(0),
    )


@pytest.mark.parametrize("count", [2, 3, 7])
def test_any_number_of_processes_computes_each_score_once_and_the_same(
    run: Any, tmp_path: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    results = run()
    alone = rescore(tmp_path / "out", options=BenchOptions(metrics=("psnr",), protocol="osediff"))
    for path in (tmp_path / "out" / SCORES).rglob("*.json"):
        path.unlink()
    counted.clear()
    monkeypatch.setattr(Shard, "wait", lambda self: None)
    for index in range(count - 1, -1, -1):  # the first one comes last, and finds what the others left
        shared = score_all(step_of(tmp_path, Shard(index=index, count=count)), results, say=lambda message: None)
    assert counted == ["psnr"] * 6
    assert scores_of(shared) == scores_of(alone)


def test_results_without_ground_truth_have_metrics_of_results_and_inputs_alone(tmp_path: Path, write: Any) -> None:
    write(tmp_path / "data" / "real_no_gt" / "a.png", size=(40, 48))
    dataset = SuiteDataset(name="real", set="real_no_gt")
    suite = SuiteConfig(name="own", summary="", metrics=("psnr", "consistency"), datasets=(dataset,))
    results = evaluate(suite, [], tmp_path / "out", data_root=tmp_path / "data")
    (row,) = results.outputs
    assert row.failure is None and dict(row.scores) == {"consistency": np.inf}
    assert [(mean.metric, mean.mean, mean.cap) for mean in results.means] == [("consistency", 60.0, 60.0)]
    assert results.datasets[0].making == "no ground truth" and results.pictures[0].gt is None


@pytest.fixture
def fid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Options that compute FID, which is here the number of pictures; torch-fidelity is not needed."""
    calculate = lambda **options: {"frechet_inception_distance": float(len(options["input1"]))}  # noqa: E731
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.SimpleNamespace(calculate_metrics=calculate))
    (tmp_path / "inception.pth").write_bytes(b"")
    return {"metrics": ("psnr", "fid"), "weights": {"fid": tmp_path / "inception.pth"}}


@pytest.mark.filterwarnings("ignore:FID of . pictures")
def test_what_a_set_was_too_small_for_is_noted_as_long_as_it_is_computed(
    run: Any, fid: dict[str, Any], tmp_path: Path, write: Any
) -> None:
    for name in "bc":  # of which the finished results have another size
        write(tmp_path / "done" / f"{name}.png", size=(8, 8))
    results = run(**fid)
    assert {row.contestant: row.mean for row in results.means if row.metric == "fid"} == {"input": 3.0}
    note = "fid of done, pairs: FID compares sets of at least two pictures, got 1"
    assert results.notes == (note,)
    assert rescore(tmp_path / "out", options=BenchOptions(**fid)).notes == (note,)
    again = rescore(tmp_path / "out", options=BenchOptions(metrics=("psnr",)))
    assert again.notes == () and again.set_scores == ()


@pytest.mark.filterwarnings("ignore:FID of . pictures")
def test_a_set_that_no_contestant_has_is_unavailable_with_its_reason(
    run: Any, fid: dict[str, Any], folders: tuple[Path, Path]
) -> None:
    for folder in folders:
        for name in "bc":
            (folder / f"{name}.png").unlink()
    results = run(**fid)
    (row,) = [row for row in results.metrics if row.name == "fid"]
    assert row.unavailable == "input, pairs: FID compares sets of at least two pictures, got 1"
    assert results.notes == () and {mean.metric for mean in results.means} == {"psnr"}
