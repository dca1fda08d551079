import json

import pytest


@pytest.fixture
def restore(call, stable_model):
    """`restore(IN, OUT, ...)` with the tiny stable model."""

    def run(*words):
        return call("restore", "--model", stable_model, "--device", "cpu", *words)

    return run


def test_a_folder_is_restored_by_sampling_and_the_report_tells_all(restore, folder, tmp_path):
    words = ("--steps", "2", "--seed", "3", "--degradation", "rain=0.75,haze=0.25", "--json")
    result = restore(folder, tmp_path / "out", *words)
    assert result.exit_code == 0, result.stderr
    done = json.loads(result.stdout)["results"]
    assert [entry["status"] for entry in done] == ["done", "done"]
    for entry in done:
        assert entry["record"] == json.loads((tmp_path / "out" / f"{entry['input'][-5:]}.json").read_text())
    record = done[0]["record"]
    assert record["degradations"] == {"rain": 0.75, "haze": 0.25, "jpeg": 0.0}
    expected = {"num_inference_steps": 2, "seed": 3, "strength": 1.0, "refine": True, "colour_fix": "off"}
    assert record["options"].items() >= expected.items()
    assert record["packages"]["transformers"]
    assert record["model"]["pipeline"] == "StableRestorePipeline"


def test_what_is_not_said_is_left_to_the_model(restore, folder, tmp_path):
    words = ("--strength", "0.02", "--no-refine", "--colour-fix", "wavelet", "--scale", "2", "--json")
    result = restore(folder / "a.png", tmp_path / "a.png", *words)
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)["results"][0]["record"]
    expected = {"num_inference_steps": 50, "seed": 0, "strength": 0.02, "refine": False, "colour_fix": "wavelet"}
    assert record["options"].items() >= (expected | {"degradations": None, "scale": 2}).items()
    assert sum(record["degradations"].values()) == pytest.approx(1, abs=0.01)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(restore, folder, tmp_path):
    def restored(name, seed):
        result = restore(folder / "a.png", tmp_path / name, "--steps", "1", "--seed", seed)
        assert result.exit_code == 0, result.stderr
        return (tmp_path / name).read_bytes(), json.loads((tmp_path / f"{name}.json").read_text())

    first, again, other = restored("1.png", 1), restored("2.png", 1), restored("3.png", 2)
    assert first == again
    assert first[0] != other[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--degradation", "rian"], "unknown degradation 'rian'; did you mean 'rain'"),
        (["--degradation", "rain=0.7,haze=0.2"], "must lie in [0, 1] and sum to 1, got {'rain': 0.7, 'haze': 0.2}"),
        (["--degradation", "rain=much"], "the weight of rain is no number"),
        (["--steps", "0"], "--steps"),
        (["--steps", "1001"], "a whole number in [1, 1000], got 1001"),
        (["--seed", "-1"], "--seed"),
        (["--strength", "1.5"], "--strength"),
        (["--colour-fix", "wavelets"], "--colour-fix"),
        (
            ["--instruction", "remove the rain"],
            "--instruction is for models of the fast or xl track, this one is of the stable track; leave it out, say "
            "what is wrong with --degradation, or name another --model",
        ),
        (
            ["--embeddings", "guide.safetensors"],
            "--embeddings is for models of the fast track, this one is of the stable track; leave it out, or name",
        ),
    ],
)
def test_a_wrong_option_is_a_wrong_call(restore, folder, tmp_path, words, message):
    result = restore(folder, tmp_path / "out", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_models_that_do_not_sample_refuse_its_options(call, tiny_model, folder, tmp_path):
    words = ("--model", tiny_model, "--device", "cpu", "--no-refine", "--steps", "20")
    result = call("restore", folder, tmp_path / "out", *words)
    assert result.exit_code == 2
    message = "error: --steps and --no-refine are for models of the stable or xl track, this one"
    assert result.stderr.startswith(message)
    assert not (tmp_path / "out").exists()


def test_the_engine_onnx_cannot_sample(restore, folder, tmp_path):
    result = restore(folder, tmp_path / "out", "--engine", "onnx")
    assert result.exit_code == 2
    assert "only models of the fast track" in result.stderr


def test_the_help_lists_the_options(call):
    shown = call("restore", "--help").stdout
    flags = ("--degradation", "--steps", "--strength", "--seed", "--no-refine", "--colour-fix")
    assert [flag for flag in flags if flag not in shown] == []
    assert "--sampling" not in shown
