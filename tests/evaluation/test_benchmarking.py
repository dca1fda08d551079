import dataclasses
import json
import math
import os
import shutil
import sys
import types

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ldrestore.datasets.pictures import read_rgb
from ldrestore.errors import InputError, MissingSetError, UnknownNameError
from ldrestore.evaluation import BenchOptions, evaluate, read_results, rescore
from ldrestore.evaluation.cases import Case
from ldrestore.evaluation.contestants import model_contestant, peer_contestant, results_contestant
from ldrestore.evaluation.picture_memory import PictureMemory
from ldrestore.evaluation.results import CostRow, write_results
from ldrestore.evaluation.suites import SuiteConfig, SuiteDataset
from ldrestore.images.files import read_photo
from ldrestore.images.inputs import to_photo
from ldrestore.images.photo import Photo
from ldrestore.metrics.scoring import score

SUITE = SuiteConfig(
    name="tiny",
    summary="A suite of a test.",
    metrics=("psnr", "ssim"),
    datasets=(
        SuiteDataset(name="noise", set="builtin", recipe="gaussian_noise(sigma_255=25)", crop=32, limit=2),
        SuiteDataset(name="clean", set="builtin", recipe="clean", crop=32, limit=2),
    ),
    averages={"both": ["noise", "clean"]},
)


@pytest.fixture
def results(tiny_fast, tmp_path):
    return evaluate(SUITE, [str(tiny_fast), peer_contestant("opencv_nlm")], tmp_path / "out")


def figures(results):
    """Everything of the outputs but how long they took."""
    return [dataclasses.replace(row, seconds=None) for row in results.outputs]


def test_every_contestant_has_scores_of_every_picture_it_is_for(results, tmp_path):
    assert {row.name: row.kind for row in results.contestants} == {
        "input": "input",
        "tiny": "model",
        "opencv_nlm": "peer",
    }
    counts = {}
    for row in results.outputs:
        assert row.failure is None and row.scores.keys() == {"psnr", "ssim"}
        counts[row.contestant, row.dataset] = counts.get((row.contestant, row.dataset), 0) + 1
    assert counts == {(name, part): 2 for name in ("input", "tiny") for part in ("noise", "clean")} | {
        ("opencv_nlm", "noise"): 2
    }
    row = next(row for row in results.outputs if (row.contestant, row.dataset) == ("opencv_nlm", "noise"))
    picture = results.picture("noise", row.picture)
    again = score(tmp_path / "out" / row.path, tmp_path / "out" / picture.gt)
    assert dict(row.scores) == dict(again)


def test_the_untouched_input_of_clean_pictures_is_infinite_and_counts_as_the_cap(results, tmp_path):
    text = (tmp_path / "out" / "results.json").read_text()
    assert '"psnr": "inf"' in text and "Infinity" not in text
    mean = next(row for row in results.means if (row.contestant, row.dataset) == ("input", "clean"))
    assert (mean.mean, mean.cap) == (60.0, 60.0)
    assert "60.00*" in (tmp_path / "out" / "table.md").read_text()
    average = next(row for row in results.means if (row.contestant, row.dataset) == ("input", "both"))
    noise = next(row for row in results.means if (row.contestant, row.dataset) == ("input", "noise"))
    assert average.mean == pytest.approx((noise.mean + 60) / 2)


def test_the_untouched_input_is_stored_once_and_ground_truths_are_shared(results, tmp_path):
    out = tmp_path / "out"
    for row in results.outputs:
        if row.contestant == "input":
            picture = results.picture(row.dataset, row.picture)
            assert (row.path, row.sha256) == (picture.lq, picture.lq_sha256)
    assert not (out / "outputs" / "input").exists()
    truths = {row.gt for row in results.pictures}
    assert len(truths) == 2 and len(results.pictures) == 4
    assert {path.relative_to(out).as_posix() for path in (out / "pictures" / "gt").iterdir()} == truths


@pytest.mark.parametrize("most", [2**29, 0])
def test_pictures_are_made_once_for_all_contestants_as_far_as_memory_allows(tiny_fast, tmp_path, monkeypatch, most):
    monkeypatch.setattr("ldrestore.evaluation.restore_step.MOST_KEPT", most)
    made, pictures = [], Case.pictures
    monkeypatch.setattr(Case, "pictures", lambda case, memory: made.append(case.name) or pictures(case, memory))
    results = evaluate(SUITE, [str(tiny_fast), peer_contestant("opencv_nlm")], tmp_path / "out")
    assert not results.failures
    assert len(made) == (4 if most else 10)


def test_what_was_just_stored_is_not_read_again_and_scores_the_same(results, tiny_fast, tmp_path, monkeypatch):
    read = []

    def listed(path):
        read.append(path)
        return read_photo(path)

    monkeypatch.setattr("ldrestore.evaluation.score_step.read_photo", listed)
    models = [str(tiny_fast), peer_contestant("opencv_nlm")]
    again = evaluate(SUITE, models, tmp_path / "other")
    assert read == [] and figures(again) == figures(results)
    monkeypatch.setattr("ldrestore.evaluation.benchmarking.PictureMemory", lambda: PictureMemory(0))
    again = evaluate(SUITE, models, tmp_path / "third")
    assert len(read) > 10 and figures(again) == figures(results)


def test_a_clean_picture_is_read_once_for_all_datasets(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr("ldrestore.evaluation.cases.read_rgb", lambda path: read.append(path) or read_rgb(path))
    assert not evaluate(SUITE, [], tmp_path / "out").failures
    assert len(read) == len(set(read)) == 2


def test_results_come_back_from_their_file(results, tmp_path):
    assert read_results(tmp_path / "out") == results
    assert str(tmp_path) not in (tmp_path / "out" / "results.json").read_text()


def test_a_second_run_restores_nothing_and_gives_every_figure(results, tiny_fast, tmp_path, monkeypatch):
    monkeypatch.setattr("ldrestore.evaluation.contestants.load_restorer", None)
    again = evaluate(SUITE, [str(tiny_fast), peer_contestant("opencv_nlm")], tmp_path / "out")
    assert again == results


def test_costs_are_kept_by_a_run_that_measures_none_until_the_model_changes(results, tiny_fast, tmp_path):
    cost = CostRow(
        contestant="tiny",
        seconds_per_megapixel=2.0,
        megapixels=1.0,
        repeats=3,
        peak_gigabytes=None,
        parameters=7,
        gigamacs=None,
        device="cpu",
        threads=1,
    )
    of_another = dataclasses.replace(cost, contestant="gone")
    write_results(dataclasses.replace(results, costs=(cost, of_another)), tmp_path / "out" / "results.json")
    again = evaluate(SUITE, [str(tiny_fast)], tmp_path / "out")
    assert again.costs == (cost,)
    other = dataclasses.replace(model_contestant(f"{tiny_fast},fidelity=0.5"), name="tiny")
    assert evaluate(SUITE, [other], tmp_path / "out").costs == ()


def test_a_fresh_run_gives_every_figure_to_the_digit(results, tiny_fast, tmp_path):
    again = evaluate(SUITE, [str(tiny_fast), peer_contestant("opencv_nlm")], tmp_path / "other")
    assert figures(again) == figures(results)
    assert (again.means, again.comparisons) == (results.means, results.comparisons)


def test_processes_share_the_work_and_give_the_same_outputs(results, tiny_fast, tmp_path, monkeypatch):
    from ldrestore.evaluation.shards import Shard

    monkeypatch.setattr(Shard, "wait", lambda self: None)
    for index in (1, 0):
        monkeypatch.setattr(
            "ldrestore.evaluation.benchmarking.current_shard",
            lambda *, device, index=index: Shard(index=index, count=2),
        )
        again = evaluate(SUITE, [str(tiny_fast), peer_contestant("opencv_nlm")], tmp_path / "shared")
        if index == 1:
            assert not (tmp_path / "shared" / "results.json").exists()
    assert {row.path: row.sha256 for row in again.outputs} == {row.path: row.sha256 for row in results.outputs}


def test_rescoring_needs_no_model_and_takes_another_protocol(results, tmp_path, monkeypatch):
    monkeypatch.setattr("ldrestore.evaluation.contestants.load_restorer", None)
    again = rescore(tmp_path / "out", options=BenchOptions(metrics=("psnr",), protocol="osediff"))
    assert again.protocol["colour"] == "y_limited"
    assert all(row.scores.keys() == {"psnr"} for row in again.outputs)
    assert [row.sha256 for row in again.outputs] == [row.sha256 for row in results.outputs]


def test_a_protocol_that_would_have_stored_other_pictures_is_refused(results, tmp_path):
    with pytest.raises(InputError, match="made by the protocol uint8, and promptir needs pictures of another size"):
        rescore(tmp_path / "out", options=BenchOptions(protocol="promptir"))


def test_two_results_of_one_name_are_refused(tmp_path, write):
    write(tmp_path / "lq" / "a.png", shift=3)
    write(tmp_path / "gt" / "a.png")
    for suffix in ("png", "jpg"):
        write(tmp_path / "done" / f"a.{suffix}")
    own = (tmp_path / "lq", tmp_path / "gt")
    pairs = SuiteConfig(name="own", summary="", datasets=())
    results = evaluate(pairs, [results_contestant("done", tmp_path / "done")], tmp_path / "out", pairs=own)
    (failed,) = results.failures
    assert "a.jpg and a.png" in failed.failure


def test_float_pictures_are_compared(tmp_path):
    for folder, shift in (("lq", 0.1), ("gt", 0.0), ("done", 0.05)):
        (tmp_path / folder).mkdir()
        values = np.linspace(0.2, 0.7, 32 * 32 * 3, dtype=np.float32).reshape(32, 32, 3) + np.float32(shift)
        Photo(pixels=values).save(tmp_path / folder / "a.tif")
    own = (tmp_path / "lq", tmp_path / "gt")
    pairs = SuiteConfig(name="own", summary="", metrics=("psnr",), datasets=())
    results = evaluate(pairs, [results_contestant("done", tmp_path / "done")], tmp_path / "out", pairs=own)
    assert not results.failures
    found = {row.contestant: row.scores["psnr"] for row in results.outputs}
    assert found == {"input": pytest.approx(20, abs=0.1), "done": pytest.approx(26.02, abs=0.1)}


def test_finished_results_of_whole_pictures_are_cut_as_the_protocol_says(tmp_path, write):
    for folder, shift in (("lq", 9), ("gt", 0), ("done", 3)):
        write(tmp_path / folder / "a.png", shift=shift, size=(37, 50))
    pairs = SuiteConfig(name="own", summary="", protocol="promptir", metrics=("psnr",), datasets=())
    done = results_contestant("done", tmp_path / "done")
    results = evaluate(pairs, [done], tmp_path / "out", pairs=(tmp_path / "lq", tmp_path / "gt"))
    assert not results.failures
    row = next(row for row in results.outputs if row.contestant == "done")
    again = score(tmp_path / "done" / "a.png", tmp_path / "gt" / "a.png", metrics=["psnr"], protocol="promptir")
    assert row.scores["psnr"] == again["psnr"]


def test_names_that_differ_in_a_slash_have_scores_of_their_own(tmp_path, write):
    for name, shift in (("x/1", 0), ("x_1", 40)):
        write(tmp_path / "lq" / f"{name}.png")
        write(tmp_path / "gt" / f"{name}.png", shift=shift)
    pairs = SuiteConfig(name="own", summary="", metrics=("psnr",), datasets=())
    results = evaluate(pairs, [], tmp_path / "out", pairs=(tmp_path / "lq", tmp_path / "gt"))
    found = {row.picture: row.scores["psnr"] for row in results.outputs}
    assert found["x/1"] == float("inf") and found["x_1"] < 40


def test_a_result_that_is_there_again_is_scored(results, tmp_path):
    row = next(row for row in results.outputs if row.contestant == "tiny")
    place, aside = tmp_path / "out" / row.path, tmp_path / "aside.png"
    place.rename(aside)
    options = BenchOptions(protocol="osediff", metrics=("psnr",))
    assert len(rescore(tmp_path / "out", options=options).failures) == 1
    aside.rename(place)
    assert not rescore(tmp_path / "out", options=options).failures


def test_changed_weights_are_another_model(tiny_fast, tmp_path):
    model = shutil.copytree(tiny_fast, tmp_path / "tiny")
    results = evaluate(SUITE, [str(model)], tmp_path / "out")
    (weights,) = model.rglob("*.safetensors")
    state = load_file(weights)
    save_file({name: value * 0.5 for name, value in state.items()}, weights, metadata={"format": "pt"})
    again = evaluate(SUITE, [str(model)], tmp_path / "out")
    identities = [next(row.identity for row in run.contestants if row.name == "tiny") for run in (results, again)]
    assert identities[0] != identities[1]
    hashes = [{row.sha256 for row in run.outputs if row.contestant == "tiny"} for run in (results, again)]
    assert not hashes[0] & hashes[1]


def test_a_changed_stored_picture_is_not_scored(results, tmp_path):
    row = next(row for row in results.outputs if row.contestant == "tiny")
    photo = read_photo(tmp_path / "out" / row.path)
    photo.replace(pixels=255 - photo.pixels, alpha=None).save(tmp_path / "out" / row.path, overwrite=True)
    again = rescore(tmp_path / "out", options=BenchOptions(protocol="osediff", metrics=("psnr",)))
    assert [each.failure is not None for each in again.outputs].count(True) == 1
    assert "is not the picture that was stored" in again.failures[0].failure


@pytest.mark.parametrize("part", ["result", "gt"])
def test_a_file_that_was_overwritten_is_noticed_though_its_scores_are_kept(results, tmp_path, monkeypatch, part):
    row = next(row for row in results.outputs if row.contestant == "tiny")
    picture = results.picture(row.dataset, row.picture)
    place = tmp_path / "out" / (row.path if part == "result" else picture.gt)
    kept = place.read_bytes()
    photo = read_photo(place)
    photo.replace(pixels=255 - photo.pixels, alpha=None).save(place, overwrite=True)
    again = rescore(tmp_path / "out")
    assert row.picture in {each.picture for each in again.failures}
    place.write_bytes(kept)
    assert figures(rescore(tmp_path / "out")) == figures(results)
    monkeypatch.setattr("ldrestore.evaluation.score_step.read_photo", None)  # what nobody touched is not read again
    assert figures(rescore(tmp_path / "out")) == figures(results)


def test_files_of_another_time_with_the_same_pixels_keep_their_scores(results, tmp_path, monkeypatch):
    for path in (tmp_path / "out").rglob("*.png"):
        os.utime(path, (1, 1))
    monkeypatch.setattr("ldrestore.evaluation.score_step.value_of", None)
    assert figures(rescore(tmp_path / "out")) == figures(results)


def test_one_bad_picture_costs_nothing_else(tiny_fast, tmp_path, write):
    for name in "abc":
        write(tmp_path / "lq" / f"{name}.png", shift=3)
        write(tmp_path / "gt" / f"{name}.png")
    (tmp_path / "lq" / "b.png").write_bytes(b"no picture")
    write(tmp_path / "gt" / "c.png", size=(20, 20))
    heard = []
    found = evaluate(
        SuiteConfig(name="pairs", summary="", datasets=()),
        [str(tiny_fast)],
        tmp_path / "out",
        pairs=(tmp_path / "lq", tmp_path / "gt"),
        say=heard.append,
    )
    reasons = {(row.contestant, row.picture): row.failure for row in found.outputs}
    assert reasons["tiny", "a"] is None
    assert "b.png" in reasons["tiny", "b"]
    assert "32x24" in reasons["input", "c"] and "20x20" in reasons["input", "c"]
    assert any(line.startswith("failed: tiny, pairs/b") for line in heard)
    assert "## Failed" in (tmp_path / "out" / "table.md").read_text()


def test_pictures_of_another_kind_are_named_and_cost_nothing_else(tmp_path, write):
    for name in ("colour", "deep", "clear"):
        write(tmp_path / "lq" / f"{name}.png", shift=3)
    pixels = read_photo(write(tmp_path / "gt" / "clear.png")).pixels
    to_photo(pixels[..., :1].copy()).save(tmp_path / "gt" / "colour.png")
    to_photo(pixels.astype(np.uint16) * 257).save(tmp_path / "gt" / "deep.png")
    to_photo(np.dstack([pixels, pixels[..., :1]])).save(tmp_path / "gt" / "clear.png", overwrite=True)
    alone = SuiteConfig(name="pairs", summary="", datasets=())
    with pytest.warns(UserWarning, match="transparency is not compared|rounded to 8 bits") as heard:
        found = evaluate(alone, [], tmp_path / "out", pairs=(tmp_path / "lq", tmp_path / "gt"))
    assert len(heard) >= 2
    rows = {row.picture: row for row in found.outputs}
    assert rows["colour"].failure == "the result is RGB and the ground truth grey; save both alike"
    assert rows["deep"].scores["psnr"] > 10 and rows["clear"].scores["psnr"] > 10


def test_metrics_of_sets_take_what_goes_together_and_say_how_many_that_were(tmp_path, write, monkeypatch):
    calculate = lambda **options: {"frechet_inception_distance": float(len(options["input1"]))}  # noqa: E731
    toolbox = types.SimpleNamespace(gmsd=lambda x, y, data_range: torch.tensor(math.nan))
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.SimpleNamespace(calculate_metrics=calculate))
    monkeypatch.setitem(sys.modules, "piq", toolbox)
    (tmp_path / "inception.pth").write_bytes(b"")
    for name in "abc":
        for folder in ("lq", "gt", "done"):
            write(tmp_path / folder / f"{name}.png", size=(20, 30) if (name, folder) == ("c", "done") else (40, 50))
    metrics = ("fid", "piq:gmsd")  # gmsd fails on every picture, which is nothing to FID
    for chosen in (metrics, ("fid",)):
        with pytest.warns(UserWarning, match="FID of . pictures"):
            found = evaluate(
                SuiteConfig(name="pairs", summary="", datasets=()),
                [results_contestant("done", tmp_path / "done")],
                tmp_path / "out",
                pairs=(tmp_path / "lq", tmp_path / "gt"),
                options=BenchOptions(metrics=chosen, weights={"fid": tmp_path / "inception.pth"}),
            )
        counts = {row.contestant: (row.mean, row.num_pictures) for row in found.means if row.metric == "fid"}
        assert counts == {"input": (3.0, 3), "done": (2.0, 2)}
        failures = {(row.contestant, row.picture): row.failure for row in found.outputs}
        assert "the result has 30x20 pixels" in failures["done", "c"] and not found.is_whole


def test_a_model_that_fails_to_load_fails_alone(tmp_path, monkeypatch):
    from ldrestore.errors import WeightsError

    def refuse(*words, **options):
        raise WeightsError("damaged")

    monkeypatch.setattr("ldrestore.evaluation.contestants.load_restorer", refuse)
    found = evaluate(SUITE, ["default"], tmp_path / "out")
    assert {row.failure for row in found.outputs if row.contestant == "default"} == {"damaged"}
    assert all(row.failure is None for row in found.outputs if row.contestant == "input")


def test_finished_results_are_matched_by_dataset_and_name(results, tmp_path):
    folder = tmp_path / "theirs"
    for row in results.outputs:
        if row.contestant == "tiny" and row.dataset == "noise":
            (folder / "noise").mkdir(parents=True, exist_ok=True)
            read_photo(tmp_path / "out" / row.path).save(folder / "noise" / f"{row.picture}.png")
    found = evaluate(SUITE, [results_contestant("theirs", folder)], tmp_path / "second")
    ours = {row.picture: row.scores for row in results.outputs if (row.contestant, row.dataset) == ("tiny", "noise")}
    theirs = {row.picture: row for row in found.outputs if (row.contestant, row.dataset) == ("theirs", "noise")}
    assert {name: row.scores for name, row in theirs.items()} == ours
    lost = next(row for row in found.outputs if (row.contestant, row.dataset) == ("theirs", "clean"))
    assert "no result for clean/" in lost.failure


def test_one_finished_picture_is_not_the_result_of_two_inputs(tmp_path, write):
    for name in ("x/1", "y/1"):
        write(tmp_path / "lq" / f"{name}.png", shift=9 if name == "x/1" else 3)
        write(tmp_path / "gt" / f"{name}.png")
    write(tmp_path / "done" / "1.png")
    alone = SuiteConfig(name="pairs", summary="", metrics=("psnr",), datasets=())
    done, own = results_contestant("done", tmp_path / "done"), (tmp_path / "lq", tmp_path / "gt")
    with pytest.raises(
        InputError, match=r"done: 1\.png would be the result of both pairs/x/1 and pairs/y/1; name each"
    ):
        evaluate(alone, [done], tmp_path / "out", pairs=own)
    for name in ("x/1", "y/1"):
        write(tmp_path / "done" / f"{name}.png")
    assert not evaluate(alone, [done], tmp_path / "out", pairs=own).failures


def test_what_differs_in_what_models_are_told_alone_has_one_finished_picture(tmp_path, write):
    parts = {"recipe": "gaussian_noise(sigma_255=25)", "set": "builtin", "crop": 32, "limit": 1}
    hinted = SuiteDataset(name="told", options={"degradations": ["gaussian_noise"]}, **parts)
    results = evaluate(replace_datasets(SuiteDataset(name="noise", **parts), hinted), [], tmp_path / "inputs")
    (name,) = {row.name for row in results.pictures}
    write(tmp_path / "done" / f"{name}.png", size=(32, 32))
    done = results_contestant("done", tmp_path / "done")
    found = evaluate(replace_datasets(SuiteDataset(name="noise", **parts), hinted), [done], tmp_path / "out")
    assert not found.failures
    other = SuiteDataset(name="more", **{**parts, "recipe": "gaussian_noise(sigma_255=50)"})
    with pytest.raises(InputError, match=f"both noise/{name} and more/{name}"):
        evaluate(replace_datasets(SuiteDataset(name="noise", **parts), other), [done], tmp_path / "out")


def replace_datasets(*datasets):
    return SuiteConfig(name="tiny", summary="", metrics=("psnr",), datasets=datasets)


def test_unrounded_protocols_store_what_they_compare(tiny_fast, tmp_path):
    suite = dataclasses.replace(SUITE, protocol="promptir", averages={}, datasets=SUITE.datasets[:1])
    found = evaluate(suite, [str(tiny_fast)], tmp_path / "out", options=BenchOptions(has_input=False))
    photo = read_photo(tmp_path / "out" / found.outputs[0].path)
    assert photo.pixels.dtype == np.uint16
    assert len(np.unique(photo.pixels % 257)) > 1


def test_a_model_that_draws_runs_once_a_seed_and_tells_its_spread(tmp_path, monkeypatch):
    from ldrestore.evaluation.contestants import Contestant, RestoredPicture

    def opened(contestant, *, device):
        def restore(photo, case, seed):
            return RestoredPicture(photo=to_photo(np.full_like(photo.pixels, 100 + 10 * (seed or 0))))

        return restore

    monkeypatch.setattr("ldrestore.evaluation.restore_step.open_contestant", opened)
    monkeypatch.setattr("ldrestore.evaluation.restore_step.contestant_identity", lambda contestant: contestant.name)
    monkeypatch.setattr("ldrestore.evaluation.benchmarking.contestant_identity", lambda contestant: contestant.name)
    draws = Contestant(name="draws", kind="model", source="draws", num_seeds=3)
    found = evaluate(SUITE, [draws], tmp_path / "out", options=BenchOptions(has_input=False))
    rows = [row for row in found.outputs if row.dataset == "noise"]
    assert sorted({row.seed for row in rows}) == [0, 1, 2]
    mean = next(row for row in found.means if (row.dataset, row.metric) == ("noise", "psnr"))
    assert mean.num_pictures == 2
    assert mean.mean == pytest.approx(np.mean([row.scores["psnr"] for row in rows]))
    assert mean.spread > 0


def test_a_word_on_the_licence_of_bm3d(tmp_path):
    found = evaluate(SUITE, [peer_contestant("bm3d")], tmp_path / "out")
    assert any("non-commercial" in note for note in found.notes)


def test_training_pictures_of_the_suite_are_named(tmp_path):
    from ldrestore.evaluation.benchmark_files import BUILTIN_FOLDER

    train = tmp_path / "train"
    train.mkdir()
    read_photo(BUILTIN_FOLDER / "coffee.png").save(train / "x.png")
    suite = dataclasses.replace(SUITE, averages={}, datasets=(SuiteDataset(name="a", set="builtin", recipe="clean"),))
    options = BenchOptions(train_root=train, limit=3)
    found = evaluate(dataclasses.replace(suite, metrics=("psnr",)), [], tmp_path / "out", options=options)
    assert any("a/coffee is among the training pictures as x.png (pixel by pixel)" in note for note in found.notes)


def test_wrong_calls_are_refused_with_what_to_do(tmp_path, tiny_fast):
    with pytest.raises(UnknownNameError, match="did you mean 'builtin"):
        evaluate("bultin", [], tmp_path)
    with pytest.raises(InputError, match="several contestants are called tiny"):
        evaluate(SUITE, [str(tiny_fast), str(tiny_fast)], tmp_path)
    with pytest.raises(InputError, match="nothing is to be compared"):
        evaluate(SUITE, [], tmp_path, options=BenchOptions(has_input=False))
    with pytest.raises(UnknownNameError, match="unknown metric"):
        evaluate(SUITE, [], tmp_path, options=BenchOptions(metrics=("psnrr",)))
    with pytest.raises(UnknownNameError, match="unknown metric of --weights"):
        evaluate(SUITE, [], tmp_path, options=BenchOptions(weights={"lpips": tmp_path}))
    assert not any(tmp_path.iterdir())  # a slip costs no restored picture
    with pytest.raises(InputError, match="option=value"):
        model_contestant("default,steps")
    with pytest.raises(InputError, match="default does not sample; leave out solver=euler"):
        model_contestant("default,solver=euler")
    with pytest.raises(UnknownNameError, match="did you mean 'dpmsolver"):
        model_contestant("ldrestore-tiny-stable,solver=dpmsolver")
    with pytest.raises(MissingSetError, match="no data root is given; name the folder"):
        evaluate("aio3", [], tmp_path)
    with pytest.raises(InputError, match="no folder at"):
        results_contestant("theirs", tmp_path / "nowhere")


def test_a_results_file_of_another_version_or_damaged_is_refused(results, tmp_path):
    path = tmp_path / "out" / "results.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "version": 99}))
    with pytest.raises(InputError, match="results of version 99, and this ldrestore reads version 1"):
        read_results(path)
    path.write_text(json.dumps({**document, "outputs": [{"contestant": 1}]}))
    with pytest.raises(InputError, match="the results are damaged"):
        read_results(path)
    path.write_text("[")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        read_results(path)
    with pytest.raises(InputError, match="no results at"):
        rescore(tmp_path / "nowhere")
