import json

import pytest
from tiny_run import run_tiny, tiny_config

from ldrestore.errors import ConfigError, WeightsError
from ldrestore.training.checkpoint import check_same_config, find_checkpoint, list_checkpoints


@pytest.fixture
def finished(tmp_path):
    config = tiny_config(tmp_path, "run.keep_checkpoints=2")
    run_tiny(config)
    return config


def test_only_the_newest_checkpoints_are_kept(finished):
    assert [folder.name for folder in list_checkpoints(finished.run.output_dir)] == ["step_00000015", "step_00000018"]


def test_a_checkpoint_that_was_not_finished_does_not_count(finished):
    (finished.run.output_dir / "checkpoints/partial_00000020").mkdir()
    assert find_checkpoint(finished.run, "auto").name == "step_00000018"


def test_auto_without_checkpoints_starts_anew(tmp_path):
    assert find_checkpoint(tiny_config(tmp_path).run, "auto") is None


def test_a_named_checkpoint_is_taken(finished):
    folder = list_checkpoints(finished.run.output_dir)[0]
    assert find_checkpoint(finished.run, str(folder)) == folder


def test_a_new_run_does_not_overwrite_one_with_checkpoints(finished):
    with pytest.raises(ConfigError, match="holds a run with checkpoints; go on with --resume auto"):
        find_checkpoint(finished.run, None)


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is no checkpoint; expected a folder such as checkpoints/step_00001000"):
        find_checkpoint(tiny_config(tmp_path).run, str(tmp_path))


def test_a_finished_run_resumes_to_nothing(finished):
    before = (finished.run.output_dir / "metrics.jsonl").read_text()
    assert run_tiny(finished, resume="auto")
    assert (finished.run.output_dir / "metrics.jsonl").read_text() == before


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("optimizer.learning_rate=0.02", r"optimizer\.learning_rate \(0\.01 -> 0\.02\)"),
        ("ema=null", "ema"),
        ("stages=[{patch_size: 8, batch_size: 2, steps: 8}]", r"stages\.1\.steps \(10 -> missing\)"),
    ],
)
def test_resuming_with_another_config_names_what_differs(finished, override, named):
    changed = tiny_config(finished.run.output_dir, override)
    written = (finished.run.output_dir / "config.yaml").read_text()
    with pytest.raises(ConfigError, match=f"cannot resume, the config differs in .*{named}"):
        run_tiny(changed, resume="auto")
    assert (finished.run.output_dir / "config.yaml").read_text() == written


def test_what_changes_no_result_may_differ():
    saved = {"run": {"output_dir": "a", "log_every": 1, "seed": 0}, "stages": [{"steps": 1}]}
    check_same_config(saved, {"run": {"output_dir": "b", "log_every": 9, "seed": 0}, "stages": [{"steps": 1}]})


def test_keys_that_came_later_count_with_their_defaults(finished):
    """A checkpoint of before `run.compile` goes on where this is off, and is refused where it is on."""
    place = list_checkpoints(finished.run.output_dir)[-1] / "progress.json"
    written = place.read_text()
    progress = json.loads(written)
    del progress["config"]["run"]["compile"]
    place.write_text(json.dumps(progress))
    run_tiny(finished, resume="auto")
    with pytest.raises(ConfigError, match=r"run\.compile \(False -> True\)"):
        run_tiny(tiny_config(finished.run.output_dir, "run.compile=true"), resume="auto")
    place.write_text(written)


def test_keys_that_are_no_more_tell_of_another_version(finished):
    place = list_checkpoints(finished.run.output_dir)[-1] / "progress.json"
    progress = json.loads(place.read_text())
    progress["config"]["run"]["forgotten"] = 1
    place.write_text(json.dumps(progress))
    with pytest.raises(ConfigError, match=r"another version of ldrestore wrote the checkpoint .*forgotten"):
        run_tiny(finished, resume="auto")


@pytest.mark.parametrize("name", ["ema.safetensors", "process_0.pt"])
def test_a_damaged_checkpoint_is_refused(finished, name):
    (list_checkpoints(finished.run.output_dir)[-1] / name).unlink()
    with pytest.raises(WeightsError, match=f"{name} is missing; the checkpoint is damaged"):
        run_tiny(finished, resume="auto")


def test_checkpoints_remember_the_config(finished):
    progress = json.loads((list_checkpoints(finished.run.output_dir)[-1] / "progress.json").read_text())
    assert (progress["step"], progress["num_processes"], progress["config"]["run"]["seed"]) == (18, 1, 3)
