import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tiny_run import TinyConfig, TinyTask, run_tiny, tiny_config
from torch import nn

from ldrestore.config import as_plain
from ldrestore.errors import ConfigError, WeightsError
from ldrestore.training.loop.checkpoint import (
    check_same_config,
    find_checkpoint,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from ldrestore.training.loop.training_loop import create_state


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    run_tiny(tiny_config(folder, "run.keep_checkpoints=2"))
    return folder


@pytest.fixture
def finished(run_folder, tmp_path):
    shutil.copytree(run_folder, tmp_path, dirs_exist_ok=True)
    return tiny_config(tmp_path, "run.keep_checkpoints=2")


def test_only_the_newest_checkpoints_are_kept(finished):
    assert [folder.name for folder in list_checkpoints(finished.run.output_dir)] == ["step_00000015", "step_00000018"]


def test_a_checkpoint_that_was_not_finished_does_not_count(finished):
    (finished.run.output_dir / "checkpoints/partial_00000020").mkdir()
    assert find_checkpoint(finished.run, "auto").name == "step_00000018"


def test_copies_beside_the_checkpoints_do_not_count(finished):
    place = finished.run.output_dir / "checkpoints"
    (place / "step_00000018_copy").mkdir()
    (place / "step_00000099").write_bytes(b"a file")
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
    place.with_name("files.json").unlink()  # which came later still
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
    place.with_name("files.json").unlink()  # whoever forgets a key may keep no hashes either
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


def damage(path, way):
    """Flip a byte in the middle, cut the end off, or take the file away."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if way == "missing":
        path.unlink()
    else:
        path.write_bytes(content if way == "flipped" else content[: len(content) // 2])


FILES = (
    "model.safetensors",
    "optimizer.bin",
    "ema.safetensors",
    "process_0.pt",
    "random_states_0.pkl",
    "progress.json",
)


@pytest.mark.parametrize("way", ["flipped", "cut", "missing"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_named_and_skipped_where_asked(finished, name, way, caplog):
    older, newest = list_checkpoints(finished.run.output_dir)
    damage(newest / name, way)
    with pytest.raises(WeightsError, match=rf"step_00000018/{name} .*--resume auto --skip-damaged"):
        find_checkpoint(finished.run, "auto")
    with pytest.raises(WeightsError, match=name):
        find_checkpoint(finished.run, str(newest))
    assert find_checkpoint(finished.run, "auto", skips_damaged=True) == older
    assert name in caplog.text


def test_a_run_goes_on_from_an_older_checkpoint_and_writes_the_damaged_one_anew(finished):
    older, newest = list_checkpoints(finished.run.output_dir)
    damage(newest / "optimizer.bin", "cut")
    assert run_tiny(finished, resume=str(older))
    assert find_checkpoint(finished.run, "auto") == newest


def test_checkpoints_without_hashes_are_held_against_their_formats(finished):
    older, newest = list_checkpoints(finished.run.output_dir)
    for folder in (older, newest):
        (folder / "files.json").unlink()
    assert find_checkpoint(finished.run, "auto") == newest
    for name in ("process_0.pt", "model.safetensors", "progress.json"):
        kept = (newest / name).read_bytes()
        damage(newest / name, "cut")
        with pytest.raises(WeightsError, match=name):
            find_checkpoint(finished.run, "auto")
        (newest / name).write_bytes(kept)


def test_a_run_without_an_intact_checkpoint_says_so(finished):
    for folder in list_checkpoints(finished.run.output_dir):
        damage(folder / "optimizer.bin", "cut")
    with pytest.raises(WeightsError, match=r"all 2 checkpoints .* are damaged; start a new run"):
        find_checkpoint(finished.run, "auto", skips_damaged=True)
    with pytest.raises(ConfigError, match="give it with --resume auto"):
        find_checkpoint(finished.run, None, skips_damaged=True)


def test_random_states_that_cannot_be_read_are_an_error(finished):
    newest = list_checkpoints(finished.run.output_dir)[-1]
    torch.save({"random": {"python": (3, (1, 2), None)}, "window": {}}, newest / "process_0.pt")
    (newest / "files.json").unlink()  # of a version that kept no hashes
    with pytest.raises(WeightsError, match=r"process_0\.pt holds no random states"):
        run_tiny(finished, resume=str(newest))


def test_another_number_of_processes_is_refused_with_what_to_do(finished: TinyConfig) -> None:
    newest = list_checkpoints(finished.run.output_dir)[-1]
    progress = json.loads((newest / "progress.json").read_text())
    (newest / "progress.json").write_text(json.dumps(progress | {"num_processes": 3}))
    (newest / "files.json").unlink()
    with pytest.raises(
        ConfigError, match="written by 3 processes, this run has 1; resume with as many, or start a new"
    ):
        run_tiny(finished, resume="auto")


@pytest.mark.parametrize(
    "override",
    [
        "run.num_workers=1",
        "run.log_every=3",
        "run.validate_every=2",
        "run.checkpoint_every=7",
        "run.keep_checkpoints=9",
    ],
)
def test_what_changes_no_result_may_change_when_a_run_goes_on(finished: TinyConfig, override: str) -> None:
    check = tiny_config(finished.run.output_dir, "run.keep_checkpoints=2", override)
    assert check != finished
    assert run_tiny(check, resume="auto")


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("run.seed=4", r"run\.seed \(3 -> 4\)"),
        ("run.device=auto", r"run\.device \(cpu -> auto\)"),
        ("run.mixed_precision=bf16", r"run\.mixed_precision \(no -> bf16\)"),
        ("run.gradient_accumulation_steps=1", r"run\.gradient_accumulation_steps \(2 -> 1\)"),
        ("run.channels_last=true", r"run\.channels_last \(False -> True\)"),
        ("optimizer.name=muon", r"optimizer\.name \(adamw -> muon\)"),
        ("optimizer.betas=[0.9, 0.99]", r"optimizer\.betas\.1 \(0\.9 -> 0\.99\)"),
        ("optimizer.max_grad_norm=null", r"optimizer\.max_grad_norm \(1\.0 -> None\)"),
        ("ema.decay=0.5", r"ema\.decay \(0\.999 -> 0\.5\)"),
    ],
)
def test_what_changes_results_may_not(finished: TinyConfig, override: str, named: str) -> None:
    saved = as_plain(tiny_config(finished.run.output_dir))
    with pytest.raises(ConfigError, match=named):
        check_same_config(saved, as_plain(tiny_config(finished.run.output_dir, override)))


def test_all_random_numbers_go_on_where_a_checkpoint_was_written(tmp_path: Path) -> None:
    config, accelerator = tiny_config(tmp_path), Accelerator(cpu=True)

    def drawn() -> list[float]:
        return [random.random(), float(np.random.rand()), float(torch.rand(())), random.gauss(0, 1)]

    state = create_state(config, network=nn.Linear(2, 2), accelerator=accelerator)
    drawn()
    folder = save_checkpoint(state, config=config, accelerator=accelerator)
    expected = drawn()
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(77)
    load_checkpoint(folder, state, config=config, accelerator=accelerator)
    assert drawn() == expected


def test_every_file_of_a_checkpoint_is_hashed(finished: TinyConfig) -> None:
    newest = list_checkpoints(finished.run.output_dir)[-1]
    names = {path.relative_to(newest).as_posix() for path in newest.rglob("*") if path.is_file()}
    assert json.loads((newest / "files.json").read_text()).keys() == names - {"files.json"}
    assert set(FILES) <= names


SHORT = (
    "stages=[{patch_size: 8, batch_size: 1, steps: 6}]",
    "run.checkpoint_every=2",
    "run.gradient_accumulation_steps=1",
)
"""Six passes, with checkpoints after each second one."""


def test_a_single_checkpoint_may_be_kept_and_what_a_crash_left_is_swept_away(tmp_path: Path) -> None:
    left = tmp_path / "checkpoints/partial_00000003"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"cut")
    run_tiny(tiny_config(tmp_path, *SHORT, "run.keep_checkpoints=1"))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_00000006"]


@pytest.mark.parametrize("keep", [1, 2])
def test_a_run_that_went_back_keeps_what_it_writes_and_goes_on_from_it(tmp_path: Path, keep: int) -> None:
    """The checkpoints of the way that was left are no newer ones of this."""
    run_tiny(tiny_config(tmp_path, *SHORT, "run.keep_checkpoints=9"))
    config = tiny_config(tmp_path, *SHORT, f"run.keep_checkpoints={keep}")
    assert not run_tiny(config, task=TinyTask(interrupt_at=1), resume=str(tmp_path / "checkpoints/step_00000002"))
    assert find_checkpoint(config.run, "auto") == tmp_path / "checkpoints/step_00000003"
    assert [folder.name for folder in list_checkpoints(tmp_path)] == ["step_00000002", "step_00000003"][-keep:]
    assert {path.name for path in (tmp_path / "checkpoints").glob("left_*")} == {"left_00000004", "left_00000006"}
    assert run_tiny(config, resume="auto")
    assert list_checkpoints(tmp_path)[-1].name == "step_00000006"


def test_going_back_behind_a_damaged_checkpoint_leaves_the_intact_ones(tmp_path: Path) -> None:
    run_tiny(tiny_config(tmp_path, *SHORT, "run.keep_checkpoints=2"))
    damage(tmp_path / "checkpoints/step_00000006/optimizer.bin", "cut")
    config = tiny_config(tmp_path, *SHORT, "run.keep_checkpoints=1")
    older = find_checkpoint(config.run, "auto", skips_damaged=True)
    assert not run_tiny(config, task=TinyTask(interrupt_at=1), resume=str(older))
    assert find_checkpoint(config.run, "auto").name == "step_00000005"


@pytest.mark.parametrize(("plateau", "is_free"), [(None, True), (2, False)])
def test_where_validations_decide_on_a_switch_they_come_as_often_as_before(plateau: int | None, is_free: bool) -> None:
    saved, current = ({"run": {"validate_every": every}, "switch": {"plateau": plateau}} for every in (10, 20))
    if is_free:
        check_same_config(saved, current)
        return
    with pytest.raises(ConfigError, match=r"run\.validate_every \(10 -> 20\); restore the values"):
        check_same_config(saved, current)


def test_a_checkpoint_of_another_run_does_not_take_the_place_of_a_run_s_own(tmp_path: Path) -> None:
    for name in ("one", "other"):
        run_tiny(tiny_config(tmp_path / name, *SHORT))
    foreign = tmp_path / "one/checkpoints/step_00000002"
    config = tiny_config(tmp_path / "other", *SHORT)
    with pytest.raises(
        ConfigError, match=r"step_00000002 is none of them; give another run\.output_dir, or copy it into"
    ):
        find_checkpoint(config.run, str(foreign))
    assert len(list_checkpoints(tmp_path / "other")) == 3
    assert find_checkpoint(tiny_config(tmp_path / "third", *SHORT).run, str(foreign)) == foreign
    shutil.copytree(foreign, tmp_path / "other/checkpoints/of_one")
    assert find_checkpoint(config.run, str(tmp_path / "other/checkpoints/of_one")).name == "of_one"


def test_a_run_goes_on_from_its_own_by_whatever_way_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_tiny(tiny_config(tmp_path / "run", *SHORT))
    (tmp_path / "link").symlink_to(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    config = tiny_config(tmp_path / "link", *SHORT)
    for named in ("run/checkpoints/step_00000004", "link/checkpoints/../checkpoints/step_00000004/"):
        assert find_checkpoint(config.run, named).name == "step_00000004"
