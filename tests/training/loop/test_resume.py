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
