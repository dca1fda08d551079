"""Runs of a refiner in several processes, as a script: `python tiny_refiner.py CONFIG FOLDER`.

It leaves the folders of three runs, and beside each what every process holds in the end.
"""

import argparse
import os
from pathlib import Path

import torch
from accelerate.state import AcceleratorState, GradientState

from ldrestore.training.tasks import refiner as trainer
from ldrestore.training.tasks.refiner import RefinerTask
from ldrestore.training.tasks.refiner_config import RefinerTrainingConfig
from ldrestore.training.trainers import train_by_config

PLAIN = ("latents={sampled_share: 0.0, max_noise: 0.0}",)
"""Without random numbers, so that a batch may be split."""

create_task = trainer.create_task
tasks: list[RefinerTask] = []


def create_kept_task(config: RefinerTrainingConfig) -> RefinerTask:
    """As the trainer creates it, and kept."""
    tasks.append(create_task(config))
    return tasks[-1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.distributed.destroy_process_group = lambda *_: None  # all runs share one; it cannot be made twice
    trainer.create_task = create_kept_task
    halfway = options.folder / "straight/checkpoints/step_00000002"
    for name, overrides, resume in (("straight", (), None), ("resumed", (), str(halfway)), ("plain", PLAIN, None)):
        overrides = [*overrides, f"run.output_dir={options.folder / name}", "run.checkpoint_every=2"]
        assert train_by_config(options.config, overrides=overrides, resume=resume)
        torch.save(tasks[-1].network.state_dict(), options.folder / f"{name}_{os.environ['RANK']}.pt")
        AcceleratorState._reset_state()
        GradientState._reset_state()
