"""A run small enough for a test, also as a script: `python tiny_run.py OUTPUT_DIR [key=value ...] [--resume auto]`.

With `--shard` FSDP2 shares the weights out among the processes.
"""

import argparse
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from ldrestore.config import build, set_override
from ldrestore.training.config import EmaConfig, OptimizerConfig, RunConfig, StageConfig
from ldrestore.training.loop.checkpoint import find_checkpoint
from ldrestore.training.loop.training_loop import train


@dataclass(frozen=True, kw_only=True)
class TinyConfig:
    run: RunConfig
    stages: tuple[StageConfig, ...]
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    ema: EmaConfig | None = field(default_factory=EmaConfig)
    dropout: float = 0.2
    """Draws random numbers in the forward pass, so that resuming must restore their state."""


class TinyPairs(Dataset):
    """Seven noisy pictures; a pure function of (epoch, index)."""

    def __init__(self, patch_size: int) -> None:
        self.patch_size = patch_size

    def __len__(self) -> int:
        return 7

    def __getitem__(self, key: tuple[int, int]) -> dict[str, object]:
        epoch, index = key
        generator = torch.Generator().manual_seed(1000 * epoch + index)
        gt = torch.rand(3, self.patch_size, self.patch_size, generator=generator)
        return {"lq": gt + 0.1 * torch.randn(gt.shape, generator=generator), "gt": gt, "name": f"{epoch}/{index}"}


class TinyTask:
    """Counts forward passes; at the one numbered `interrupt_at` the process gets a signal, or dies of an error."""

    def __init__(self, *, interrupt_at: int | None = None, interruption: str = "SIGTERM") -> None:
        self.interrupt_at, self.interruption = interrupt_at, interruption
        self.names: list[str] = []
        self.num_passes = 0

    def dataset(self, stage: StageConfig) -> TinyPairs:
        return TinyPairs(stage.patch_size)

    def loss(self, model: nn.Module, batch: dict) -> tuple[Tensor, dict[str, Tensor]]:
        self.num_passes += 1
        self.names.extend(batch["name"])
        if self.num_passes == self.interrupt_at:
            if self.interruption == "crash":
                raise RuntimeError("power cut")
            os.kill(os.getpid(), signal.Signals[self.interruption])
        loss = F.l1_loss(model(batch["lq"]), batch["gt"])
        return loss, {"squared": loss**2}

    def validate(self, network: nn.Module) -> dict[str, float]:
        assert not network.training
        return {"l1": F.l1_loss(network(torch.full((1, 3, 8, 8), 0.5)), torch.full((1, 3, 8, 8), 0.5)).item()}

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        save_file(weights, folder / "weights.safetensors")


def tiny_config(output_dir: Path, *overrides: str) -> TinyConfig:
    """18 steps of 4 samples in two stages; an epoch of 7 pictures ends within steps."""
    values = {
        "run": {
            "output_dir": str(output_dir),
            "seed": 3,
            "device": "cpu",
            "gradient_accumulation_steps": 2,
            "num_workers": 0,
            "log_every": 4,
            "validate_every": 6,
            "checkpoint_every": 5,
        },
        "optimizer": {"learning_rate": 0.01, "warmup_steps": 3, "weight_decay": 0.01},
        "stages": [
            {"patch_size": 8, "batch_size": 2, "steps": 8},
            {"patch_size": 12, "batch_size": 1, "steps": 10},
        ],
    }
    for override in overrides:
        set_override(values, override)
    return build(TinyConfig, values)


def run_tiny(config: TinyConfig, *, task: TinyTask | None = None, resume: str | None = None) -> bool:
    """Train the tiny network."""
    checkpoint = find_checkpoint(config.run, resume)
    torch.manual_seed(config.run.seed)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Dropout(config.dropout), nn.Conv2d(8, 3, 3, padding=1)
    )
    return train(config, task=task or TinyTask(), network=network, checkpoint=checkpoint)


SHARDING = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_AUTO_WRAP_POLICY": "SIZE_BASED_WRAP",
    "FSDP_MIN_NUM_PARAMS": "10",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
}
"""What accelerate's launcher makes of `configs/accelerate/fsdp.yaml`, but for the size of what is wrapped."""


def shard_on_cpu(**units: str) -> None:
    """Let FSDP2 share weights out over gloo.

    torch does so on the CPU, too; accelerate turns it on for accelerators alone, and is told that these are some.

    Args:
        units: Variables of the launcher that say which modules are shared out by themselves, in place of the size.
    """
    os.environ.update(SHARDING | units)
    PartialState(cpu=True)
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--resume")
    parser.add_argument("--interrupt-at", type=int)
    parser.add_argument("--shard", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.shard:
        shard_on_cpu()
    run_tiny(
        tiny_config(options.output_dir, *options.overrides),
        task=TinyTask(interrupt_at=options.interrupt_at if os.environ.get("RANK", "0") == "0" else None),
        resume=options.resume,
    )
