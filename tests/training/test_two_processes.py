import subprocess
import sys
from pathlib import Path

import pytest
import torch
from run_files import assert_equal_to_the_bit, final_state, metrics
from safetensors.torch import load_file
from stable_runs import NAMES, adapters_config, refiner_config, run_values, save_base, save_pictures, write
from tiny_refiner import PLAIN
from tiny_run import run_tiny, tiny_config
from tiny_systems import SYSTEMS, train_tiny, write_inputs

from ldrestore.errors import ConfigError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.training.trainers import train_by_config
from tests.tiny_xl import tiny_xl_base

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def launch(*arguments: str | Path, script: str = "tiny_run.py", seconds: int = 240) -> None:
    """Run a script of this folder in two processes on the CPU, for so many seconds at most."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += [str(Path(__file__).with_name(script)), *map(str, arguments)]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    assert outcome.returncode == 0, outcome.stderr


def test_two_processes_equal_one_with_twice_the_batch(tmp_path):
    launch(tmp_path / "two", "dropout=0")
    stages = "stages=[{patch_size: 8, batch_size: 4, steps: 8}, {patch_size: 12, batch_size: 2, steps: 10}]"
    assert run_tiny(tiny_config(tmp_path / "one", "dropout=0", stages))
    two, one = final_state(tmp_path / "two"), final_state(tmp_path / "one")
    torch.testing.assert_close((two["model"], two["ema"]), (one["model"], one["ema"]))
    for left, right in zip(metrics(tmp_path / "two"), metrics(tmp_path / "one"), strict=True):
        for line in (left, right):
            line.pop("squared", None)  # the square of a batch's mean depends on the size of the batch
        assert left == pytest.approx(right, rel=1e-4)


def test_two_processes_resume_to_the_bit_after_one_was_asked_to_stop(tmp_path):
    launch(tmp_path / "straight")
    launch(tmp_path / "broken", "--interrupt-at", "11")  # process 0 gets the signal, in the sixth step
    assert final_state(tmp_path / "broken")["name"] == "step_00000006"
    with pytest.raises(ConfigError, match="was written by 2 processes, this run has 1"):
        run_tiny(tiny_config(tmp_path / "broken"), resume="auto")
    launch(tmp_path / "broken", "--resume", "auto")
    state = final_state(tmp_path / "broken")
    assert len(state["processes"]) == 2
    assert_equal_to_the_bit(state, final_state(tmp_path / "straight"))
    assert metrics(tmp_path / "broken") == metrics(tmp_path / "straight")


def exported(folder):
    """The weights at the end of a run."""
    return load_file(folder / "export" / "weights.safetensors")


def newest_checkpoint(folder):
    """Its name."""
    return max(checkpoint.name for checkpoint in (folder / "checkpoints").glob("step_*"))


def test_weights_that_are_shared_out_train_as_in_one_process(tmp_path):
    launch(tmp_path / "two", "dropout=0", "ema=null", "--shard")
    assert (tmp_path / "two/checkpoints/step_00000018/pytorch_model_fsdp_0").is_dir()
    stages = "stages=[{patch_size: 8, batch_size: 4, steps: 8}, {patch_size: 12, batch_size: 2, steps: 10}]"
    assert run_tiny(tiny_config(tmp_path / "one", "dropout=0", "ema=null", stages))
    torch.testing.assert_close(exported(tmp_path / "two"), exported(tmp_path / "one"))


@pytest.mark.timeout(720)  # three launches
def test_weights_that_are_shared_out_resume_to_the_bit(tmp_path):
    launch(tmp_path / "straight", "ema=null", "--shard")
    launch(tmp_path / "broken", "ema=null", "--shard", "--interrupt-at", "11")
    assert newest_checkpoint(tmp_path / "broken") == "step_00000006"
    launch(tmp_path / "broken", "ema=null", "--shard", "--resume", "auto")
    broken, straight = exported(tmp_path / "broken"), exported(tmp_path / "straight")
    assert broken.keys() == straight.keys()
    assert all(torch.equal(broken[name], straight[name]) for name in straight)
    assert metrics(tmp_path / "broken") == metrics(tmp_path / "straight")


def test_each_system_trains_in_two_processes_as_in_one(tmp_path):
    write_inputs(tmp_path)
    launch(tmp_path, script="tiny_systems.py")
    overrides = ["stages=[{patch_size: 16, batch_size: 4, steps: 4}]"]
    for system in SYSTEMS:
        final_state(tmp_path / "two" / system)
    for system in ("nafnet", "promptir", "restormer"):  # without noise and losses that look at a whole batch
        assert train_tiny(system, tmp_path, output_dir=tmp_path / "one" / system, overrides=overrides)
        two, one = final_state(tmp_path / "two" / system), final_state(tmp_path / "one" / system)
        torch.testing.assert_close(two["model"], one["model"], rtol=1e-3, atol=1e-4)


def test_a_refiner_and_its_judge_train_in_two_processes(tmp_path):
    pictures, base = save_pictures(tmp_path / "pictures"), save_base(tmp_path / "base")
    torch.manual_seed(1)
    DegradationPredictor(NAMES, embedding_dim=6, hidden_dim=8).save_pretrained(tmp_path / "predictor")
    first = adapters_config(tmp_path, pictures, base, tmp_path / "predictor", validation=None)
    assert train_by_config(first, overrides=[], resume=None)
    stages = [{"patch_size": 32, "batch_size": 1, "steps": 4}]
    extra = {"stages": stages, "loss": {"perceptual": 0.0, "adversarial_from": 0.5}}
    path = refiner_config(tmp_path, pictures, base, adapters=tmp_path / "run/export", **extra)
    launch(path, tmp_path, script="tiny_refiner.py")
    for name in ("straight", "resumed", "plain"):
        ranks = [torch.load(tmp_path / f"{name}_{rank}.pt") for rank in (0, 1)]
        assert any(key.startswith("judge.") for key in ranks[0])
        assert_equal_to_the_bit(ranks[0], ranks[1])
    assert_equal_to_the_bit(final_state(tmp_path / "resumed"), final_state(tmp_path / "straight"))
    straight = metrics(tmp_path / "straight")
    assert ["judge" in line for line in straight if "loss" in line] == [False, False, True, True]
    assert metrics(tmp_path / "resumed") == [line for line in straight if line["step"] > 2]
    twice = [*PLAIN, f"run.output_dir={tmp_path / 'one'}", "stages=[{patch_size: 32, batch_size: 2, steps: 4}]"]
    assert train_by_config(path, overrides=twice, resume=None)
    # AdamW makes steps of rounding where a gradient is almost zero; a step is 0.01
    for left, right in zip(metrics(tmp_path / "plain"), metrics(tmp_path / "one"), strict=True):
        assert left == pytest.approx(right, rel=1e-2, abs=1e-4)
    two, one = final_state(tmp_path / "plain"), final_state(tmp_path / "one")
    torch.testing.assert_close(two["model"], one["model"], rtol=1e-3, atol=2e-3)


def fusion_config(folder, **extra):
    """The file of a run that trains the fusion alone for two steps, and then all."""
    pictures = save_pictures(folder / "pictures")
    with without_progress_bar():
        for name, part in tiny_xl_base().items():
            part.save_pretrained(folder / "base" / name)
    values = run_values(folder, pictures, steps=4) | {
        "trainer": "fusion",
        "base": {"path": str(folder / "base")},
        "fusion": {"dim": 16, "head_dim": 16, "num_single": 1, "num_heads": 2},
        "switch": {"after_steps": 2},
        "validation": None,
    }
    return write(folder / "fusion.yaml", values | extra)


def test_the_fusion_and_what_the_switch_frees_train_alike_in_two_processes(tmp_path):
    launch(fusion_config(tmp_path), tmp_path, script="tiny_fusion.py")
    ranks = [torch.load(tmp_path / f"two_{rank}.pt") for rank in (0, 1)]
    assert_equal_to_the_bit(ranks[0], ranks[1])  # gradients are those of both after the switch, too
    assert int(ranks[0]["num_passes"]) == 4
    before = load_file(tmp_path / "base/unet/diffusion_pytorch_model.safetensors")
    assert all(not torch.equal(ranks[0][f"unet.{key}"], value) for key, value in before.items())
    assert [line["trains_all"] for line in metrics(tmp_path / "two") if "loss" in line] == [0, 0, 1, 1]


@pytest.mark.timeout(840)  # two launches
def test_a_fusion_whose_weights_are_shared_out_trains_as_one_whose_are_not(tmp_path):
    path = fusion_config(tmp_path, ema=None)
    launch(path, tmp_path, "whole", script="tiny_fusion.py", seconds=400)
    launch(path, tmp_path, "shared", "--shard", script="tiny_fusion.py", seconds=400)
    whole, shared = metrics(tmp_path / "whole"), metrics(tmp_path / "shared")
    assert [line["trains_all"] for line in shared] == [0, 0, 1, 1]
    for left, right in zip(whole, shared, strict=True):
        for name in ("loss", "grad_norm"):  # of the fusion's weights alone, and then of all
            assert left[name] == pytest.approx(right[name], rel=1e-3)
    for part in ("daff", "lq_encoder", "unet"):
        exports = [tmp_path / name / "export" / part for name in ("whole", "shared")]
        files = [load_file(export / "diffusion_pytorch_model.safetensors") for export in exports]
        # AdamW makes steps of rounding where a gradient is almost zero; a step is 0.01
        torch.testing.assert_close(*files, rtol=1e-3, atol=2e-3)
