"""The data loader of one stage, started at any step."""

import signal
from collections.abc import Mapping
from typing import Any

import cv2
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, Dataset

from ldrestore.errors import ConfigError
from ldrestore.training.config import TrainingConfig, stage_at
from ldrestore.training.sampling import ShardedBatches, samples_before

Batch = dict[str, Any]
"""Collated items of a data set: tensors (B, ...) and lists of length B."""


def create_loader(
    dataset: Dataset[Any], *, config: TrainingConfig, accelerator: Accelerator, step: int
) -> DataLoader[Batch]:
    """Load the batches of this process from a step to the end of the step's stage.

    Args:
        dataset: Indexed by (epoch, index), sized.
        config: Stages, seed, accumulation and number of workers.
        accelerator: Which process this is.
        step: Optimizer steps done.

    Raises:
        ConfigError: the data set is empty.
    """
    num_pictures = len(dataset)  # type: ignore[arg-type]  # torch's Dataset declares no length
    if num_pictures == 0:
        raise ConfigError("the training data set is empty")
    stage, stage_end = stage_at(step, config.stages)
    accumulation = config.run.gradient_accumulation_steps
    batches = ShardedBatches(
        num_pictures=num_pictures,
        seed=config.run.seed,
        batch_size=stage.batch_size,
        num_batches=(stage_end - step) * accumulation,
        first_sample=samples_before(
            step, stages=config.stages, batches_per_step=accumulation * accelerator.num_processes
        ),
        process_index=accelerator.process_index,
        num_processes=accelerator.num_processes,
    )
    # The loader draws a seed for its workers; from a generator of its own, so that the global one, which a resumed run
    # restores, stays where it was. A stage is one pass over its loader, so its workers live as long as the stage.
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=config.run.num_workers,
        worker_init_fn=prepare_worker,
        pin_memory=accelerator.device.type == "cuda",
        generator=torch.Generator().manual_seed(config.run.seed),
    )


def prepare_worker(worker: int) -> None:
    """Keep a loading process to one thread, and leave signals to the training process.

    A terminal sends Ctrl-C, and a cluster SIGTERM, to the whole process group. The training process then still needs
    its workers to finish the step; they end with it.

    Args:
        worker: Number of the worker.
    """
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def to_device(batch: Mapping[str, Any], *, device: torch.device, channels_last: bool) -> Batch:
    """A batch with its tensors on the device; pictures (B, C, H, W) in the memory format asked for."""
    moved: Batch = {}
    for key, value in batch.items():
        if not isinstance(value, torch.Tensor):
            moved[key] = value
            continue
        memory_format = torch.channels_last if channels_last and value.ndim == 4 else torch.preserve_format
        moved[key] = value.to(device, non_blocking=True, memory_format=memory_format)
    return moved
