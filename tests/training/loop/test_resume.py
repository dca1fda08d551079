from pathlib import Path

import pytest
from run_files import assert_equal_to_the_bit, final_state, metrics
from safetensors.torch import load_file
from tiny_run import TinyTask, run_tiny, tiny_config
from tiny_systems import train_tiny, write_inputs


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("interruption", ["SIGTERM", "SIGINT", "crash"])
@pytest.mark.parametrize("interrupt_at", [11, 29], ids=["first stage, mid epoch", "second stage, mid stage"])
def test_resumed_run_equals_one_that_never_stopped(tmp_path, num_workers, interruption, interrupt_at):
    straight, broken = TinyTask(), TinyTask(interrupt_at=interrupt_at, interruption=interruption)
    assert run_tiny(tiny_config(tmp_path / "straight"), task=straight)
    config = tiny_config(tmp_path / "broken", f"run.num_workers={num_workers}")
    if interruption == "crash":
        with pytest.raises(RuntimeError, match="power cut"):
            run_tiny(config, task=broken)
    else:
        assert not run_tiny(config, task=broken)

    resumed = TinyTask()
    assert run_tiny(config, task=resumed, resume="auto")

    assert resumed.num_passes < straight.num_passes
    assert straight.names[-len(resumed.names) :] == resumed.names
    assert_equal_to_the_bit(final_state(tmp_path / "broken"), final_state(tmp_path / "straight"))
    assert metrics(tmp_path / "broken") == metrics(tmp_path / "straight")


def test_averaged_weights_are_exported(tmp_path):
    run_tiny(tiny_config(tmp_path))
    exported = load_file(tmp_path / "export/weights.safetensors")
    assert_equal_to_the_bit(exported, final_state(tmp_path)["ema"])


@pytest.mark.parametrize("system", ["instructir", "moce_ir", "datprl_ir", "mmfe_ir"])
def test_each_system_goes_on_from_a_checkpoint_as_if_it_had_never_stopped(tmp_path, system):
    write_inputs(tmp_path)
    assert train_tiny(system, tmp_path, output_dir=tmp_path / "straight", overrides=[])
    half = str(tmp_path / "straight/checkpoints/step_00000002")
    assert train_tiny(system, tmp_path, output_dir=tmp_path / "resumed", overrides=[], resume=half)
    assert_equal_to_the_bit(final_state(tmp_path / "resumed"), final_state(tmp_path / "straight"))
    assert metrics(tmp_path / "resumed") == metrics(tmp_path / "straight")[2:]


def test_a_run_goes_on_to_the_bit_from_around_the_end_of_a_stage(tmp_path: Path) -> None:
    """Stages of four and three steps; the average, the optimizer and the lines are those of the run without a stop."""
    short = (
        "stages=[{patch_size: 8, batch_size: 2, steps: 4}, {patch_size: 12, batch_size: 1, steps: 3}]",
        *("run.checkpoint_every=1", "run.keep_checkpoints=9", "run.log_every=2", "run.validate_every=3"),
    )
    assert run_tiny(tiny_config(tmp_path / "straight", *short))
    for step in (3, 4, 5):
        task, folder = TinyTask(), tmp_path / f"from_{step}"
        checkpoint = tmp_path / f"straight/checkpoints/step_{step:08d}"
        assert run_tiny(tiny_config(folder, *short), task=task, resume=str(checkpoint))
        assert task.num_passes == 2 * (7 - step)
        assert_equal_to_the_bit(final_state(folder), final_state(tmp_path / "straight"))
        assert metrics(folder) == [line for line in metrics(tmp_path / "straight") if line["step"] > step]


def test_a_run_that_died_before_its_first_checkpoint_begins_anew(tmp_path: Path) -> None:
    few = ("stages=[{patch_size: 8, batch_size: 2, steps: 5}]", "run.log_every=1")
    assert run_tiny(tiny_config(tmp_path / "straight", *few))
    config = tiny_config(tmp_path / "broken", *few)
    with pytest.raises(RuntimeError, match="power cut"):
        run_tiny(config, task=TinyTask(interrupt_at=7, interruption="crash"))
    assert [line["step"] for line in metrics(tmp_path / "broken")] == [1, 2, 3]
    assert run_tiny(config, resume="auto")
    assert metrics(tmp_path / "broken") == metrics(tmp_path / "straight")
    assert_equal_to_the_bit(final_state(tmp_path / "broken"), final_state(tmp_path / "straight"))


@pytest.mark.parametrize("override", ["run.checkpoint_every=3", "run.log_every=3", "run.keep_checkpoints=1"])
def test_what_is_free_to_change_changes_no_result(tmp_path: Path, override: str) -> None:
    few = ("stages=[{patch_size: 8, batch_size: 2, steps: 4}]", "run.checkpoint_every=2")
    assert run_tiny(tiny_config(tmp_path / "straight", *few))
    half = str(tmp_path / "straight/checkpoints/step_00000002")
    assert run_tiny(tiny_config(tmp_path / "other", *few, override), resume=half)
    assert_equal_to_the_bit(final_state(tmp_path / "other"), final_state(tmp_path / "straight"))
