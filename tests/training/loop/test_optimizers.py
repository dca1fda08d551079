"""Optimizers by name: AdamW against its paper's steps, and which weights of a network it decays."""

import pytest
import torch
from accelerate.utils import DistributedType
from torch import Tensor, nn

from ldrestore.errors import ConfigError
from ldrestore.training.config import OptimizerConfig
from ldrestore.training.loop.frozen_rows import freeze_rows
from ldrestore.training.loop.muon import Muon
from ldrestore.training.loop.optimizers import create_optimizer


def created(network: nn.Module, **options: object) -> torch.optim.Optimizer:
    """The optimizer of a network in one process."""
    return create_optimizer(network, OptimizerConfig(**options), DistributedType.NO)


def adamw_literally(weight: Tensor, gradients: list[Tensor], *, rate: float, decay: float) -> Tensor:
    """Alg. 2 of Loshchilov and Hutter 2019 with betas 0.8 and 0.95, in double precision."""
    theta = weight.double()
    m, v = torch.zeros_like(theta), torch.zeros_like(theta)
    for t, gradient in enumerate(gradients, start=1):
        g = gradient.double()
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g * g
        m_hat, v_hat = m / (1 - 0.8**t), v / (1 - 0.95**t)
        theta = theta - rate * decay * theta - rate * m_hat / (v_hat.sqrt() + 1e-8)
    return theta


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_adamw_steps_as_its_paper_says(decay: float) -> None:
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(4, 3, bias=False)
    before = layer.weight.detach().clone()
    gradients = [torch.randn(3, 4, generator=generator) for _ in range(6)]
    optimizer = created(layer, learning_rate=0.05, betas=(0.8, 0.95), weight_decay=decay)
    for gradient in gradients:
        layer.weight.grad = gradient.clone()
        optimizer.step()
    expected = adamw_literally(before, gradients, rate=0.05, decay=decay)
    torch.testing.assert_close(layer.weight.detach().double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_weights_without_a_gradient_neither_move_nor_decay(name: str) -> None:
    network = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))
    network[1].requires_grad_(False)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    optimizer = created(network, name=name, learning_rate=0.1, weight_decay=0.5)
    network(torch.ones(2, 16)).square().sum().backward()
    optimizer.step()
    moved = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == {"0.weight", "0.bias"}


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_old_rows_stay_to_the_bit_under_decay(name: str) -> None:
    table = nn.Linear(24, 32)
    before = table.weight.detach().clone()
    freeze_rows(table.weight, 20)
    optimizer = created(table, name=name, learning_rate=0.1, weight_decay=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        table(torch.ones(2, 24)).square().sum().backward()
        optimizer.step()
    assert torch.equal(table.weight[:20], before[:20])
    assert (table.weight[20:] != before[20:]).any(dim=1).all()


def test_a_name_gives_its_optimizer_with_the_config_s_numbers() -> None:
    network = nn.Linear(16, 16)
    for name, kind in (("adamw", torch.optim.AdamW), ("muon", Muon)):
        optimizer = created(network, name=name, learning_rate=0.02, betas=(0.7, 0.8), weight_decay=0.1)
        assert type(optimizer) is kind
        groups = optimizer.param_groups
        assert {(group["lr"], group["betas"], group["weight_decay"]) for group in groups} == {(0.02, (0.7, 0.8), 0.1)}
        assert sum(len(group["params"]) for group in groups) == 2


@pytest.mark.parametrize("kind", [DistributedType.DEEPSPEED, DistributedType.FSDP, DistributedType.MULTI_GPU])
def test_adamw_takes_weights_in_parts(kind: DistributedType) -> None:
    assert isinstance(create_optimizer(nn.Linear(2, 2), OptimizerConfig(), kind), torch.optim.AdamW)


def test_rows_that_stay_as_they_are_are_refused_under_fsdp_which_would_train_them() -> None:
    """It puts weights of its own in place, without the hooks that keep gradients away."""
    table = nn.Linear(4, 6)
    create_optimizer(table, OptimizerConfig(), DistributedType.FSDP)
    freeze_rows(table.weight, 3)
    with pytest.raises(
        ConfigError, match=r"known before stay as they are, which FSDP does not hold to.*multi_gpu\.yaml"
    ):
        create_optimizer(table, OptimizerConfig(), DistributedType.FSDP)
    for kind in (DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.DEEPSPEED):
        assert len(create_optimizer(table, OptimizerConfig(), kind).param_groups) == 2
