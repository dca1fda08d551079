"""Hashes of weights: of a network, remembered as long as its weights stay what they are, and of a file."""

import hashlib
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

_known: WeakKeyDictionary[nn.Module, tuple[tuple[Any, ...], str]] = WeakKeyDictionary()


def hash_of_weights(network: nn.Module) -> str:
    """SHA-256 over keys, types, shapes and bytes of all weights, as hexadecimal digits; equal on every device."""
    digest = hashlib.sha256()
    for key, tensor in sorted(network.state_dict().items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        values = tensor.detach().cpu().contiguous().flatten()  # a scalar has no axis whose type a view could change
        digest.update(values.view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()


def hash_of_file(path: str | Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached_hash(network: nn.Module) -> str:
    """`hash_of_weights`, remembered: a billion weights take seconds.

    Moving a network between devices does not change it. Writing into a weight, loading, or converting does; only what
    goes around torch, through `.data` or numpy, is not seen.

    Args:
        network: Weights that are off-loaded one by one, and so on no device, are hashed by nobody: their last known
            hash is given, or "unknown".
    """
    tensors = [*network.parameters(), *network.buffers()]
    stamp, digest = _known.get(network, (None, "unknown"))
    if any(tensor.is_meta for tensor in tensors):
        return digest
    present = tuple((id(tensor), _version_of(tensor), tensor.dtype) for tensor in tensors)
    if stamp != present:
        digest = hash_of_weights(network)
        _known[network] = (present, digest)
    return digest


def _version_of(tensor: Tensor) -> int:
    """How often a tensor was written to; tensors made in inference mode do not count."""
    return 0 if tensor.is_inference() else tensor._version
