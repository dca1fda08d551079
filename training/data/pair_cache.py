"""Pairs drawn once, with what frozen networks make of them: for many short runs upon the same ones, as in ablations.

The first run that names a file writes it, the others read it. It tells what it was made of, so that a run with other
pictures, sizes or frozen weights does not take it for its own.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate

from ldrestore.config import as_plain
from ldrestore.datasets.pictures import index_of
from ldrestore.datasets.seeds import Key
from ldrestore.errors import ConfigError
from ldrestore.training.data.loading import Batch, load_item
from ldrestore.training.data.training_data import PairDataConfig, create_dataset
from ldrestore.weights.hashes import hash_of_weights

logger = logging.getLogger(__name__)

MADE_OF = "made_of"
"""Where the file's metadata tell it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCacheConfig:
    """Where pairs lie, and how many there are."""

    path: Path
    """A file; the first run that names it writes it."""
    num_pairs: int = 2000
    """How many are drawn."""
    seed: int = 0
    """Of the drawing; not the run's, so that runs with other seeds have the same pairs."""
    batch_size: int = 16
    """Pairs that are computed at a time."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.num_pairs < 1 or self.batch_size < 1:
            raise ConfigError(
                f"cache: num_pairs and batch_size must be at least 1, got {self.num_pairs} and {self.batch_size}"
            )


class CachedPairs(Dataset[dict[str, Tensor]]):
    """`dataset[(epoch, index)]` gives the rows of one pair by name, float32; the same in each epoch."""

    def __init__(self, rows: Mapping[str, Tensor]) -> None:
        """Take the rows of all pairs.

        Args:
            rows: (N, ...) each.
        """
        self.rows = rows

    def __len__(self) -> int:
        """Number of pairs."""
        return len(next(iter(self.rows.values())))

    def __getitem__(self, key: Key) -> dict[str, Tensor]:
        """One pair."""
        return {name: values[index_of(key)].float() for name, values in self.rows.items()}


def cached_pairs(
    config: PairCacheConfig,
    data: PairDataConfig,
    *,
    patch_size: int,
    settings: Mapping[str, Any],
    networks: Iterable[nn.Module],
    compute: Callable[[Batch], dict[str, Tensor]],
) -> CachedPairs:
    """Read the pairs, or draw and write them.

    Args:
        config: Where, and how many.
        data: What they are drawn from.
        patch_size: Side of the crops in pixels.
        settings: What else the rows depend on, in plain values.
        networks: Those that compute them, frozen.
        compute: A collated batch of "lq", "gt" and "degradations" to the rows that are kept, in float16; torch's
            random numbers are as they were afterwards.

    Raises:
        ConfigError: the file holds something else, or the run has several processes.
        DatasetError: a picture cannot be loaded.
    """
    if PartialState().num_processes > 1:
        raise ConfigError("cache: runs upon cached pairs have one process; leave out cache, or train in one")
    drawn = {"data": as_plain(data), "patch_size": patch_size, "num_pairs": config.num_pairs, "seed": config.seed}
    hashes = [hash_of_weights(network) for network in networks]
    made_of = hashlib.sha256(json.dumps([drawn, dict(settings), hashes], default=str).encode()).hexdigest()
    if not config.path.is_file():
        dataset = create_dataset(data, patch_size=patch_size, seed=config.seed)
        keys = [divmod(number, len(dataset)) for number in range(config.num_pairs)]
        _write(config, made_of, rows=_computed(dataset, keys, config=config, compute=compute))
    return CachedPairs(_read(config.path, made_of))


@torch.no_grad()
def _computed(
    dataset: Dataset[Any],
    keys: list[tuple[int, int]],
    *,
    config: PairCacheConfig,
    compute: Callable[[Batch], dict[str, Tensor]],
) -> dict[str, Tensor]:
    """The rows of all pairs."""
    parts: dict[str, list[Tensor]] = {}
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        for begin in range(0, len(keys), config.batch_size):
            batch = default_collate([load_item(dataset, key) for key in keys[begin : begin + config.batch_size]])
            for name, values in compute(batch).items():
                parts.setdefault(name, []).append(values.half().cpu().contiguous())
            logger.info("%s: %d of %d pairs", config.path.name, begin + len(batch["gt"]), len(keys))
    return {name: torch.cat(values) for name, values in parts.items()}


def _write(config: PairCacheConfig, made_of: str, *, rows: dict[str, Tensor]) -> None:
    """Write a file that is whole or not there."""
    config.path.parent.mkdir(parents=True, exist_ok=True)
    partial = config.path.with_name(f"{config.path.name}.partial")
    save_file(rows, partial, metadata={MADE_OF: made_of})
    partial.replace(config.path)


def _read(path: Path, made_of: str) -> dict[str, Tensor]:
    """The rows of a file.

    Raises:
        ConfigError: it was made of something else, or is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            found = (file.metadata() or {}).get(MADE_OF)
    except SafetensorError as error:
        raise ConfigError(f"cache: {path} is damaged ({error}); remove it, and it is written anew") from error
    if found != made_of:
        raise ConfigError(
            f"cache: {path} was made with other pictures, settings or frozen weights; remove it or name another file"
        )
    rows: dict[str, Tensor] = load_file(path)
    return rows
