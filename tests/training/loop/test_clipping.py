import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import nn

from ldrestore.errors import ConfigError
from ldrestore.training.loop.clipping import clip_gradients, require_whole_gradients


@pytest.fixture
def network():
    """Two parts, whose gradients have the norms 3 and 400."""
    network = nn.ModuleDict({"painter": nn.Linear(1, 1), "judge": nn.Linear(1, 1)})
    for name, norm in (("painter", 3.0), ("judge", 400.0)):
        network[name].weight.grad, network[name].bias.grad = torch.full((1, 1), norm), torch.zeros(1)
    return network


def clipped(network, **options):
    """The norms that are told, and those of the gradients afterwards."""
    norms = clip_gradients(Accelerator(cpu=True), network, **options)
    left = {name: network[name].weight.grad.item() for name in network}
    return {name: float(norm) for name, norm in norms.items()}, left


def test_all_gradients_together_keep_to_one_norm(network):
    norms, left = clipped(network, max_norm=2.0)
    assert norms == {"grad_norm": pytest.approx((3**2 + 400**2) ** 0.5)}
    assert left == pytest.approx({"painter": 2 * 3 / 400, "judge": 2.0}, rel=1e-3)


def test_parts_keep_to_their_own(network):
    norms, left = clipped(network, max_norm=5.0, parts=("painter", "judge"))
    assert norms == {"grad_norm/painter": 3.0, "grad_norm/judge": 400.0}
    assert left == pytest.approx({"painter": 3.0, "judge": 5.0})


def test_without_a_limit_norms_are_told_and_nothing_changes(network):
    norms, left = clipped(network, max_norm=None, parts=("painter", "judge"))
    assert list(norms.values()) == list(left.values()) == [3.0, 400.0]


def test_a_part_without_gradients_has_the_norm_zero(network):
    network["judge"].zero_grad()
    assert float(clip_gradients(Accelerator(cpu=True), network, max_norm=1.0, parts=("judge",))["grad_norm/judge"]) == 0


@pytest.mark.parametrize("kind", [DistributedType.FSDP, DistributedType.DEEPSPEED])
def test_parts_are_not_clipped_apart_where_gradients_are_spread(kind):
    with pytest.raises(ConfigError, match=f"painter and judge are clipped each by its own norm, which {kind.value}"):
        require_whole_gradients(kind, ("painter", "judge"))
    require_whole_gradients(kind, ())
    require_whole_gradients(DistributedType.MULTI_GPU, ("painter", "judge"))
