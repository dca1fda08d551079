"""The mixture of frequency experts and its loss, against the equations of MMFE-IR."""

import pytest
import torch
from torch.nn import functional as F

from ldrestore.regressors.frequency_experts import FrequencyExperts, guidance_matching


def experts(**options):
    torch.manual_seed(0)
    return FrequencyExperts(
        4, **{"num_heads": 2, "num_experts": 3, "band_channels": 9, "embedding_width": 5, **options}
    )


def test_the_mixture_is_the_weighted_sum_of_experts_one_by_one():
    block, features = experts(), torch.randn(2, 4, 6, 5)
    bands, answer = torch.randn(2, 9, 6, 5), torch.randn(2, 5)
    weights = block.weights_of(answer)
    torch.testing.assert_close(weights, 1 / (1 + torch.exp(-answer @ block.router.weight.T)))
    mixed = torch.zeros(2, 9, 6, 5)
    for expert in range(3):
        own = slice(4 * expert, 4 * expert + 4)
        hidden = F.gelu(F.conv2d(bands, block.experts_in.weight[own], padding=1))
        found = F.conv2d(hidden, block.experts_out.weight[:, own], padding=1)
        for picture in range(2):
            mixed[picture] += weights[picture, expert] * found[picture]
    expected = features + block.attn(features, block.projection(mixed))
    torch.testing.assert_close(block(features, bands, weights), expected)


def test_a_new_expert_is_as_strong_among_many_as_alone():
    alone, among = experts(num_experts=1), experts(num_experts=16)
    assert among.experts_out.weight.std().item() == pytest.approx(alone.experts_out.weight.std().item(), rel=0.1)


def test_a_silent_mixture_changes_nothing():
    block, features = experts(), torch.randn(1, 4, 6, 5)
    assert torch.equal(block(features, torch.randn(1, 9, 6, 5), torch.zeros(1, 3)), features)


def test_the_loss_is_equation_7_over_all_pairs():
    answer, weights = torch.randn(3, 5), torch.rand(3, 4)

    def cosine(left, right):
        return (left @ right) / (left.norm() * right.norm())

    places = [abs(cosine(answer[i], answer[j]) - cosine(weights[i], weights[j])) for i in range(3) for j in range(3)]
    torch.testing.assert_close(guidance_matching(answer, weights), torch.stack(places).sum() / 9)


def test_the_loss_of_one_picture_is_zero_and_so_is_that_of_pictures_nobody_spoke_of():
    assert guidance_matching(torch.randn(1, 5), torch.rand(1, 4)) == 0
    answer, weights = torch.randn(3, 5), torch.rand(3, 4)
    assert guidance_matching(torch.zeros(3, 5), weights) == 0
    answer[2] = 0
    torch.testing.assert_close(guidance_matching(answer, weights) * 9, guidance_matching(answer[:2], weights[:2]) * 4)


def test_the_loss_moves_the_router_and_not_the_guide_and_stays_in_float32():
    answer = torch.randn(3, 5, dtype=torch.bfloat16, requires_grad=True)
    weights = torch.rand(3, 4, dtype=torch.bfloat16, requires_grad=True)
    loss = guidance_matching(answer, weights)
    assert loss.dtype == torch.float32
    loss.backward()
    assert answer.grad is None
    assert weights.grad.abs().sum() > 0


def test_each_picture_has_its_own_experts_answer_and_bands() -> None:
    block, features, bands, answer = experts(), torch.randn(3, 4, 6, 5), torch.randn(3, 9, 6, 5), torch.randn(3, 5)
    together = block(features, bands, block.weights_of(answer))
    for index in range(3):
        one = slice(index, index + 1)
        alone = block(features[one], bands[one], block.weights_of(answer[one]))
        torch.testing.assert_close(together[one], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("num_experts", "band_channels", "width"), [(1, 9, 5), (8, 12, 7), (3, 3, 2)])
def test_an_expert_costs_two_convolutions_and_a_row_of_the_router(
    num_experts: int, band_channels: int, width: int
) -> None:
    sizes = {"band_channels": band_channels, "embedding_width": width}
    counts = [
        sum(parameter.numel() for parameter in experts(num_experts=number, **sizes).parameters())
        for number in (num_experts, num_experts + 1)
    ]
    assert counts[1] - counts[0] == 2 * 9 * band_channels * 4 + width


def test_the_loss_is_largest_where_the_router_says_the_opposite_of_the_guide() -> None:
    alike, opposite = torch.tensor([[1.0, 0.0], [2.0, 0.0]]), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert guidance_matching(alike, alike) == 0
    assert guidance_matching(alike, opposite).item() == pytest.approx((0 + 2 + 2 + 0) / 4)
    torch.testing.assert_close(guidance_matching(7 * alike, 0.1 * opposite), guidance_matching(alike, opposite))
