"""The rules by which data sets draw: items of an epoch by their number, pairs that are compared by their names."""

import hashlib
import zlib

import numpy as np

Key = int | tuple[int, int]
"""What indexes a data set: (epoch, index), or an index of epoch 0."""


def item_generator(seed: int, key: Key) -> np.random.Generator:
    """The random numbers of one item that is trained on: a pure function of seed, epoch and index."""
    epoch, index = key if isinstance(key, tuple) else (0, key)
    digest = hashlib.sha256(f"{seed}/{epoch}/{index}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def pair_generator(name: str, recipe: str, *, seed: int = 0) -> np.random.Generator:
    """The random numbers of one pair that is compared: in validation, measurements and figures alike.

    They follow from what is named here alone, so that neither the folder, nor the other pictures, nor the order change
    a pair. All published figures have seed 0.

    Args:
        name: Of the clean picture's file, with its suffix.
        recipe: As it is written.
        seed: Another one draws other pairs.
    """
    words = (name, recipe) if seed == 0 else (str(seed), name, recipe)
    return np.random.default_rng(zlib.crc32("/".join(words).encode()))
