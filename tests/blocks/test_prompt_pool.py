import math

import pytest
import torch

from ldrestore.blocks.prompt_pool import GatedInjection, PromptPool
from ldrestore.errors import ConfigError


def literal_prompt(pool, query):
    """The nearest prompts combined, one number at a time."""
    cosines = [
        sum(q * k for q, k in zip(query, key, strict=True)) / (math.hypot(*query) * math.hypot(*key))
        for key in pool.keys.tolist()
    ]
    nearest = sorted(range(len(cosines)), key=lambda index: -cosines[index])[: pool.top_k]
    powers = {index: math.exp(cosines[index] / pool.temperature().item()) for index in nearest}
    weights = {index: power / sum(powers.values()) for index, power in powers.items()}
    values = pool.values.tolist()
    prompt = [sum(weights[index] * values[index][d] for index in nearest) for d in range(len(query))]
    return prompt, [weights.get(index, 0.0) for index in range(len(cosines))]


def test_the_nearest_prompts_are_combined_as_the_formula_says():
    torch.manual_seed(0)
    pool, queries = PromptPool(num_prompts=5, dim=6, top_k=2), torch.randn(3, 6)
    prompts, weights = pool(queries)
    for row, query in enumerate(queries.tolist()):
        prompt, weight = literal_prompt(pool, query)
        torch.testing.assert_close(prompts[row], torch.tensor(prompt), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(weights[row], torch.tensor(weight), rtol=1e-4, atol=1e-5)


def test_the_length_of_a_query_does_not_matter():
    pool, query = PromptPool(num_prompts=4, dim=6, top_k=3), torch.randn(1, 6)
    torch.testing.assert_close(pool(query)[0], pool(7 * query)[0], rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_chosen_prompts_alone():
    pool = PromptPool(num_prompts=4, dim=6, top_k=2)
    prompt, weights = pool(torch.randn(1, 6))
    prompt.square().sum().backward()
    is_moved = pool.values.grad.abs().sum(dim=1) > 0
    assert torch.equal(is_moved, weights[0] > 0)
    assert pool.temperature_logit.grad.abs() > 0


@pytest.mark.parametrize(("logit", "bound"), [(-50.0, 0.1), (50.0, 2.0)])
def test_the_temperature_stays_within_its_bounds(logit, bound):
    pool = PromptPool(num_prompts=4, dim=6, top_k=2)
    assert pool.temperature().item() == pytest.approx(0.5, abs=0.01)
    pool.temperature_logit.data.fill_(logit)
    assert pool.temperature().item() == pytest.approx(bound, rel=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, whose autocast widens softmax")
def test_the_pool_runs_under_the_autocast_of_a_gpu():
    with torch.device("cuda"), torch.autocast("cuda", torch.bfloat16):
        pool = PromptPool(num_prompts=4, dim=6, top_k=2)
        prompt, weights = pool(torch.randn(3, 6, requires_grad=True))
    assert prompt.shape == (3, 6) and weights.shape == (3, 4)


@pytest.mark.parametrize("top_k", [0, 5])
def test_more_prompts_than_there_are_cannot_be_taken(top_k):
    with pytest.raises(ConfigError, match=r"top_k must lie in \[1, 4\]"):
        PromptPool(num_prompts=4, dim=6, top_k=top_k)


def test_an_injection_changes_nothing_at_first():
    injection, hidden_states = GatedInjection(4, dim=6), torch.randn(2, 4, 5, 3)
    assert torch.equal(injection(hidden_states, torch.randn(2, 6)), hidden_states)


def test_an_injection_is_the_formula_at_each_place():
    torch.manual_seed(0)
    injection, hidden_states, prompt = GatedInjection(4, dim=6), torch.randn(1, 4, 3, 2), torch.randn(1, 6)
    with torch.no_grad():
        for parameter in injection.parameters():
            parameter.normal_()
    result = injection(hidden_states, prompt)
    scale, shift = injection.scale_and_shift(prompt)[0].split(4)
    for row in range(3):
        for column in range(2):
            place = hidden_states[0, :, row, column]
            inner = injection.gate_features.weight[:, :, 0, 0] @ place + injection.gate_features.bias
            gate = torch.sigmoid(inner + injection.gate_prompt.weight @ prompt[0])
            expected = place + gate * (scale * place + shift)
            torch.testing.assert_close(result[0, :, row, column], expected, rtol=1e-4, atol=1e-5)


def test_taking_all_prompts_is_a_softmax_over_all() -> None:
    torch.manual_seed(0)
    pool, query = PromptPool(num_prompts=5, dim=6, top_k=5), torch.randn(4, 6)
    cosines = torch.nn.functional.cosine_similarity(query[:, None], pool.keys[None], dim=-1)
    expected = (cosines / pool.temperature()).softmax(dim=-1)
    prompt, weights = pool(query)
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(prompt, expected @ pool.values, rtol=1e-4, atol=1e-5)


def test_taking_one_gives_that_prompt_itself_and_each_picture_its_own() -> None:
    torch.manual_seed(0)
    pool = PromptPool(num_prompts=5, dim=6, top_k=1)
    chosen = [3, 0, 3]
    prompt, weights = pool(2 * pool.keys[chosen] + 0.01 * torch.randn(3, 6))
    assert weights.argmax(dim=1).tolist() == chosen
    torch.testing.assert_close(prompt, pool.values[chosen])


@pytest.mark.parametrize(("num_prompts", "dim"), [(4, 6), (6, 4)])
def test_keys_start_at_right_angles_as_far_as_there_is_room(num_prompts: int, dim: int) -> None:
    keys = PromptPool(num_prompts=num_prompts, dim=dim, top_k=1).keys
    products = keys @ keys.T if num_prompts <= dim else keys.T @ keys
    torch.testing.assert_close(products, torch.eye(min(num_prompts, dim)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_pool_and_injection_keep_the_type_of_their_weights(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    pool, injection = PromptPool(num_prompts=4, dim=6, top_k=2), GatedInjection(3, dim=6)
    torch.nn.init.normal_(injection.scale_and_shift.weight)
    query, features = torch.randn(2, 6), torch.randn(2, 3, 4, 4)
    expected = injection(features, pool(query)[0])
    prompt, weights = pool.to(dtype)(query.to(dtype))
    found = injection.to(dtype)(features.to(dtype), prompt)
    assert {prompt.dtype, weights.dtype, found.dtype} == {dtype}
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.05)
