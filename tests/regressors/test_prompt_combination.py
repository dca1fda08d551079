import math

import pytest
import torch
from torch.nn import functional as F

from ldrestore.errors import ConfigError
from ldrestore.regressors.prompt_combination import PromptCombination, QueryMapper


def pool_of(seed=0, **options):
    torch.manual_seed(seed)
    return PromptCombination(**{"num_prompts": 5, "dim": 6, "top_k": 2, "num_tokens": 2, **options}).eval()


def literal_combination(pool, query):
    """One query through the pool, one number at a time: PR, its weights and the order of the nearest."""
    temperature = min(max(pool.temperature.item(), 0.1), 2.0)
    cosines = [
        sum(q * k for q, k in zip(query, key, strict=True)) / (math.hypot(*query) * math.hypot(*key))
        for key in pool.prompt_keys.tolist()
    ]
    nearest = sorted(range(len(cosines)), key=lambda index: -cosines[index])[: pool.top_k]
    powers = {index: math.exp(cosines[index] / temperature) for index in nearest}
    weights = {index: power / sum(powers.values()) for index, power in powers.items()}
    values = pool.prompt_values.tolist()
    tokens = [
        [sum(weights[index] * values[index][token][d] for index in nearest) for d in range(len(query))]
        for token in range(len(values[0]))
    ]
    linear, norm = pool.value_aggregation[0], pool.value_aggregation[1]
    mapped = linear.weight @ torch.tensor(tokens).flatten() + linear.bias
    spread = (mapped - mapped.mean()) / (mapped.var(correction=0) + 1e-5).sqrt()
    prompt = F.gelu(spread * norm.weight + norm.bias)
    return prompt, [weights.get(index, 0.0) for index in range(len(cosines))], nearest


@pytest.mark.parametrize("temperature", [1.0, 0.01, 5.0])
def test_the_nearest_prompts_are_combined_as_the_formula_says(temperature):
    pool, queries = pool_of(), torch.randn(3, 6)
    with torch.no_grad():
        pool.temperature.fill_(temperature)
        combination = pool(queries)
        for row, query in enumerate(queries.tolist()):
            prompt, weights, nearest = literal_combination(pool, query)
            torch.testing.assert_close(combination.prompt[row], prompt)
            torch.testing.assert_close(combination.weights[row], torch.tensor(weights))
            assert combination.indices[row].tolist() == nearest


def test_a_query_of_a_batch_gets_what_it_gets_alone():
    pool, queries = pool_of(), torch.randn(3, 6)
    alone = torch.cat([pool(query[None]).prompt for query in queries])
    torch.testing.assert_close(pool(queries).prompt, alone)


def test_noise_changes_the_choice_in_training_alone_and_never_the_similarities():
    pool, queries = pool_of(num_prompts=8, dim=64), torch.randn(64, 64)
    chosen = pool(queries)
    assert torch.equal(chosen.indices, pool(queries).indices)
    pool.train()
    tried = pool(queries)
    assert not torch.equal(chosen.indices, tried.indices)
    torch.testing.assert_close(chosen.similarities, tried.similarities)
    expected = tried.similarities.gather(1, tried.indices).softmax(dim=-1)
    torch.testing.assert_close(tried.weights.gather(1, tried.indices), expected)


def test_the_chosen_tokens_are_those_of_the_chosen_prompts_with_their_shares():
    pool = pool_of()
    combination = pool(torch.randn(2, 6))
    tokens, shares = pool.chosen_tokens(combination)
    assert tokens.shape == (2, 4, 6)
    for row in range(2):
        first, second = combination.indices[row].tolist()
        assert torch.equal(tokens[row], torch.cat([pool.prompt_values[first], pool.prompt_values[second]]))
        weights = combination.weights[row]
        torch.testing.assert_close(shares[row], torch.stack([weights[first]] * 2 + [weights[second]] * 2) / 2)


def test_gradients_reach_the_query_the_temperature_and_the_chosen_prompts_alone():
    pool, query = pool_of(), torch.randn(1, 6, requires_grad=True)
    combination = pool(query)
    combination.prompt.square().sum().backward()
    reached = pool.prompt_values.grad.abs().sum(dim=(1, 2)) > 0
    assert reached.nonzero()[:, 0].tolist() == sorted(combination.indices[0].tolist())
    assert query.grad.abs().sum() > 0
    assert pool.temperature.grad.abs() > 0


def test_prompts_start_apart_from_each_other():
    keys = F.normalize(pool_of(num_prompts=15, dim=256, top_k=3).prompt_keys, dim=-1)
    assert (keys @ keys.T - torch.eye(15)).abs().max() < 0.4


@pytest.mark.parametrize("grid", [8, 4])
@pytest.mark.parametrize("size", [(1, 1), (3, 17)])
def test_features_of_any_size_make_a_query(grid, size):
    mapper = QueryMapper(8, dim=6, grid=grid)
    assert mapper(torch.randn(2, 8, *size)).shape == (2, 6)


@pytest.mark.parametrize("top_k", [0, 6])
def test_more_prompts_than_there_are_cannot_be_chosen(top_k):
    with pytest.raises(ConfigError, match=rf"top_k must lie in \[1, 5\], the number of prompts, got {top_k}"):
        pool_of(top_k=top_k)


@pytest.mark.parametrize(("grid", "size"), [(4, (8, 12)), (8, (5, 19)), (4, (4, 4))])
def test_a_query_is_made_of_averages_on_two_small_grids(grid: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    mapper, features = QueryMapper(8, dim=6, grid=grid), torch.randn(2, 8, *size)

    def averaged(maps: torch.Tensor, side: int) -> torch.Tensor:
        """Each cell the mean of the positions that it overlaps."""
        cells = torch.empty(*maps.shape[:2], side, side)
        for row in range(side):
            for column in range(side):
                (top, bottom), (left, right) = (
                    (index * length // side, -(-(index + 1) * length // side))
                    for index, length in zip((row, column), maps.shape[2:], strict=True)
                )
                cells[..., row, column] = maps[..., top:bottom, left:right].mean(dim=(2, 3))
        return cells

    first, second, last = mapper.mapper[1], mapper.mapper[4], mapper.mapper[8]
    hidden = first(averaged(features, grid)).clamp(min=0)
    hidden = second(averaged(hidden, grid // 2)).clamp(min=0).mean(dim=(2, 3))
    assert (first.out_channels, second.out_channels) == (4, 2)
    torch.testing.assert_close(mapper(features), hidden @ last.weight.T + last.bias, rtol=1e-4, atol=1e-5)


def test_taking_all_prompts_leaves_nothing_to_chance_in_training() -> None:
    pool, queries = pool_of(top_k=5), torch.randn(4, 6)
    quiet = pool(queries)
    tried = pool.train()(queries)
    torch.testing.assert_close(tried.weights, quiet.weights)
    torch.testing.assert_close(tried.prompt, quiet.prompt, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(quiet.weights, quiet.similarities.softmax(dim=-1))


@pytest.mark.parametrize("temperature", [0.05, 3.0])
def test_a_temperature_beyond_its_bounds_gets_no_gradient(temperature: float) -> None:
    pool = pool_of()
    with torch.no_grad():
        pool.temperature.fill_(temperature)
    pool(torch.randn(2, 6)).prompt.square().sum().backward()
    assert pool.temperature.grad == 0
