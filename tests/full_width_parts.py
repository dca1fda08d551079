"""Networks of published widths, built without weights, then filled."""

import math

import torch


def count(network):
    """Its weights' number."""
    return sum(weight.numel() for weight in network.parameters())


@torch.no_grad()
def fill(network):
    """Weights in bfloat16 under which signals neither die nor blow up; nothing is zero but biases."""
    for module in network.modules():
        for name, weight in module._parameters.items():
            if weight is None:
                continue
            filled = torch.empty(weight.shape, dtype=torch.bfloat16)
            if weight.ndim > 1:
                bound = math.sqrt(1 / math.prod(weight.shape[1:]))
                filled.uniform_(-bound, bound)
            else:
                filled.fill_(0.0 if name == "bias" else 1.0)
            module._parameters[name] = torch.nn.Parameter(filled, requires_grad=False)
        for name, buffer in module._buffers.items():
            if name == "position_ids":
                module._buffers[name] = torch.arange(buffer.shape[-1]).expand(1, -1)
            elif buffer is not None:
                filled = torch.linspace(-1, 1, max(1, buffer.numel()))
                module._buffers[name] = filled.reshape(buffer.shape).to(buffer.dtype)
    assert not any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers()))
    return network.eval()
