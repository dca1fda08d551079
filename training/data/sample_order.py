"""Which picture comes when: a pure function of the seed and a number that counts all samples of a run.

Sample n belongs to epoch n // (pictures) and is the picture at place n % (pictures) of that epoch's permutation.
Nothing is drawn while training, so a run resumes at any sample without skipping what came before, and neither the
number of workers nor that of processes changes the order: one batch of N processes holds consecutive samples.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from torch.utils.data import Sampler

from ldrestore.training.config import StageConfig

SampleKey = tuple[int, int]
"""(epoch, index of the picture): what indexes a data set."""


def sample_key(number: int, *, num_pictures: int, seed: int) -> SampleKey:
    """The key of a sample.

    Args:
        number: Counts the samples of the whole run, over all stages and processes, from 0.
        num_pictures: Length of the data set.
        seed: The run's seed.
    """
    epoch, place = divmod(number, num_pictures)
    return epoch, int(_permutation(epoch, num_pictures, seed)[place])


@lru_cache(maxsize=4)
def _permutation(epoch: int, num_pictures: int, seed: int) -> np.ndarray:
    """The order of the pictures in one epoch: (num_pictures,)."""
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(num_pictures)


def samples_before(step: int, *, stages: tuple[StageConfig, ...], batches_per_step: int) -> int:
    """How many samples all processes together have seen before an optimizer step.

    Args:
        step: Optimizer steps done.
        stages: All stages of the run.
        batches_per_step: Processes x accumulation steps.
    """
    samples = 0
    for stage in stages:
        steps = min(step, stage.steps)
        samples += steps * stage.batch_size * batches_per_step
        step -= steps
    return samples


class ShardedBatches(Sampler[list[SampleKey]]):
    """The batches of one process: every `num_processes`-th run of `batch_size` consecutive samples."""

    def __init__(
        self,
        *,
        num_pictures: int,
        seed: int,
        batch_size: int,
        num_batches: int,
        first_sample: int,
        process_index: int,
        num_processes: int,
    ) -> None:
        """Say where to start and how far to go.

        Args:
            num_pictures: Length of the data set.
            seed: The run's seed.
            batch_size: Samples of one batch of one process.
            num_batches: Batches that this process gets.
            first_sample: Number of the first sample of the first process.
            process_index: This process, from 0.
            num_processes: Processes that share the samples.
        """
        self.num_pictures, self.seed, self.batch_size = num_pictures, seed, batch_size
        self.num_batches, self.first_sample = num_batches, first_sample
        self.process_index, self.num_processes = process_index, num_processes

    def __len__(self) -> int:
        """Number of batches."""
        return self.num_batches

    def __iter__(self) -> Iterator[list[SampleKey]]:
        """Yield lists of keys."""
        for batch in range(self.num_batches):
            start = self.first_sample + (batch * self.num_processes + self.process_index) * self.batch_size
            yield [
                sample_key(number, num_pictures=self.num_pictures, seed=self.seed)
                for number in range(start, start + self.batch_size)
            ]
