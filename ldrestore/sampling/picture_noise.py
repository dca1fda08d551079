"""The randomness of one picture: its seed follows from the run's seed and its own content, and its noise is one field.

So neither the order of the pictures, nor their company, nor the tiles, nor the device changes what is drawn.
"""

import hashlib

import torch
from torch import Generator, Tensor

from ldrestore.errors import InputError

SEED_BITS = 63
"""Seeds are whole numbers of so many bits, which torch, JSON and everybody else can hold."""


def run_seed_of(seed: int | None, generator: Generator | None) -> int:
    """The seed of a whole run.

    Args:
        seed: As the user gave it; None for 0.
        generator: Of any device; one number is drawn from it, so that a second run with it is another one.

    Raises:
        InputError: both are given, or the seed is no whole number in [0, 2^63).
    """
    if generator is not None:
        if seed is not None:
            raise InputError("seed and generator both say what is drawn; give one of them")
        return int(torch.randint(2**SEED_BITS - 1, (), generator=generator, device=generator.device))
    if seed is None:
        return 0
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**SEED_BITS:
        raise InputError(f"seed must be a whole number in [0, 2^{SEED_BITS}), got {seed!r}")
    return seed


def generator_of(seed: int, content_sha256: str) -> Generator:
    """The generator of one picture, on the CPU, so that every device sees the same numbers.

    Args:
        seed: Of the run.
        content_sha256: Hash of the picture's pixels.
    """
    digest = hashlib.sha256(f"{seed} {content_sha256}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> (64 - SEED_BITS))


def draw_noise(lq_latents: Tensor, *, generator: Generator) -> Tensor:
    """One field of standard normal noise for the whole picture; tiles are cut from it.

    Args:
        lq_latents: (1, C, h, w), gives the shape and the device.
        generator: Of the picture.

    Returns:
        (1, C, h, w), float32.
    """
    noise = torch.randn(lq_latents.shape, generator=generator, device=generator.device, dtype=torch.float32)
    return noise.to(lq_latents.device)
