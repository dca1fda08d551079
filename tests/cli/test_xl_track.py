"""The XL track on the command line: what serves the other tracks serves its models by their record alone."""

import json

import pytest
from PIL import Image

CPU = ("--device", "cpu")


@pytest.fixture(scope="module")
def xl_model(tmp_path_factory):
    """Folder of a real, tiny pipeline of the XL track."""
    from ldrestore.guides.loading_quietly import without_progress_bar
    from tests.tiny_xl_pipeline import tiny_xl

    folder = tmp_path_factory.mktemp("models") / "tiny_xl"
    with without_progress_bar():
        tiny_xl().save_pretrained(folder)
    return folder


def test_a_saved_folder_restores_with_texts(call, picture, xl_model, tmp_path):
    source, result = picture(tmp_path / "a.png"), tmp_path / "out.png"
    words = ("--instruction", "remove the rain", "--prompt", "a house", "--guidance", 2, "--steps", 2, "--seed", 3)
    done = call("restore", source, result, "--model", xl_model, *words, "--record", *CPU)
    assert done.exit_code == 0, done.stderr
    with Image.open(result) as restored:
        assert restored.size == (24, 20)
    record = json.loads((tmp_path / "out.png.json").read_text(encoding="utf-8"))
    kept = {"instruction": "remove the rain", "prompt": "a house", "guidance_scale": 2.0, "num_inference_steps": 2}
    assert record["options"].items() >= kept.items() and record["model"]["pipeline"] == "XLRestorePipeline"


@pytest.mark.parametrize(
    "words",
    [
        ("--instruction", "remove the rain", "--prompt", "a house", "--guidance", 2),
        ("--degradation", "rain", "--scale", 2),
    ],
)
def test_a_result_is_replayed_from_its_record(call, picture, xl_model, tmp_path, words):
    source, result = picture(tmp_path / "a.png"), tmp_path / "out.png"
    done = call("restore", source, result, "--model", xl_model, *words, "--steps", 2, "--seed", 3, *CPU)
    assert done.exit_code == 0, done.stderr
    replayed = call("replay", result, "--input", source, "--model", xl_model)
    assert replayed.exit_code == 0 and "the same pixels again" in replayed.stdout, replayed.stdout + replayed.stderr
    record = json.loads((tmp_path / "out.png.json").read_text(encoding="utf-8"))
    record["options"]["seed"] = 4
    (tmp_path / "out.png.json").write_text(json.dumps(record), encoding="utf-8")
    other = call("replay", result, "--input", source, "--model", xl_model)
    assert other.exit_code == 1, other.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--degradation", "rian"), "did you mean 'rain'"),
        (("--degradation", "rain", "--instruction", "remove the rain"), "both say what is to be done"),
        (("--guidance", "0.5"), "--guidance"),
        (
            ("--embeddings", "x.safetensors"),
            "--embeddings is for models of the fast track, this one is of the xl track",
        ),
    ],
)
def test_a_wrong_option_is_a_wrong_call(call, picture, xl_model, tmp_path, words, message):
    result = call("restore", picture(tmp_path / "a.png"), tmp_path / "out.png", "--model", xl_model, *words, *CPU)
    assert result.exit_code == 2 and message in result.stderr
    assert not (tmp_path / "out.png").exists()


def test_its_facts_and_its_explanation(call, picture, folder, xl_model, tmp_path):
    facts = json.loads(call("info", xl_model, "--json").stdout)
    assert facts["track"] == "xl" and facts["architecture"] == "UniLDiff"
    assert facts["sampling"].items() >= {"steps": 20, "fusion": "daff", "refines": True}.items()
    assert facts["instructions"]["rain"] == "remove the rain" and facts["tuned"] == []
    words = ("--model", xl_model, "--steps", 2, "--degradation", "rain", "--out", tmp_path / "why", *CPU)
    explained = call("explain", picture(tmp_path / "a.png"), *words)
    assert explained.exit_code == 0, explained.stderr
    written = sorted(path.name for path in (tmp_path / "why").iterdir())
    figures = ["alignment.png", "differences.png", "expert_choice.png", "sampling.png"]
    assert written == sorted([*figures, "explanation.json", "explanation.md"])
    refused = call("explain", folder, "--model", xl_model, "--out", tmp_path / "all", *CPU)
    assert refused.exit_code == 2 and "name one picture" in refused.stderr


def test_exports_and_adapters_are_assembled(call, picture, xl_model, tmp_path):
    from ldrestore.guides.loading_quietly import without_progress_bar
    from tests.tiny_xl_pipeline import tiny_xl

    pipeline = tiny_xl()
    with without_progress_bar():
        for name in ("lq_encoder", "daff", "daem"):
            getattr(pipeline, name).save_pretrained(tmp_path / "run" / name)
    made = call("assemble", xl_model, tmp_path / "run", "--out", tmp_path / "mine", "--adapters-only")
    assert made.exit_code == 0, made.stderr
    words = ("--model", tmp_path / "mine", "--base", xl_model, "--steps", 1, *CPU)
    done = call("restore", picture(tmp_path / "a.png"), tmp_path / "out.png", *words)
    assert done.exit_code == 0, done.stderr
