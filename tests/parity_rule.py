"""Whole random checkpoints in the layout of published ones, from key names, shapes and a seed alone.

The golden outputs beside the tests were computed with these weights by the authors' own implementations.
"""

import math
import zlib

import torch


def filled(key, shape, seed=0):
    """The tensor of one key, scaled so that signals neither die nor blow up."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(f"{seed}:{key}".encode())))
    name = key.split(".")[-1]
    is_vector = math.prod(shape) == max(shape, default=1)
    if name == "bias":
        return noise * 0.05
    if is_vector and name in {"weight", "g", "scale", "temperature"}:
        return noise * 0.1 + 1
    if len(shape) > 1:
        return noise * (0.8 / math.sqrt(math.prod(shape[1:]) or 1))
    return noise * 0.3


def checkpoint(keys_file, seed=0):
    """A state dict for a file of "KEY 1x2x3" lines, "KEY" alone for a number without axes."""
    rows = [line.partition(" ")[::2] for line in keys_file.read_text(encoding="utf-8").splitlines()]
    return {key: filled(key, tuple(int(size) for size in shape.split("x") if size), seed) for key, shape in rows}
