from statistics import NormalDist

import pytest
import torch

from ldrestore.blocks.routing import Routing, balance_loss, noisy


def routing_of(logits, drawn=None):
    drawn = logits.detach() if drawn is None else drawn
    return Routing(drawn.softmax(dim=1), logits, drawn)


def test_even_use_costs_nothing_and_one_expert_alone_the_most():
    even = torch.zeros(4, 3)
    assert balance_loss(routing_of(even), correction=0) == 0
    alone = torch.tensor([[1000.0, 0.0, 0.0]]).expand(4, 3)
    assert balance_loss(routing_of(alone), correction=0).item() == pytest.approx(0.5 * (2 + 2), rel=0.35)


def test_the_variance_is_that_of_the_population_or_unbiased():
    logits = torch.tensor([[0.5, 0.1, -0.3], [0.2, 0.0, 0.1]])
    population, unbiased = (balance_loss(routing_of(logits), correction=correction) for correction in (0, 1))
    torch.testing.assert_close(unbiased, population * 3 / 2)


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_the_load_counts_all_that_may_be_among_the_chosen(top_k):
    torch.manual_seed(0)
    logits = torch.randn(5, 4)
    drawn = noisy(logits)
    importance, load = [0.0] * 4, [0.0] * 4
    for row, noised in zip(logits, drawn, strict=True):
        to_beat = sorted(noised.tolist())[-top_k]
        for expert in range(4):
            importance[expert] += float(row.softmax(dim=0)[expert])
            load[expert] += NormalDist(sigma=1 / 4).cdf(float(row[expert]) - to_beat)

    def squared_variation(amounts):
        mean = sum(amounts) / 4
        return sum((one - mean) ** 2 for one in amounts) / 4 / mean**2

    expected = (squared_variation(importance) + squared_variation(load)) / 2
    found = balance_loss(routing_of(logits, drawn), correction=0, top_k=top_k)
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_costs_ask_for_more_use_of_the_cheaper_experts():
    logits = torch.zeros(4, 3, requires_grad=True)  # even use
    even = routing_of(logits)
    assert balance_loss(even) == 0
    (gradient,) = torch.autograd.grad(balance_loss(even, costs=torch.tensor([0.25, 0.5, 1.0])), logits)
    assert (gradient[:, 0] < 0).all()
    assert (gradient[:, 2] > 0).all()


def test_noise_has_the_deviation_of_one_over_the_number_of_experts():
    torch.manual_seed(0)
    drawn = noisy(torch.zeros(20_000, 4))
    assert drawn.std().item() == pytest.approx(0.25, rel=0.02)
