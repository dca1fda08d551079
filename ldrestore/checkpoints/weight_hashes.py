"""Hashes of large networks, computed once as long as their weights stay what they are."""

from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from ldrestore.weights import hash_of_weights

_known: WeakKeyDictionary[nn.Module, tuple[tuple[Any, ...], str]] = WeakKeyDictionary()


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
