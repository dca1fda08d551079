import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from ldrestore.images.files import read_photo


def files(folder):
    """Relative paths of the files of a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def pixels(path):
    """Pixels of a file, which is closed again."""
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def restore(call, tiny_model):
    """`restore(IN, OUT, ...)` with the tiny model."""

    def run(*words):
        return call("restore", "--model", tiny_model, "--device", "cpu", *words)

    return run


def test_a_file_becomes_a_file_with_a_record(restore, folder, tmp_path):
    result = restore(folder / "a.png", tmp_path / "out.png")
    assert result.exit_code == 0, result.stderr
    assert pixels(tmp_path / "out.png").shape == pixels(folder / "a.png").shape
    record = json.loads((tmp_path / "out.png.json").read_text())
    assert {"ldrestore", "model", "options"} <= record.keys()


def test_a_folder_is_mirrored(restore, folder, tmp_path):
    result = restore(folder, tmp_path / "out", "--recursive")
    assert result.exit_code == 0, result.stderr
    names = ["a.png", "b.jpg", "sub/c.tif"]
    assert files(tmp_path / "out") == sorted([*names, *(f"{name}.json" for name in names)])
    assert "failed" in result.stdout


def test_no_record_is_written_when_none_is_wanted(restore, folder, tmp_path):
    assert restore(folder, tmp_path / "out", "--no-record").exit_code == 0
    assert files(tmp_path / "out") == ["a.png", "b.jpg"]


def test_heif_becomes_png(restore, picture, tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    image = Image.fromarray(pixels(picture(tmp_path / "x.png", height=64, width=64)))
    (tmp_path / "in").mkdir()
    pillow_heif.from_pillow(image).save(tmp_path / "in" / "x.heic")
    assert restore(tmp_path / "in", tmp_path / "out", "--no-record").exit_code == 0
    assert files(tmp_path / "out") == ["x.png"]


def test_what_is_done_is_skipped_and_the_model_is_not_even_loaded(call, restore, folder, tmp_path):
    restore(folder, tmp_path / "out")
    before = (tmp_path / "out" / "a.png").stat().st_mtime_ns
    result = call("restore", folder, tmp_path / "out", "--model", "no such model", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["summary"]["skipped"] == 2
    assert (tmp_path / "out" / "a.png").stat().st_mtime_ns == before


def test_overwriting_makes_the_same_bytes_again(restore, folder, tmp_path):
    restore(folder, tmp_path / "out")
    before = [(tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")]
    result = restore(folder, tmp_path / "out", "--overwrite", "--json")
    assert json.loads(result.stdout)["summary"]["done"] == 2
    assert [(tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")] == before


def test_an_existing_target_file_is_an_error(restore, folder, picture, tmp_path):
    target = picture(tmp_path / "x.png", seed=7)
    before = target.read_bytes()
    result = restore(folder / "a.png", target)
    assert result.exit_code == 1
    assert "--overwrite" in result.stderr
    assert target.read_bytes() == before


def test_a_foreign_file_in_place_of_the_record_stays(restore, folder, tmp_path):
    (tmp_path / "x.png.json").write_text('{"album": "holiday"}')
    result = restore(folder / "a.png", tmp_path / "x.png")
    assert result.exit_code == 1
    assert "--no-record" in result.stderr
    assert not (tmp_path / "x.png").exists()
    assert restore(folder / "a.png", tmp_path / "x.png", "--overwrite").exit_code == 0


def test_broken_files_are_named_and_the_others_done(restore, folder, tmp_path):
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("not a picture at all")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:200])
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    result = restore(folder, tmp_path / "out", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    errors = {entry["input"].rpartition("/")[2]: entry["error"] for entry in document["results"]}
    assert errors == {
        "a.png": None,
        "b.jpg": None,
        "cut.png": "CorruptImageError",
        "empty.png": "CorruptImageError",
        "gone.png": "ImageNotFoundError",
        "text.jpg": "UnsupportedFormatError",
    }
    assert len(result.stderr.splitlines()) == 4
    assert all(line.startswith(f"failed: {folder}") for line in result.stderr.splitlines())
    assert files(tmp_path / "out") == ["a.png", "a.png.json", "b.jpg", "b.jpg.json"]


def test_a_target_that_cannot_be_written_fails_alone(restore, folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").write_text("in the way of the folder")
    result = restore(folder, tmp_path / "out", "--recursive")
    assert result.exit_code == 1
    assert "its folder cannot be made" in result.stderr
    assert {"a.png", "b.jpg"} <= set(files(tmp_path / "out"))


def test_alpha_to_jpeg_fails_and_writes_nothing(restore, picture, tmp_path):
    source = picture(tmp_path / "in.png", mode="RGBA")
    result = restore(source, tmp_path / "out.jpg")
    assert result.exit_code == 1
    assert "alpha" in result.stderr
    assert files(tmp_path) == ["in.png"]


def test_colliding_targets_fail_and_the_others_are_done(restore, folder, picture, tmp_path):
    picture(folder / "a.jpg")
    result = restore(folder, tmp_path / "out", "--format", "png", "--no-record")
    assert result.exit_code == 1
    assert "a.jpg and a.png would each become" in result.stderr
    assert files(tmp_path / "out") == ["b.png"]


def test_a_dry_run_writes_nothing_and_loads_nothing(call, folder, picture, tmp_path):
    picture(tmp_path / "out" / "a.png")
    result = call("restore", folder, tmp_path / "out", "-r", "--dry-run", "--json", "--model", "no such model")
    assert result.exit_code == 0, result.stderr
    entries = json.loads(result.stdout)["results"]
    assert [entry["status"] for entry in entries] == ["skipped", "planned", "planned"]
    assert entries[2]["output"] == str(tmp_path / "out" / "sub" / "c.tif")
    assert files(tmp_path / "out") == ["a.png"]


def test_options_reach_the_model(restore, folder, picture, tmp_path):
    mask = tmp_path / "mask.png"
    Image.fromarray(np.full((20, 24), 255, np.uint8)).save(mask)
    for name, words in {
        "big.png": ["--scale", "2"],
        "same.png": ["--fidelity", "1"],
        "kept.png": ["--protect", mask],
        "tiled.png": ["--tile", "64"],
        "whole.png": ["--tile", "off"],
        "eight.png": ["--self-ensemble", "--memory", "1"],
    }.items():
        result = restore(folder / "a.png", tmp_path / name, *words)
        assert result.exit_code == 0, (name, result.stderr)
    original = pixels(folder / "a.png")
    assert pixels(tmp_path / "big.png").shape == (40, 48, 3)
    assert np.array_equal(pixels(tmp_path / "same.png"), original)
    assert np.array_equal(pixels(tmp_path / "kept.png"), original)
    assert not np.array_equal(pixels(tmp_path / "whole.png"), original)


def test_a_mask_of_another_size_is_a_failure(restore, folder, picture, tmp_path):
    mask = picture(tmp_path / "mask.png", mode="L", height=5, width=5)
    result = restore(folder / "a.png", tmp_path / "x.png", "--protect", mask)
    assert result.exit_code == 1
    assert str(folder / "a.png") in result.stderr
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tile", "many"], "--tile takes auto, off, or a multiple of 64 pixels"),
        (["--tile", "100"], "--tile takes auto, off, or a multiple of 64 pixels"),
        (["--memory", "0"], "--memory takes a positive number of gigabytes"),
        (["--fidelity", "2"], "--fidelity"),
        (["--protect", "missing.png"], "no mask at missing.png"),
        (["--workers", "2"], "--workers and --threads are for --engine accelerate and ray"),
        (["--threads", "2", "--engine", "onnx"], "--workers and --threads are for --engine accelerate and ray"),
        (["--device", "toaster"], "toaster"),
        (["--format", "gif"], "--format"),
        (["--instruction", "make it nice"], "this model, NAFNet, takes no instructions; leave the instruction out"),
    ],
)
def test_a_wrong_option_is_a_wrong_call(restore, folder, tmp_path, words, message):
    result = restore(folder, tmp_path / "out", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_instruction_steers_all_pictures_and_is_recorded(call, instructed_model, folder, tmp_path):
    def restored(name, *words):
        result = call("restore", folder, tmp_path / name, "--model", instructed_model, "--device", "cpu", *words)
        assert result.exit_code == 0, result.stderr
        record = json.loads((tmp_path / name / "a.png.json").read_text())
        return [(tmp_path / name / picture).read_bytes() for picture in ("a.png", "b.jpg")], record

    noise, record = restored("noise", "--instruction", "remove the noise")
    again, same_record = restored("again", "--instruction", "remove the noise")
    neutral, neutral_record = restored("neutral")
    assert noise == again and record == same_record
    assert noise[0] != neutral[0] and noise[1] != neutral[1]
    assert record["options"]["instruction"] == "remove the noise"
    assert record["understood"]["probability"] >= 0.5
    assert neutral_record["options"]["instruction"] is neutral_record["understood"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [("убери шум", "is not in English"), ("", "has no words"), ("!?", "say in English what is wrong")],
)
def test_an_instruction_nobody_can_follow_is_a_wrong_call(call, instructed_model, folder, tmp_path, text, message):
    words = ("--model", instructed_model, "--device", "cpu", "--instruction", text)
    result = call("restore", folder, tmp_path / "out", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_encoder_out_of_reach_is_an_error_before_any_picture(call, instructed_model, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    words = ("--model", instructed_model, "--device", "cpu", "--instruction", "remove the noise")
    result = call("restore", folder, tmp_path / "out", *words)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: instructions are read by the sentence encoder someone/tiny-encoder")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def guided_model(tmp_path):
    """Folder of a tiny MMFE-IR."""
    from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
    from ldrestore.regressors.factory import create_regressor

    options = {"dim": 4, "num_blocks": [1] * 4, "num_refinement_blocks": 1, "heads": [1, 1, 2, 4]}
    network = create_regressor("mmfe_ir", **options, num_experts=2, embedding_width=5)
    FastRestorePipeline(regressor=network.eval()).save_pretrained(tmp_path / "guided")
    return tmp_path / "guided"


def write_cache(path, pictures, *, width=5):
    """A cache that holds random embeddings of pictures."""
    from ldrestore.guides.embedding_cache import EmbeddingWriter, picture_key
    from ldrestore.guides.guide_identity import GuideIdentity

    identity = GuideIdentity(name="tiny", sha256=None, question="What is wrong?", shape=(3, width))
    with EmbeddingWriter(path, identity) as writer:
        for seed, picture in enumerate(pictures):
            values = np.random.default_rng(seed).standard_normal((3, width), dtype=np.float32)
            writer.add(picture_key(read_photo(picture)), torch.from_numpy(values))
    return path


def test_embeddings_of_a_cache_steer_their_pictures(call, guided_model, folder, tmp_path):
    cache = write_cache(tmp_path / "guide.safetensors", [folder / "a.png"])
    words = ("--model", guided_model, "--device", "cpu", "--embeddings", cache)
    result = call("restore", folder, tmp_path / "out", *words)
    assert result.exit_code == 1
    assert "b.jpg" in result.stderr and "ldrestore guide" in result.stderr
    record = json.loads((tmp_path / "out/a.png.json").read_text())
    assert record["options"]["embedding_sha256"]
    assert not (tmp_path / "out/b.jpg").exists()


def test_wrong_caches_are_wrong_calls(call, guided_model, tiny_model, folder, tmp_path):
    wide = write_cache(tmp_path / "wide.safetensors", [folder / "a.png"], width=6)
    result = call("restore", folder, tmp_path / "out", "--model", guided_model, "--embeddings", wide)
    assert result.exit_code == 2 and "(3, 6)" in result.stderr and "(3, 5)" in result.stderr
    result = call("restore", folder, tmp_path / "out", "--model", tiny_model, "--embeddings", wide)
    assert result.exit_code == 2 and "this model takes none" in result.stderr
    result = call("restore", folder, tmp_path / "out", "--model", guided_model, "--embeddings", tmp_path / "no.st")
    assert result.exit_code == 1 and "no.st" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_missing_model_is_an_error_before_any_picture(call, folder, tmp_path):
    result = call("restore", folder, tmp_path / "out", "--model", tmp_path / "no_model")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.e2e
@pytest.mark.filterwarnings("always")
def test_an_animated_picture_is_a_one_line_warning(restore, folder, tmp_path):
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    frames[0].save(folder / "moving.webp", save_all=True, append_images=frames[1:])
    result = restore(folder, tmp_path / "out", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: ") and "moving.webp" in line


def test_changes_and_a_report_lie_beside_the_results(restore, folder, tmp_path):
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = restore(folder, tmp_path / "out", "--changes", "--report", "--no-record")
    assert result.exit_code == 1
    names = ["a.png", "a.png.changes.png", "b.jpg", "b.jpg.changes.png", "report.html"]
    assert files(tmp_path / "out") == names
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("<img") == 4 and "broken.png" in page and 'href="./a.png"' in page
    assert "report.html" in result.stderr
    again = restore(folder, tmp_path / "out", "--changes", "--report", "--no-record", "--overwrite")
    assert again.exit_code == 1 and files(tmp_path / "out") == names


def test_a_single_file_has_its_own_report_and_map(restore, folder, tmp_path):
    assert restore(folder / "a.png", tmp_path / "x.png", "--changes", "--report", "--no-record").exit_code == 0
    assert {"x.png", "x.png.changes.png", "x.png.report.html"} <= set(files(tmp_path))


def test_what_is_not_ours_is_not_replaced_by_a_map_or_a_report(restore, picture, folder, tmp_path):
    picture(tmp_path / "out" / "a.png.changes.png", seed=7)
    before = (tmp_path / "out" / "a.png.changes.png").read_bytes()
    result = restore(folder / "a.png", tmp_path / "out/", "--changes")
    assert result.exit_code == 1 and "is none" in result.stderr
    assert (tmp_path / "out" / "a.png.changes.png").read_bytes() == before
    (tmp_path / "out" / "report.html").write_text("mine")
    result = restore(folder, tmp_path / "out", "--report")
    assert result.exit_code == 1 and "is none of ours" in result.stderr


def test_urls_and_manifests_ask_for_an_engine_that_reads_them(call, tmp_path):
    for words in (("memory://in", tmp_path / "out"), ("list.parquet", tmp_path / "out"), ("in", "memory://out")):
        result = call("restore", *words)
        assert result.exit_code == 2 and "--engine accelerate or ray" in result.stderr
    refused = call("restore", "memory://in", "memory://out", "--engine", "ray", "--report")
    assert refused.exit_code == 2 and "--report" in refused.stderr
    refused = call("restore", tmp_path, "memory://out", "--engine", "ray")
    assert refused.exit_code == 2 and "lies within one process" in refused.stderr


def test_a_file_in_the_place_of_a_map_is_told_before_the_work(restore, picture, folder, tmp_path) -> None:
    picture(tmp_path / "out" / "a.png.changes.png", seed=7)
    planned = restore(folder, tmp_path / "out", "--changes", "--dry-run", "--json")
    states = {os.path.basename(entry["input"]): entry["status"] for entry in json.loads(planned.stdout)["results"]}
    assert states["a.png"] == "failed" and states["b.jpg"] == "planned" and planned.exit_code == 1
    planned = restore(folder, tmp_path / "out", "--changes", "--overwrite", "--dry-run", "--json")
    assert {entry["status"] for entry in json.loads(planned.stdout)["results"]} == {"planned"}


@pytest.mark.parametrize("words", [(), ("--overwrite",)])
def test_a_map_never_takes_the_place_of_another_pictures_result(restore, picture, tmp_path, words) -> None:
    for seed, name in enumerate(("a.png", "a.png.changes.png")):
        picture(tmp_path / "in" / name, seed=seed)
    result = restore(tmp_path / "in", tmp_path / "out", "--changes", "--no-record", *words)
    assert result.exit_code == 1 and "another picture's result" in result.stderr
    assert files(tmp_path / "out") == ["a.png.changes.png", "a.png.changes.png.changes.png"]
    alone = restore(tmp_path / "in" / "a.png.changes.png", tmp_path / "alone.png", "--no-record")
    assert alone.exit_code == 0
    assert np.array_equal(pixels(tmp_path / "alone.png"), pixels(tmp_path / "out" / "a.png.changes.png"))
