"""What a record says of the network and of what computed it."""

from typing import Any

import torch
from diffusers import ModelMixin

from ldrestore.regressors.onnx_regressor import OnnxRegressor
from ldrestore.weights.hashes import cached_hash


def identity_of(network: ModelMixin | OnnxRegressor) -> dict[str, Any]:
    """Architecture and weights of a network, as plain values; of an exported one also the file."""
    if isinstance(network, OnnxRegressor):
        facts = network.facts
        return {
            "architecture": facts.network,
            "weights_sha256": facts.weights_sha256,
            "onnx_sha256": network.file_sha256,
        }
    return {"architecture": type(network).__name__, "weights_sha256": cached_hash(network)}


def runtime_of(network: ModelMixin | OnnxRegressor) -> dict[str, Any]:
    """Engine, device, number format, threads and processor that a network computes with, as plain values."""
    place = {
        "device": network.device.type,
        "dtype": str(network.dtype).removeprefix("torch."),
        "processor": processor_of(network.device),
    }
    if isinstance(network, OnnxRegressor):
        return {"engine": "onnx", "onnxruntime": network.runtime_version, **place, "threads": network.threads}
    return {"engine": "local", **place, "threads": torch.get_num_threads()}


def processor_of(device: torch.device) -> str:
    """What rounds the sums: a GPU's name, or the instructions that torch uses of a CPU, such as "AVX2"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else device.type
