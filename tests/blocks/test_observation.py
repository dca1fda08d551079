"""Looking into a network."""

import torch
from torch import nn

from ldrestore.blocks.observation import observed


def test_the_last_outputs_are_kept_under_their_names():
    network = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    features = torch.randn(4, 3)
    with observed({"first": network[0], "never": nn.Linear(1, 1)}) as outputs:
        network(torch.zeros(4, 3))
        result = network(features)
    assert list(outputs) == ["first"]
    assert torch.equal(outputs["first"].relu(), result)


def test_nothing_is_kept_after_the_block():
    module = nn.Linear(3, 2)
    with observed({"only": module}) as outputs:
        pass
    module(torch.zeros(1, 3))
    assert not outputs


def test_an_error_inside_leaves_no_hook_behind():
    module = nn.Linear(3, 2)
    try:
        with observed({"only": module}):
            module(torch.zeros(1, 5))
    except RuntimeError:
        pass
    assert not module._forward_hooks
