import copy

import pytest
import torch
from accelerate.utils import DistributedType
from run_files import assert_equal_to_the_bit, final_state
from tiny_run import TinyTask, run_tiny, tiny_config
from torch import nn

from ldrestore.errors import ConfigError
from ldrestore.training.config import OptimizerConfig
from ldrestore.training.loop.frozen_rows import freeze_rows
from ldrestore.training.loop.muon import Muon, matrices_apart, orthogonal
from ldrestore.training.loop.optimizers import create_optimizer


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (24, 24)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_singular_vectors_stay_and_their_values_become_one(shape, dtype):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    left, _, right = torch.linalg.svd(matrix.float(), full_matrices=False)
    result = orthogonal(matrix)
    assert result.dtype == dtype
    values = left.T @ result.float() @ right.T
    assert ((torch.linalg.diagonal(values) > 0.6) & (torch.linalg.diagonal(values) < 1.3)).all()
    assert (values - torch.diag(torch.linalg.diagonal(values))).abs().max() < 0.03


def test_a_gradient_of_zeros_gives_no_step():
    assert torch.equal(orthogonal(torch.zeros(16, 20)), torch.zeros(16, 20))


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense, self.pixels = nn.Linear(20, 24), nn.Conv2d(4, 16, 3)
        self.depthwise, self.narrow = nn.Conv2d(32, 32, 3, groups=32), nn.Linear(20, 8)
        self.table, self.norm = nn.Embedding(32, 32), nn.LayerNorm(16)
        self.frozen = nn.Linear(20, 24)


def test_only_weights_of_dense_layers_that_are_wide_enough_are_matrices():
    network = Layers()
    freeze_rows(network.frozen.weight, 2)
    groups = matrices_apart(network, [{"params": list(network.parameters()), "weight_decay": 0.1}])
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    chosen = [names[id(parameter)] for group in groups if group["is_orthogonal"] for parameter in group["params"]]
    assert chosen == ["dense.weight", "pixels.weight"]
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
    assert all(group["weight_decay"] == 0.1 for group in groups)


def test_a_step_has_the_size_of_adamws_and_decays_the_weight():
    layer = nn.Linear(64, 32, bias=False)
    before = layer.weight.detach().clone()
    groups = matrices_apart(layer, [{"params": [layer.weight], "weight_decay": 0.5}])
    layer.weight.grad = torch.randn(32, 64)
    Muon(groups, lr=0.01).step()
    moved = (layer.weight.detach() - before * (1 - 0.01 * 0.5)).square().mean().sqrt()
    assert 0.5 * 0.01 * 0.2 < moved < 1.5 * 0.01 * 0.2


def test_all_else_is_stepped_as_adamw_does():
    ours, plain = nn.LayerNorm(16), nn.LayerNorm(16)
    config = {"learning_rate": 0.1, "betas": (0.9, 0.99), "weight_decay": 0.1}
    for name, network in (("muon", ours), ("adamw", plain)):
        optimizer = create_optimizer(network, OptimizerConfig(name=name, **config), DistributedType.NO)
        for _ in range(3):
            optimizer.zero_grad()
            (network.weight * torch.arange(16)).square().sum().backward()
            optimizer.step()
    assert torch.equal(ours.weight, plain.weight)


def test_rare_directions_are_learned_as_fast_as_frequent_ones():
    steepness = torch.logspace(0, -1, 32)  # of the loss along each input
    mixing = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(1)))[0]
    goal = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(2)))[0]
    evenness = {}
    for name in ("muon", "adamw"):
        layer = nn.Linear(32, 32, bias=False)
        nn.init.zeros_(layer.weight)
        optimizer = create_optimizer(layer, OptimizerConfig(name=name, learning_rate=0.01), DistributedType.NO)
        for _ in range(10):
            optimizer.zero_grad()
            ((layer.weight - goal) @ mixing * steepness).square().sum().backward()
            optimizer.step()
        moved = (layer.weight.detach() @ mixing).norm(dim=0)
        evenness[name] = float(moved[-4:].mean() / moved[:4].mean())
    assert evenness["muon"] > 0.6 > 1.5 * evenness["adamw"]


def test_closures_are_called_with_gradients():
    layer = nn.Linear(16, 16)
    optimizer = Muon(matrices_apart(layer, [{"params": list(layer.parameters())}]), lr=0.01)

    def closure():
        optimizer.zero_grad()
        loss = layer(torch.ones(1, 16)).square().sum()
        loss.backward()
        return loss.item()

    first = optimizer.step(closure)
    assert optimizer.step(closure) < first


@pytest.mark.parametrize("kind", [DistributedType.DEEPSPEED, DistributedType.FSDP])
def test_weights_in_parts_are_refused(kind):
    with pytest.raises(ConfigError, match="name: adamw"):
        create_optimizer(nn.Linear(16, 16), OptimizerConfig(name="muon"), kind)


def test_a_run_that_was_stopped_resumes_to_the_bit(tmp_path, monkeypatch):
    monkeypatch.setattr("ldrestore.training.loop.muon.SHORTEST_SIDE", 3)  # the tiny network is narrow
    straight = tiny_config(tmp_path / "straight", "optimizer.name=muon")
    assert run_tiny(straight)
    broken = tiny_config(tmp_path / "broken", "optimizer.name=muon")
    assert not run_tiny(broken, task=TinyTask(interrupt_at=11))
    assert run_tiny(broken, resume="auto")
    assert_equal_to_the_bit(final_state(tmp_path / "broken"), final_state(tmp_path / "straight"))


def muon_literally(weight: torch.Tensor, gradients: list[torch.Tensor], *, rate: float, decay: float) -> torch.Tensor:
    """Jordan's steps on a matrix that is no taller than wide, scaled as in Sec. 2.2 of Liu et al. 2025."""
    theta, buffer = weight.double(), torch.zeros_like(weight, dtype=torch.float64)
    for gradient in gradients:
        g = gradient.double()
        buffer = 0.95 * buffer + 0.05 * g
        x = 0.05 * g + 0.95 * buffer
        x = x / x.norm()
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
        theta = theta - rate * decay * theta
        theta = theta - rate * 0.2 * max(x.shape) ** 0.5 * x
    return theta


@pytest.mark.parametrize("shape", [(16, 40), (40, 16)])
def test_steps_are_those_of_the_published_loop(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(shape[1], shape[0], bias=False)
    before = layer.weight.detach().clone()
    gradients = [torch.randn(shape, generator=generator) for _ in range(4)]
    optimizer = create_optimizer(
        layer, OptimizerConfig(name="muon", learning_rate=0.03, weight_decay=0.2), DistributedType.NO
    )
    for gradient in gradients:
        layer.weight.grad = gradient.clone()
        optimizer.step()
    is_wide = shape[0] <= shape[1]
    rows, turned = (before, gradients) if is_wide else (before.T, [gradient.T for gradient in gradients])
    expected = muon_literally(rows, turned, rate=0.03, decay=0.2)
    torch.testing.assert_close(
        layer.weight.detach().double(), expected if is_wide else expected.T, rtol=1e-4, atol=1e-5
    )


def test_a_convolution_is_a_matrix_of_its_outputs_and_all_the_rest() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels, dense = nn.Conv2d(4, 16, 3, bias=False), nn.Linear(36, 16, bias=False)
    with torch.no_grad():
        dense.weight.copy_(pixels.weight.flatten(1))
    gradient = torch.randn(16, 4, 3, 3, generator=generator)
    pixels.weight.grad, dense.weight.grad = gradient, gradient.flatten(1).clone()
    for layer in (pixels, dense):
        create_optimizer(layer, OptimizerConfig(name="muon", learning_rate=0.01), DistributedType.NO).step()
    assert torch.equal(pixels.weight.flatten(1), dense.weight)


def test_a_saved_state_goes_on_to_the_bit() -> None:
    def layers() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(16, 24), nn.LayerNorm(24))

    def stepped(network: nn.Sequential, optimizer: torch.optim.Optimizer, seed: int) -> None:
        optimizer.zero_grad()
        network(torch.randn(3, 16, generator=torch.Generator().manual_seed(seed))).pow(3).sum().backward()
        optimizer.step()

    config = OptimizerConfig(name="muon", learning_rate=0.02, weight_decay=0.1)
    straight = layers()
    optimizer = create_optimizer(straight, config, DistributedType.NO)
    stepped(straight, optimizer, 1)
    other = layers()
    other.load_state_dict(straight.state_dict())
    resumed = create_optimizer(other, config, DistributedType.NO)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for network, each in ((straight, optimizer), (other, resumed)):
        stepped(network, each, 2)
    assert_equal_to_the_bit(dict(other.state_dict()), dict(straight.state_dict()))
