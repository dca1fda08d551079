import math

import pytest
import torch

from ldrestore.regressors.prompt_combination import PromptCombination
from ldrestore.regressors.prompt_losses import (
    alignment_loss,
    combination_balance_loss,
    contrastive_loss,
    diversity_loss,
)


def pool_and_combination(batch=3):
    torch.manual_seed(0)
    pool = PromptCombination(num_prompts=4, dim=6, top_k=2).eval()
    return pool, pool(torch.randn(batch, 6))


def cosine(left, right):
    return sum(a * b for a, b in zip(left, right, strict=True)) / (math.hypot(*left) * math.hypot(*right))


def test_alignment_is_one_minus_the_cosine_to_each_pictures_text():
    torch.manual_seed(0)
    representation, text = torch.randn(3, 6), torch.randn(3, 6)
    expected = sum(1 - cosine(*pair) for pair in zip(representation.tolist(), text.tolist(), strict=True)) / 3
    assert alignment_loss(representation, text).item() == pytest.approx(expected, abs=1e-5)
    assert alignment_loss(representation, 5 * representation).item() == pytest.approx(0, abs=1e-5)


def test_diversity_counts_what_is_more_alike_than_the_threshold():
    pool, _ = pool_and_combination()
    halves = []
    for rows in (pool.prompt_keys.tolist(), pool.prompt_values.flatten(1).tolist()):
        pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
        halves.append(sum(max(cosine(rows[i], rows[j]) - 0.1, 0) for i, j in pairs) / 16)
    assert diversity_loss(pool).item() == pytest.approx(sum(halves) / 2, abs=1e-5)


def test_diversity_is_zero_for_prompts_at_right_angles():
    pool, _ = pool_and_combination()
    with torch.no_grad():
        pool.prompt_keys.copy_(torch.eye(4, 6))
        pool.prompt_values.copy_(torch.eye(4, 12).unflatten(1, (2, 6)))
    assert diversity_loss(pool).item() == 0


def test_balance_is_what_the_entropy_of_the_usage_lacks():
    _, combination = pool_and_combination()
    powers = [[math.exp(value) for value in row] for row in combination.similarities.tolist()]
    usage = [sum(row[n] / sum(row) for row in powers) / 3 for n in range(4)]
    expected = math.log(4) + sum(share * math.log(share) for share in usage)
    assert combination_balance_loss(combination).item() == pytest.approx(expected, abs=1e-5)
    even = combination._replace(similarities=torch.zeros(3, 4))
    assert combination_balance_loss(even).item() == pytest.approx(0, abs=1e-5)
    lopsided = combination._replace(similarities=torch.tensor([[100.0, 0, 0, 0]]))
    assert combination_balance_loss(lopsided).item() == pytest.approx(math.log(4))


def test_the_contrast_is_between_the_chosen_keys_and_all():
    _, combination = pool_and_combination()
    expected = 0
    for cosines, indices in zip(combination.cosines.tolist(), combination.indices.tolist(), strict=True):
        powers = [math.exp(value / 0.1) for value in cosines]
        expected -= math.log(sum(powers[index] for index in indices) / sum(powers)) / 3
    assert contrastive_loss(combination).item() == pytest.approx(expected, abs=1e-5)


def test_balance_and_contrast_reach_the_prompts_that_nobody_chose():
    for loss in (combination_balance_loss, contrastive_loss):
        pool, combination = pool_and_combination(batch=1)
        loss(combination).backward()
        assert (pool.prompt_keys.grad.abs().sum(dim=1) > 0).all()


def test_losses_are_wide_for_narrow_inputs():
    pool, combination = pool_and_combination()
    narrow = combination._replace(
        **{name: getattr(combination, name).bfloat16() for name in ("cosines", "similarities", "prompt")}
    )
    losses = [alignment_loss(narrow.prompt, narrow.prompt), combination_balance_loss(narrow), contrastive_loss(narrow)]
    assert all(loss.dtype == torch.float32 for loss in (*losses, diversity_loss(pool.bfloat16())))
