import json
import sys

import pytest
import torch

from ldrestore.explanations.fast_explanation import explain
from ldrestore.guides.embedding_cache import EmbeddingWriter, picture_key
from ldrestore.guides.guide_identity import GuideIdentity
from ldrestore.images.files import read_photo
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor
from tests.regressors.test_contract import TINY, tiny

CPU = ("--device", "cpu")


@pytest.fixture(scope="module")
def model_of(tmp_path_factory):
    """`model_of(name)` gives the folder of a tiny model."""
    root = tmp_path_factory.mktemp("models")

    def save(name):
        if not (root / name).exists():
            FastRestorePipeline(tiny(name)).save_pretrained(root / name)
        return root / name

    return save


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def document(folder):
    return json.loads((folder / "explanation.json").read_text(encoding="utf-8"))


def test_a_picture_becomes_figures_numbers_and_a_page(call, picture, model_of, tmp_path):
    source, gt = picture(tmp_path / "a.png"), picture(tmp_path / "gt.png", seed=1)
    out = tmp_path / "deep" / "why"
    result = call("explain", source, "--gt", gt, "--model", model_of("moce_ir"), "--out", out, *CPU)
    assert result.exit_code == 0, result.stderr
    assert names(out) == ["differences.png", "explanation.json", "explanation.md", "usage.png"]
    assert result.stdout == f"{out / 'explanation.md'}\n"
    found = explain(FastRestorePipeline.from_pretrained(model_of("moce_ir")), source, gt=gt)
    written = document(out)
    assert [route["expert"] for route in written["routing"]] == [route.expert for route in found.routing]
    assert written["differences"]["restored - gt"]["psnr"] == round(found.differences["restored - gt"].psnr, 6)
    assert str(tmp_path) not in (out / "explanation.json").read_text(encoding="utf-8")


def test_without_out_the_folder_is_named_after_the_picture(call, picture, model_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "in" / "a.png")
    result = call("explain", "in/a.png", "--model", model_of("nafnet"), *CPU, "--json")
    assert names(tmp_path / "explained-a") == ["differences.png", "explanation.json", "explanation.md"]
    printed = json.loads(result.stdout)
    assert printed["folder"] == "explained-a" and printed["files"] == names(tmp_path / "explained-a")
    assert printed["explanation"] == document(tmp_path / "explained-a")
    assert printed["explanation"]["usage"] == [] and printed["explanation"]["model"]["unit"] is None


def test_the_default_model_says_what_it_sees(call, picture, tmp_path):
    result = call("explain", picture(tmp_path / "a.png"), "--out", tmp_path / "why", *CPU, "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    written = document(tmp_path / "why")
    assert "gaussian_noise" in written["estimate"]
    assert sum(written["usage"][0]["weights"]) == pytest.approx(1, abs=1e-4)


def test_a_folder_becomes_a_routing_report(call, folder, model_of, tmp_path):
    result = call("explain", folder, "-r", "--model", model_of("moce_ir"), "--out", tmp_path / "why", *CPU)
    assert result.exit_code == 0, result.stderr
    assert names(tmp_path / "why") == ["explanation.json", "explanation.md", "routing.png", "usage.png"]
    written = document(tmp_path / "why")
    assert written["pictures"] == ["a.png", "b.jpg", "sub/c.tif"]
    assert all(sum(entry["shares"]) == pytest.approx(1, abs=1e-5) for entry in written["shares"])


def test_one_bad_picture_is_named_and_the_rest_is_told_of(call, folder, model_of, tmp_path):
    (folder / "a.png").write_bytes(b"")
    words = ("explain", folder, "--model", model_of("datprl_ir"), *CPU)
    result = call(*words, "--out", tmp_path / "why", "--json")
    assert result.exit_code == 1
    assert f"failed: {folder / 'a.png'}: the file is empty" in result.stderr
    printed = json.loads(result.stdout)
    assert printed["explanation"]["pictures"] == ["b.jpg"] and len(printed["failed"]) == 1
    (folder / "b.jpg").write_bytes(b"")
    result = call(*words, "--out", tmp_path / "other")
    assert result.exit_code == 1 and "no picture could be looked at" in result.stderr
    assert not (tmp_path / "other").exists()


def test_a_folder_tells_nothing_of_a_model_without_prompts_or_of_no_pictures(call, folder, model_of, tmp_path):
    result = call("explain", folder, "--model", model_of("nafnet"), "--out", tmp_path / "why", *CPU)
    assert result.exit_code == 2 and "has neither prompts nor experts" in result.stderr
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    result = call("explain", tmp_path / "empty", "--model", model_of("moce_ir"), "--out", tmp_path / "why", *CPU)
    assert result.exit_code == 2 and "no pictures found in IN; look into its sub-folders" in result.stderr
    assert not (tmp_path / "why").exists()


def test_what_a_guide_said_comes_from_a_cache(call, picture, model_of, tmp_path):
    source, embedding = picture(tmp_path / "a.png"), torch.randn(3, 6)
    identity = GuideIdentity(name="tiny", sha256="0" * 64, question=None, shape=(3, 6))
    with EmbeddingWriter(tmp_path / "c.safetensors", identity) as writer:
        writer.add(picture_key(read_photo(source)), embedding)
    words = ("--model", model_of("mmfe_ir"), "--embeddings", tmp_path / "c.safetensors", *CPU)
    result = call("explain", source, "--out", tmp_path / "why", *words)
    assert result.exit_code == 0, result.stderr
    assert {"expert_maps.png", "usage.png"} <= set(names(tmp_path / "why"))
    assert document(tmp_path / "why")["is_told"] is True
    result = call("explain", picture(tmp_path / "b.png", seed=5), "--out", tmp_path / "other", *words)
    assert result.exit_code == 1 and "holds no embedding of the picture" in result.stderr
    assert not (tmp_path / "other").exists()


def test_named_degradations_are_explained_of_a_picture_and_of_a_folder(call, picture, folder, model_of, tmp_path):
    words = ("--model", model_of("grid_nafnet"), "--degradation", "haze=0,low_light", *CPU)
    result = call("explain", picture(tmp_path / "a.png"), "--out", tmp_path / "why", *words)
    assert result.exit_code == 0, result.stderr
    assert document(tmp_path / "why")["strengths"] == {"haze": 0.0, "low_light": 1.0}
    page = (tmp_path / "why" / "explanation.md").read_text(encoding="utf-8")
    assert "Treated as given with the call: haze at 0, low light at 1; all else as the model sees it." in page
    assert call("explain", folder, "--out", tmp_path / "all", *words).exit_code == 0
    call("explain", folder, "--out", tmp_path / "plain", "--model", model_of("grid_nafnet"), *CPU)
    assert document(tmp_path / "all")["usage"] != document(tmp_path / "plain")["usage"]


def test_an_instruction_is_explained(call, picture, instructed_model, tmp_path):
    words = ("--model", instructed_model, "--out", tmp_path / "why", "--instruction", "remove the noise", *CPU)
    result = call("explain", picture(tmp_path / "a.png"), *words)
    assert result.exit_code == 0, result.stderr
    assert "instruction.png" in names(tmp_path / "why")
    assert document(tmp_path / "why")["instruction"]["text"] == "remove the noise"


def test_instructions_are_laid_out_before_and_after_the_models_head(call, instructed_model, tmp_path, monkeypatch):
    sentences = "noise: {a: [remove the noise, noise .]}\nrain: {b: [the rain, rain !]}\noutside: {c: [please]}\n"
    (tmp_path / "sentences.yaml").write_text(sentences, encoding="utf-8")
    monkeypatch.setattr("ldrestore.assets.sentences.HELD_OUT_FILE", tmp_path / "sentences.yaml")
    result = call("explain", "--instructions", "--model", instructed_model, "--out", tmp_path / "why", *CPU)
    assert result.exit_code == 0, result.stderr
    assert names(tmp_path / "why") == ["explanation.json", "explanation.md", "instructions.png"]
    assert len(document(tmp_path / "why")["sentences"]) == 5


def test_instructions_need_a_model_that_takes_them(call, model_of, tmp_path):
    result = call("explain", "--instructions", "--model", model_of("nafnet"), "--out", tmp_path / "why", *CPU)
    assert result.exit_code == 2 and "takes no instructions" in result.stderr
    assert not (tmp_path / "why").exists()


def test_an_earlier_explanation_is_replaced_only_when_asked(call, picture, model_of, tmp_path):
    source, out = picture(tmp_path / "a.png"), tmp_path / "why"
    call("explain", source, "--model", model_of("moce_ir"), "--out", out, *CPU)
    before = (out / "explanation.json").read_bytes()
    result = call("explain", source, "--model", tmp_path / "not_even_loaded", "--out", out, *CPU)
    assert result.exit_code == 1 and "exists already" in result.stderr
    assert (out / "explanation.json").read_bytes() == before
    result = call("explain", source, "--model", model_of("nafnet"), "--out", out, *CPU, "--overwrite")
    assert result.exit_code == 0
    assert names(out) == ["differences.png", "explanation.json", "explanation.md"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "give a picture or a folder to explain, or --instructions"),
        (("a.png", "--instructions"), 2, "give a picture or a folder to explain, or --instructions"),
        (("--instructions", "--gt", "a.png"), 2, "are about pictures; leave them out"),
        (("--instructions", "--instruction", "x"), 2, "are about pictures; leave"),
        (("--instructions", "--base", "x"), 2, "are about pictures; leave"),
        (("a.png", "--base", "x"), 2, "is a whole model, and base is for adapters alone"),
        (("none.png",), 2, "no file or folder at none.png"),
        (("a.png", "--gt", "none.png"), 2, "no picture at none.png"),
        (("in", "--gt", "a.png"), 2, "IN is a folder; name the picture"),
        (("a.png", "--gt", "small.png"), 2, "the ground truth must have the picture's size, 24 x 20 pixels, got 9 x 8"),
        (("a.png", "--model", "defualt"), 2, "did you mean 'default'"),
        (("a.png", "--device", "tpu9"), 2, "expected a device"),
        (("a.png", "--instruction", "remove the noise"), 2, "takes no instructions"),
        (("a.png", "--model", "default", "--steps", "3"), 2, "--steps is for models of the stable or xl track"),
        (("a.png", "--embeddings", "c.safetensors"), 2, "this model takes none"),
        (("broken.png",), 1, "broken.png"),
        (("a.png", "--out", "a.png"), 2, "a.png is a file; name a folder"),
    ],
)
def test_a_wrong_call_writes_nothing(call, picture, tmp_path, monkeypatch, words, code, message):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "a.png")
    picture(tmp_path / "small.png", height=8, width=9)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "in").mkdir()
    before = names(tmp_path)
    result = call("explain", *words)
    assert result.exit_code == code
    assert message in result.stderr
    assert names(tmp_path) == before


def test_without_the_extra_it_is_named_before_a_model_is_loaded(call, picture, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = call("explain", picture(tmp_path / "a.png"), "--model", tmp_path / "none", "--out", tmp_path / "why")
    assert result.exit_code == 1
    assert "pip install 'ldrestore[explain]'" in result.stderr
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure")
    result = call("explain", "--instructions", "--out", tmp_path / "why")
    assert result.exit_code == 1
    assert "scikit-learn is needed" in result.stderr


def test_experts_that_were_left_out_of_a_mixture_are_not_reported(call, folder, tmp_path):
    options = {**TINY["ldrestore.regressors.mmfe_ir:MMFEIR"], "expert_levels": []}
    FastRestorePipeline(create_regressor("mmfe_ir", **options).eval()).save_pretrained(tmp_path / "model")
    result = call("explain", folder, "--model", tmp_path / "model", "--out", tmp_path / "why", *CPU)
    assert result.exit_code == 2 and "built without prompts and experts" in result.stderr


@pytest.fixture(scope="module")
def stable_model(tmp_path_factory):
    """Folder of a tiny model of the stable track."""
    from tests.tiny_stable import tiny_stable

    folder = tmp_path_factory.mktemp("stable")
    tiny_stable().save_pretrained(folder)
    return folder


def test_a_model_of_the_stable_track_is_explained(call, picture, stable_model, tmp_path):
    source, gt = picture(tmp_path / "a.png"), picture(tmp_path / "gt.png", seed=1)
    words = ("--model", stable_model, "--steps", 2, "--seed", 1, "--degradation", "rain=0.7,haze=0.3", *CPU)
    result = call("explain", source, "--gt", gt, "--out", tmp_path / "why", *words)
    assert result.exit_code == 0, result.stderr
    assert names(tmp_path / "why") == [
        "differences.png",
        "estimate.png",
        "explanation.json",
        "explanation.md",
        "sampling.png",
        "text_embeddings.png",
        "visual_prompts.png",
    ]
    written = document(tmp_path / "why")
    assert written["estimate"] == {"rain": 0.7, "haze": 0.3, "jpeg": 0.0} and written["is_given"] is True
    assert written["record"]["options"]["num_inference_steps"] == 2 and written["record"]["options"]["seed"] == 1
    assert str(tmp_path) not in (tmp_path / "why" / "explanation.json").read_text(encoding="utf-8")


def test_a_model_of_the_stable_track_says_what_it_sees_in_a_folder(call, folder, stable_model, tmp_path):
    (folder / "b.jpg").write_bytes(b"")
    result = call("explain", folder, "-r", "--model", stable_model, "--out", tmp_path / "why", *CPU)
    assert result.exit_code == 1 and "the file is empty" in result.stderr
    expected = ["estimate.png", "explanation.json", "explanation.md", "text_embeddings.png", "visual_prompts.png"]
    assert names(tmp_path / "why") == expected
    assert [one["name"] for one in document(tmp_path / "why")["pictures"]] == ["a.png", "sub/c.tif"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a.png", "--degradation", "rian"), "did you mean 'rain'"),
        (("a.png", "--steps", "1001"), r"[1, 1000]"),
        (("a.png", "--instruction", "remove the rain"), "say what is wrong with --degradation"),
        (("in", "--seed", "1"), "--seed: of a folder nothing is restored"),
        (("a.png", "--gt", "small.png", "--steps", "1"), "the ground truth must have the picture's size"),
    ],
)
def test_a_wrong_call_of_the_stable_track_writes_nothing(
    call, picture, stable_model, tmp_path, monkeypatch, words, message
):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "a.png")
    picture(tmp_path / "small.png", height=8, width=9)
    picture(tmp_path / "in" / "b.png")
    result = call("explain", *words, "--model", stable_model, "--out", "why", *CPU)
    assert result.exit_code == 2 and message in result.stderr
    assert not (tmp_path / "why").exists()


def test_options_of_the_sampling_are_refused_where_nothing_is_sampled(call, picture, model_of, tmp_path):
    words = ("--model", model_of("nafnet"), "--out", tmp_path / "why", *CPU)
    result = call("explain", picture(tmp_path / "a.png"), "--steps", 3, "--seed", 1, *words)
    assert result.exit_code == 2 and "--steps and --seed are for models of the stable or xl track" in result.stderr
    result = call("explain", "--instructions", "--steps", 3)
    assert result.exit_code == 2 and "leave them out with --instructions" in result.stderr
