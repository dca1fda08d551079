"""The decoder with its experts in training: what is trained, and how evenly the experts are used."""

import copy

import pytest
import torch
from torch import Tensor

from ldrestore.adapters.lq_encoder import LQEncoder
from ldrestore.blocks.observation import observed
from ldrestore.blocks.routing import Routing
from ldrestore.refiners.daem import DetailExpertModule
from ldrestore.training.networks import expert_decoder
from ldrestore.training.networks.expert_decoder import ExpertDecoder, of_all_processes
from tests.tiny_xl import tiny_xl_base


@pytest.fixture(scope="module")
def inputs() -> tuple[Tensor, list[Tensor], Tensor]:
    """Latents of four pictures, the features of their damaged twins, and these."""
    generator = torch.Generator().manual_seed(3)
    lq = torch.rand(4, 3, 16, 16, generator=generator)
    with torch.no_grad():
        features = LQEncoder.from_vae(tiny_xl_base()["vae"])(lq).features
    return 0.13 * torch.randn(4, 4, 4, 4, generator=generator), features, lq


def decoder(*, has_experts: bool = True, trains_decoder: bool = True, top_k: int = 1) -> ExpertDecoder:
    """At tiny widths, with experts that act."""
    daem = None
    if has_experts:
        torch.manual_seed(4)
        daem = DetailExpertModule((8, 8, 16), (8, 8, 8), head_dim=4, top_k=top_k)
        with torch.no_grad():
            for weight in daem.parameters():
                weight.add_(0.05 * torch.randn_like(weight))
    return ExpertDecoder(tiny_xl_base()["vae"], daem, trains_decoder=trains_decoder).train()


def literal_balance(routing: Routing, *, top_k: int) -> float:
    """Importance and load of V-MoE, Riquelme et al. 2021, App. A, of the population, expert by expert."""
    batch, num = routing.logits.shape
    normal = torch.distributions.Normal(0.0, 1.0)
    importance, load = [], []
    for expert in range(num):
        importance.append(sum(float(routing.logits[row].softmax(0)[expert]) for row in range(batch)))
        chances = []
        for row in range(batch):
            threshold = routing.noisy_logits[row].sort(descending=True).values[top_k - 1]
            chances.append(float(1 - normal.cdf((threshold - routing.logits[row, expert]) * num)))
        load.append(sum(chances))
    variations = []
    for amounts in (importance, load):
        mean = sum(amounts) / num
        variations.append(sum((amount - mean) ** 2 for amount in amounts) / num / mean**2)
    return sum(variations) / 2


@pytest.mark.parametrize("top_k", [1, 2])
def test_the_balance_is_the_mean_over_the_resolutions(inputs: tuple[Tensor, list[Tensor], Tensor], top_k: int) -> None:
    network = decoder(top_k=top_k)
    with observed(network.daem.routers) as routings:
        balance = network(*inputs).balance
    assert len(routings) == 3
    literal = [literal_balance(Routing(*map(Tensor.detach, routing)), top_k=top_k) for routing in routings.values()]
    assert balance.item() == pytest.approx(sum(literal) / 3, rel=1e-3)


def test_gradients_of_the_balance_reach_the_router_of_each_resolution(
    inputs: tuple[Tensor, list[Tensor], Tensor],
) -> None:
    network = decoder()
    network(*inputs).balance.backward()
    for name, router in network.daem.routers.items():
        assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in router.parameters()), name
        assert any(weight.grad.any() for weight in router.parameters()), name


@pytest.mark.parametrize("trains_decoder", [True, False])
def test_the_encoder_is_frozen_and_the_decoder_trained_where_asked(
    inputs: tuple[Tensor, list[Tensor], Tensor], trains_decoder: bool
) -> None:
    network = decoder(trains_decoder=trains_decoder)
    network(*inputs).restored.square().mean().backward()
    reached = {name for name, weight in network.vae.named_parameters() if weight.grad is not None}
    expected = {name for name, _ in network.vae.named_parameters() if name.startswith(("decoder.", "post_quant_conv."))}
    assert reached == (expected if trains_decoder else set())
    assert any(weight.grad is not None for weight in network.daem.parameters())


def test_without_experts_it_is_the_autoencoder_s_decoder(inputs: tuple[Tensor, list[Tensor], Tensor]) -> None:
    network = decoder(has_experts=False)
    found = network(*inputs)
    expected = network.vae.decode(inputs[0] / 0.13025).sample / 2 + 0.5
    torch.testing.assert_close(found.restored, expected)
    assert found.balance is None and found.restored.dtype == torch.float32


def test_experts_see_features_and_the_picture(inputs: tuple[Tensor, list[Tensor], Tensor]) -> None:
    latents, features, lq = inputs
    network = decoder().eval()
    with torch.no_grad():
        found = network(latents, features, lq).restored
        assert torch.equal(network(latents, features, lq).restored, found)  # no noise in the routers
        assert not torch.allclose(network(latents, features, lq.flip(0)).restored, found)
        assert not torch.allclose(network(latents, [one.flip(0) for one in features], lq).restored, found)


def test_a_copy_has_weights_of_its_own(inputs: tuple[Tensor, list[Tensor], Tensor]) -> None:
    network = decoder().eval()
    copied = copy.deepcopy(network)
    with torch.no_grad():
        before = network(*inputs).restored
        for weight in copied.parameters():
            weight.mul_(0.9)
        assert torch.equal(network(*inputs).restored, before)
        assert not torch.allclose(copied(*inputs).restored, before)


def routing_of(values: Tensor) -> Routing:
    """Of one process."""
    return Routing(values.softmax(dim=1), values, values + 0.1)


def test_one_process_s_routing_is_that_of_all() -> None:
    routing = routing_of(torch.randn(2, 3))
    assert of_all_processes(routing) is routing


def test_the_balance_of_several_processes_is_that_of_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = torch.randn(2, 3, requires_grad=True), torch.randn(2, 3)
    mine = routing_of(own)
    theirs = {id(value): another for value, another in zip(mine, routing_of(other), strict=True)}
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(expert_decoder, "all_gather", lambda value: [value, theirs[id(value)]])
    gathered = of_all_processes(mine)
    for name, whole in routing_of(torch.cat([own, other]))._asdict().items():
        torch.testing.assert_close(getattr(gathered, name), whole)
    gathered.logits.sum().backward()
    assert torch.equal(own.grad, torch.ones(2, 3))
