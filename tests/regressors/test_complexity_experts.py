"""Experts, router and balance against slow versions of their equations."""

import pytest
import torch
from torch.nn import functional as F

from ldrestore.errors import ConfigError
from ldrestore.regressors.complexity_experts import (
    ComplexityExpert,
    ComplexityRouter,
    ExpertLayer,
    window_convolution,
)


def slow_window_convolution(query, key, window):
    """The sum over all shifts that wrap around inside each window; what lies beyond the picture is zero."""
    height, width = query.shape[-2:]
    pad = (0, -width % window, 0, -height % window)
    query, key = F.pad(query, pad), F.pad(key, pad)
    out = torch.zeros_like(query)
    for top in range(0, query.shape[2], window):
        for left in range(0, query.shape[3], window):
            rows, columns = slice(top, top + window), slice(left, left + window)
            for down in range(window):
                for right in range(window):
                    shifted = key[..., rows, columns].roll((down, right), dims=(2, 3))
                    factor = query[..., top + down, left + right, None, None]
                    out[..., rows, columns] += factor * shifted
    return out[..., :height, :width]


@pytest.mark.parametrize("size", [(8, 12), (5, 7), (1, 1)])
def test_window_attention_is_a_circular_convolution(size):
    torch.manual_seed(0)
    query, key = (torch.randn(2, 3, *size).contiguous(memory_format=torch.channels_last) for _ in range(2))
    fast = window_convolution(query, key, window=4)
    torch.testing.assert_close(fast, slow_window_convolution(query, key, 4), rtol=1e-4, atol=1e-5)


def test_window_attention_has_exact_gradients():
    torch.manual_seed(0)
    query, key = (torch.randn(1, 1, 3, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda q, k: window_convolution(q, k, window=4), (query, key))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_window_attention_of_half_precision_is_computed_in_full(dtype):
    torch.manual_seed(0)
    query, key = torch.randn(1, 2, 8, 8).to(dtype), torch.randn(1, 2, 8, 8).to(dtype)
    mixed = window_convolution(query, key, window=8)
    assert torch.equal(mixed, window_convolution(query.float(), key.float(), window=8).to(dtype))


def test_an_expert_is_its_equation():
    torch.manual_seed(0)
    expert, routed, shared = ComplexityExpert(6, rank=3, window=4), torch.randn(2, 6, 7, 9), torch.randn(2, 6, 7, 9)
    w0, w1, w2 = expert.proj
    body = expert.body
    query = body.q_dwconv(body.q(w0(routed)))
    key, value = body.kv_dwconv(body.kv(w0(routed))).chunk(2, dim=1)
    attended = body.proj_out(body.norm(slow_window_convolution(query, key, 4)) * value)
    torch.testing.assert_close(expert(routed, shared), w2(attended * F.silu(w1(shared))) + routed, rtol=1e-4, atol=1e-5)


def test_ranks_and_windows_grow_with_the_expert_and_costs_are_its_parameters():
    layer = ExpertLayer(16, frequency_dim=5)
    assert [expert.proj[0].out_channels for (expert,) in layer.experts] == [2, 4, 8, 16]
    assert [expert.body.window for (expert,) in layer.experts] == [4, 8, 16, 32]
    counts = [sum(parameter.numel() for parameter in expert.parameters()) for expert in layer.experts]
    torch.testing.assert_close(layer.routing.complexity, torch.tensor(counts) / counts[-1])


def layer_that_tells_pictures_apart():
    """A layer, and four pictures that choose the experts 2, 0, 2 and 3."""
    torch.manual_seed(0)
    layer, choices = ExpertLayer(8, frequency_dim=4, noise="never"), [2, 0, 2, 3]
    with torch.no_grad():
        layer.routing.freq_gate.weight.copy_(20 * torch.eye(4))
    return layer, choices, (torch.randn(4, 8, 6, 5), torch.randn(4, 8, 6, 5), torch.eye(4)[choices])


def test_each_picture_goes_through_its_own_expert_weighted_by_its_probability():
    layer, choices, (routed, shared, frequencies) = layer_that_tells_pictures_apart()
    out, routing = layer(routed, shared, frequencies)
    assert routing.probabilities.argmax(dim=1).tolist() == choices
    for picture, choice in enumerate(choices):
        one = slice(picture, picture + 1)
        expected = layer.experts[choice][0](routed[one], shared[one]) * routing.probabilities[picture, choice]
        torch.testing.assert_close(out[one], layer.proj_out(expected), rtol=1e-4, atol=1e-5)


def test_only_chosen_experts_compute_and_only_for_those_who_chose_them():
    layer, _, inputs = layer_that_tells_pictures_apart()
    calls = []
    for index, (expert,) in enumerate(layer.experts):
        expert.register_forward_hook(lambda _, args, __, index=index: calls.append((index, len(args[0]))))
    layer(*inputs)
    assert calls == [(0, 1), (2, 2), (3, 1)]


def test_gradients_reach_the_chosen_experts_and_no_other():
    layer, choices, inputs = layer_that_tells_pictures_apart()
    layer(*inputs)[0].square().sum().backward()
    for index, expert in enumerate(layer.experts):
        for parameter in expert.parameters():
            assert (parameter.grad is not None) == (index in choices)


def test_a_mixed_batch_passes_under_autocast():
    layer, _, inputs = layer_that_tells_pictures_apart()
    with torch.autocast("cpu", torch.bfloat16):
        out, routing = layer(*inputs)
    assert (out.dtype, routing.logits.dtype) == (torch.bfloat16, torch.float32)


def router(**options):
    torch.manual_seed(0)
    return ComplexityRouter(6, frequency_dim=3, costs=[1, 2, 4], **options)


def test_scores_are_linear_in_mean_features_and_frequencies():
    gate, routed, frequencies = router(), torch.randn(2, 6, 4, 5), torch.randn(2, 3)
    expected = routed.mean(dim=(2, 3)) @ gate.gate[2].weight.T + frequencies @ gate.freq_gate.weight.T
    routing = gate.eval()(routed, frequencies)
    torch.testing.assert_close(routing.logits, expected)
    torch.testing.assert_close(routing.probabilities, expected.softmax(dim=1))


@pytest.mark.parametrize(
    ("noise", "training", "is_noisy"),
    [("never", True, False), ("training", True, True), ("training", False, False), ("released", False, True)],
)
def test_noise_comes_when_asked_for(noise, training, is_noisy):
    routing = router(noise=noise).train(training)(torch.zeros(4000, 6, 1, 1), torch.zeros(4000, 3))
    assert routing.logits.abs().max() == 0
    assert (routing.noisy_logits.std() - (1 / 3 if is_noisy else 0)).abs() < 0.01


def test_a_fixed_expert_is_certain_whatever_the_picture():
    gate = router(expert=1)
    routing = gate(torch.randn(2, 6, 4, 4), torch.randn(2, 3))
    assert routing.probabilities.tolist() == [[0, 1, 0]] * 2
    assert gate.balance(routing) == 0


def slow_balance(logits, noisy, costs):
    """Importance and load as V-MoE writes them, expert by expert."""
    count, normal = logits.shape[1], torch.distributions.Normal(0.0, 1.0)
    importance = torch.stack([costs[i] * sum(row.softmax(0)[i] for row in logits) for i in range(count)])
    load = torch.zeros(count)
    for row, noisy_row in zip(logits, noisy, strict=True):
        for i in range(count):
            load[i] += (1 - normal.cdf((noisy_row.max() - row[i]) / (1 / count))) / len(logits)
    return sum(0.5 * (amount.std() / amount.mean()) ** 2 for amount in (importance, load))


@pytest.mark.parametrize("with_complexity", [True, False])
def test_the_balance_is_its_equation_and_costs_can_be_switched_off(with_complexity):
    gate = router(with_complexity=with_complexity)
    routing = gate(torch.randn(5, 6, 4, 4), torch.randn(5, 3))
    costs = torch.tensor([0.25, 0.5, 1.0]) if with_complexity else torch.ones(3)
    expected = slow_balance(routing.logits, routing.noisy_logits, costs)
    torch.testing.assert_close(gate.balance(routing), expected)


def test_the_balance_teaches_the_router():
    gate = router()
    gate.balance(gate(torch.randn(5, 6, 4, 4), torch.randn(5, 3))).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in gate.parameters())


def test_what_cannot_route_is_refused():
    with pytest.raises(ConfigError, match=r"expert must lie in \[0, 2\] or be None, got 3"):
        router(expert=3)
    with pytest.raises(ConfigError, match="routing_noise must be one of never, training, released, got 'on'"):
        router(noise="on")
    with pytest.raises(ConfigError, match="at least 2 experts"):
        ExpertLayer(8, frequency_dim=4, num_experts=1)
    with pytest.raises(ConfigError, match=r"4 channels give 4 experts the ranks \[0, 1, 2, 4\]"):
        ExpertLayer(4, frequency_dim=4)
