import importlib.util
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import DistributedType
from safetensors.torch import load_file
from tiny_run import TinyConfig, TinyTask, run_tiny, tiny_config
from torch import Tensor, nn

from ldrestore.config import load_config
from ldrestore.errors import ConfigError, LDRestoreError, MissingExtraError, WeightsError
from ldrestore.training.loop.checkpoint import list_checkpoints
from ldrestore.training.loop.schedule import learning_rate_at
from ldrestore.training.loop.training_loop import (
    PARTING_SECONDS,
    create_accelerator,
    lay_channels_last,
    leave_processes,
)


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_metrics_are_written_where_they_are_due(tmp_path):
    assert run_tiny(tiny_config(tmp_path))
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines if "loss" in line] == [4, 8, 12, 16, 18]
    assert [line["step"] for line in lines if "validation/l1" in line] == [6, 12, 18]
    assert all({"learning_rate", "grad_norm", "samples_per_second", "squared"} <= line.keys() for line in lines[:1])


def test_the_loss_goes_down(tmp_path):
    run_tiny(tiny_config(tmp_path, "dropout=0", "stages=[{patch_size: 8, batch_size: 4, steps: 60}]"))
    losses = [line["loss"] for line in metrics(tmp_path) if "loss" in line]
    assert losses[-1] < 0.7 * losses[0]


def test_the_run_leaves_its_whole_config_and_versions(tmp_path):
    config = tiny_config(tmp_path)
    run_tiny(config)
    assert load_config(TinyConfig, tmp_path / "config.yaml") == config
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert environment["packages"]["torch"] and "commit" in environment


def test_accumulation_equals_the_larger_batch(tmp_path):
    plain = "run.gradient_accumulation_steps=1"
    for name, batch, overrides in [("accumulated", 2, []), ("plain", 4, [plain])]:
        stages = f"stages=[{{patch_size: 8, batch_size: {batch}, steps: 6}}]"
        run_tiny(tiny_config(tmp_path / name, "dropout=0", stages, *overrides))
    accumulated, whole = (
        load_file(tmp_path / name / "export/weights.safetensors") for name in ("accumulated", "plain")
    )
    torch.testing.assert_close(accumulated, whole)


def test_without_averaging_the_trained_weights_are_exported(tmp_path):
    run_tiny(tiny_config(tmp_path, "ema=null"))
    checkpoint = tmp_path / "checkpoints/step_00000018"
    assert not (checkpoint / "ema.safetensors").exists()
    exported, trained = load_file(tmp_path / "export/weights.safetensors"), load_file(checkpoint / "model.safetensors")
    assert all(torch.equal(exported[name], trained[name]) for name in trained)


@pytest.mark.parametrize(
    "override",
    ["run.mixed_precision=bf16", "run.mixed_precision=fp16", "run.channels_last=true", "optimizer.max_grad_norm=null"],
)
def test_options_of_the_run_train_and_resume(tmp_path, override):
    assert run_tiny(tiny_config(tmp_path / "straight", override))
    assert not run_tiny(tiny_config(tmp_path / "broken", override), task=TinyTask(interrupt_at=11))
    assert run_tiny(tiny_config(tmp_path / "broken", override), resume="auto")
    left, right = (load_file(tmp_path / name / "export/weights.safetensors") for name in ("straight", "broken"))
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_run_that_diverges_ends_with_an_error_and_no_checkpoint_of_it(tmp_path):
    with pytest.raises(LDRestoreError, match="training diverged"):
        run_tiny(tiny_config(tmp_path, "optimizer.learning_rate=1e30", "run.log_every=100", "run.validate_every=100"))
    assert not list((tmp_path / "checkpoints").glob("step_*"))


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="needs the extra 'train'")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_files_are_written(tmp_path):
    run_tiny(tiny_config(tmp_path, "run.tracker=tensorboard", "stages=[{patch_size: 8, batch_size: 1, steps: 4}]"))
    assert list(tmp_path.rglob("events.out.tfevents.*"))


def test_a_missing_tracker_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ldrestore\[train\]'"):
        run_tiny(tiny_config(tmp_path, "run.tracker=tensorboard"))


def test_prompts_of_five_axes_stay_as_they_are_in_channels_last():
    network = nn.Conv2d(4, 8, 3)
    network.prompts = nn.Parameter(torch.randn(1, 2, 3, 4, 4))
    expected = network(torch.ones(1, 4, 5, 5))
    lay_channels_last(network)
    assert network.weight.is_contiguous(memory_format=torch.channels_last)
    assert network.prompts.is_contiguous()
    torch.testing.assert_close(network(torch.ones(1, 4, 5, 5)), expected)


class WatchedTask(TinyTask):
    """Keeps what each pass saw: shapes, the weights before it, the loss, and in which numbers it was computed."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []
        self.weights: list[dict[str, Tensor]] = []
        self.losses: list[float] = []
        self.dtypes: set[torch.dtype] = set()

    def loss(self, model: nn.Module, batch: dict) -> tuple[Tensor, dict[str, Tensor]]:
        self.shapes.append(tuple(batch["lq"].shape))
        self.weights.append({name: weight.detach().clone() for name, weight in model.state_dict().items()})
        hook = model[0].register_forward_hook(lambda module, inputs, output: self.dtypes.add(output.dtype))
        loss, parts = super().loss(model, batch)
        hook.remove()
        self.losses.append(loss.item())
        return loss, parts


def test_each_stage_has_batches_of_its_own_size(tmp_path: Path) -> None:
    task = WatchedTask()
    run_tiny(tiny_config(tmp_path), task=task)
    assert task.shapes == [(2, 3, 8, 8)] * 2 * 8 + [(1, 3, 12, 12)] * 2 * 10


def test_every_picture_comes_as_often_as_any_other_over_all_stages(tmp_path: Path) -> None:
    task = TinyTask()
    run_tiny(tiny_config(tmp_path), task=task)
    counts = Counter(name.split("/")[1] for name in task.names)
    assert len(task.names) == 2 * 2 * 8 + 1 * 2 * 10 == 52
    assert set(counts.values()) == {7, 8} and len(counts) == 7
    assert len(set(task.names)) == 52  # an epoch after the other, each picture once


def test_a_line_of_metrics_has_the_means_since_the_line_before(tmp_path: Path) -> None:
    task = WatchedTask()
    run_tiny(tiny_config(tmp_path), task=task)
    lines = [line for line in metrics(tmp_path) if "loss" in line]
    first = 0
    for line in lines:
        passes = task.losses[first : 2 * line["step"]]
        assert line["loss"] == pytest.approx(sum(passes) / len(passes), rel=1e-5)
        assert line["squared"] == pytest.approx(sum(loss**2 for loss in passes) / len(passes), rel=1e-5)
        assert line["samples_per_second"] > 0
        first = 2 * line["step"]
    assert first == len(task.losses)


def test_the_rate_that_is_logged_is_the_schedule_s_and_no_stage_begins_it_anew(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, "run.log_every=1")
    run_tiny(config)
    rates = [line["learning_rate"] for line in metrics(tmp_path) if "learning_rate" in line]
    assert rates == [learning_rate_at(step, num_steps=18, config=config.optimizer) for step in range(18)]
    assert rates[2] == 0.01 and rates[7] > rates[8] > rates[9]


def test_the_norm_that_is_logged_is_that_of_the_whole_step_s_gradient(tmp_path: Path) -> None:
    """Mean over the accumulated passes, before clipping."""
    quiet = ("dropout=0", "run.log_every=1", "optimizer.max_grad_norm=0.001")
    task = WatchedTask()
    stage = "stages=[{patch_size: 8, batch_size: 2, steps: 1}]"
    run_tiny(tiny_config(tmp_path, *quiet, stage), task=task)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Identity(), nn.Conv2d(8, 3, 3, padding=1))
    network.load_state_dict(task.weights[0])
    dataset = task.dataset(tiny_config(tmp_path).stages[0])
    items = [dataset[tuple(map(int, name.split("/")))] for name in task.names]
    lq, gt = (torch.stack([item[key] for item in items]) for key in ("lq", "gt"))
    torch.nn.functional.l1_loss(network(lq), gt).backward()
    norm = torch.cat([weight.grad.flatten() for weight in network.parameters()]).norm()
    assert next(line for line in metrics(tmp_path) if "grad_norm" in line)["grad_norm"] == pytest.approx(
        norm.item(), rel=1e-4
    )


def test_the_average_of_a_run_is_the_recursion_over_its_steps(tmp_path: Path) -> None:
    task = WatchedTask()
    run_tiny(tiny_config(tmp_path, "ema.decay=0.4", "run.gradient_accumulation_steps=1"), task=task)
    last = load_file(tmp_path / "checkpoints/step_00000018/model.safetensors")
    average = {name: weight.double() for name, weight in task.weights[0].items()}
    for num_updates, weights in enumerate([*task.weights[1:], last]):
        decay = min(0.4, (1 + num_updates) / (10 + num_updates))
        average = {name: decay * value + (1 - decay) * weights[name].double() for name, value in average.items()}
    exported = load_file(tmp_path / "export/weights.safetensors")
    for name, value in average.items():
        torch.testing.assert_close(exported[name].double(), value, rtol=1e-5, atol=1e-6)


def test_bfloat16_is_of_the_forward_pass_alone(tmp_path: Path) -> None:
    task = WatchedTask()
    run_tiny(
        tiny_config(tmp_path, "run.mixed_precision=bf16", "stages=[{patch_size: 8, batch_size: 2, steps: 2}]"),
        task=task,
    )
    assert task.dtypes == {torch.bfloat16}
    checkpoint = tmp_path / "checkpoints/step_00000002"
    states = torch.load(checkpoint / "optimizer.bin")["state"].values()
    kept = [*load_file(checkpoint / "model.safetensors").values(), *load_file(checkpoint / "ema.safetensors").values()]
    kept += [state[name] for state in states for name in ("exp_avg", "exp_avg_sq")]
    assert {value.dtype for value in kept} == {torch.float32}


def test_bfloat16_trains_about_as_float32_does(tmp_path: Path) -> None:
    ends = {}
    for precision in ("no", "bf16"):
        task = WatchedTask()
        run_tiny(tiny_config(tmp_path / precision, "dropout=0", f"run.mixed_precision={precision}"), task=task)
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
        ends[precision] = sum(task.losses[-8:]) / 8
        assert (torch.bfloat16 in task.dtypes) == (precision == "bf16")
    assert ends["bf16"] == pytest.approx(ends["no"], rel=0.05) and ends["bf16"] != ends["no"]


class SteepTask(TinyTask):
    """At one pass the loss is finite, and its gradient is not."""

    def __init__(self, steep_at: int) -> None:
        super().__init__()
        self.steep_at = steep_at

    def loss(self, model: nn.Module, batch: dict) -> tuple[Tensor, dict[str, Tensor]]:
        loss, parts = super().loss(model, batch)
        return (loss + (loss - loss).sqrt() if self.num_passes == self.steep_at else loss), parts


@pytest.mark.parametrize("ema", ["ema=null", "ema.decay=0.9"])
def test_weights_that_are_no_numbers_are_neither_saved_nor_exported(tmp_path: Path, ema: str) -> None:
    """The last pass before a checkpoint breaks them, and its own loss does not tell."""
    with pytest.raises(LDRestoreError, match=r"training diverged.* at step 10.*lower the learning rate"):
        run_tiny(tiny_config(tmp_path, ema), task=SteepTask(20))
    assert [folder.name for folder in list_checkpoints(tmp_path)] == ["step_00000005"]
    assert all(weight.isfinite().all() for weight in load_file(tmp_path / "export/weights.safetensors").values())
    assert run_tiny(tiny_config(tmp_path, ema), resume="auto")


def test_validation_leaves_the_network_in_training_and_takes_the_averaged_one(tmp_path: Path) -> None:
    class Watched(TinyTask):
        def __init__(self) -> None:
            super().__init__()
            self.trained: list[bool] = []
            self.validated: list[nn.Module] = []

        def loss(self, model: nn.Module, batch: dict) -> tuple[Tensor, dict[str, Tensor]]:
            self.trained.append(model.training)
            return super().loss(model, batch)

        def validate(self, network: nn.Module) -> dict[str, float]:
            self.validated.append(network)
            assert not torch.is_grad_enabled()
            return super().validate(network)

    for ema in ("ema.decay=0.9", "ema=null"):
        task = Watched()
        run_tiny(tiny_config(tmp_path / ema, ema), task=task)
        assert all(task.trained) and len({id(network) for network in task.validated}) == 1
        assert task.validated[0][0].weight.requires_grad == (ema == "ema=null")


def test_a_run_leaves_nothing_half_written(tmp_path: Path) -> None:
    run_tiny(tiny_config(tmp_path))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"checkpoints", "config.yaml", "environment.json", "export", "metrics.jsonl"}
    assert not list((tmp_path / "checkpoints").glob("partial_*"))


def test_an_error_of_the_export_leaves_the_one_before(tmp_path: Path) -> None:
    class Failing(TinyTask):
        def export(self, weights: dict[str, Tensor], folder: Path) -> None:
            super().export(weights, folder)
            if self.num_passes > 12:
                raise WeightsError("cannot be exported")

    with pytest.raises(WeightsError, match="cannot be exported"):
        run_tiny(tiny_config(tmp_path), task=Failing())
    first = load_file(tmp_path / "checkpoints/step_00000005/ema.safetensors")
    exported = load_file(tmp_path / "export/weights.safetensors")
    assert all(torch.equal(exported[name], weight) for name, weight in first.items())


class PretendedAccelerator:
    """What accelerate would be under a launcher that is not there."""

    kind, zero_stage = DistributedType.NO, 2

    def __init__(self, **options: object) -> None:
        self.options, self.trackers, self.distributed_type = options, [], self.kind
        plugin = SimpleNamespace(zero_stage=self.zero_stage, deepspeed_config={"zero_optimization": {}})
        self.state = SimpleNamespace(deepspeed_plugin=plugin)

    def init_trackers(self, name: str) -> None:
        self.trackers.append(name)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Callable[..., PretendedAccelerator]:
    """`launched(config, kind, zero_stage)` gives what a run sets up."""

    def create(config: TinyConfig, *, kind: DistributedType, zero_stage: int = 2) -> PretendedAccelerator:
        monkeypatch.setattr(PretendedAccelerator, "kind", kind)
        monkeypatch.setattr(PretendedAccelerator, "zero_stage", zero_stage)
        monkeypatch.setattr("ldrestore.training.loop.training_loop.Accelerator", PretendedAccelerator)
        return create_accelerator(config, skips_weights=kind == DistributedType.MULTI_GPU)

    return create


@pytest.mark.parametrize(
    ("kind", "zero_stage", "is_refused"),
    [
        (DistributedType.FSDP, 2, True),
        (DistributedType.DEEPSPEED, 3, True),
        (DistributedType.DEEPSPEED, 2, False),
        (DistributedType.MULTI_GPU, 2, False),
        (DistributedType.NO, 2, False),
    ],
)
def test_averages_need_whole_weights(
    tmp_path: Path, launched: Callable, kind: DistributedType, zero_stage: int, is_refused: bool
) -> None:
    assert launched(tiny_config(tmp_path, "ema=null"), kind=kind, zero_stage=zero_stage).trackers == ["tensorboard"]
    if not is_refused:
        launched(tiny_config(tmp_path), kind=kind, zero_stage=zero_stage)
        return
    with pytest.raises(ConfigError, match=r"averaged weights need whole weights .*write 'ema: null', or use ZeRO-2"):
        launched(tiny_config(tmp_path), kind=kind, zero_stage=zero_stage)


@pytest.mark.parametrize(("max_norm", "clipping"), [("0.5", 0.5), ("null", 0.0)])
def test_deepspeed_is_told_of_batches_accumulation_and_clipping(
    tmp_path: Path, launched: Callable, max_norm: str, clipping: float
) -> None:
    config = tiny_config(tmp_path, f"optimizer.max_grad_norm={max_norm}")
    accelerator = launched(config, kind=DistributedType.DEEPSPEED)
    assert accelerator.state.deepspeed_plugin.deepspeed_config == {
        "zero_optimization": {},
        "train_micro_batch_size_per_gpu": 2,
        "gradient_accumulation_steps": 2,
        "gradient_clipping": clipping,
    }


def test_accelerate_is_told_what_the_config_says(tmp_path: Path, launched: Callable) -> None:
    for kind in (DistributedType.NO, DistributedType.MULTI_GPU):
        config = tiny_config(tmp_path, "run.mixed_precision=bf16", "run.gradient_accumulation_steps=5")
        options = launched(config, kind=kind).options
        assert (options["cpu"], options["mixed_precision"], options["log_with"]) == (True, "bf16", None)
        plugin = options["gradient_accumulation_plugin"]
        assert plugin.num_steps == 5 and plugin.sync_with_dataloader is False  # stages may end within an epoch
        (handler,) = options["kwargs_handlers"]
        assert handler.find_unused_parameters == (kind == DistributedType.MULTI_GPU)


@pytest.mark.parametrize(("processes", "waits"), [(1, []), (2, [PARTING_SECONDS])])
def test_a_process_of_several_stays_until_the_threads_between_them_have_let_go(monkeypatch, processes, waits):
    done = []
    monkeypatch.setattr("ldrestore.training.loop.training_loop.time.sleep", done.append)
    accelerator = SimpleNamespace(num_processes=processes, end_training=lambda: done.append("group destroyed"))
    leave_processes(accelerator)
    assert done == ["group destroyed", *waits]
