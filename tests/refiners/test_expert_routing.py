"""Routing to experts against a literal loop, picture by picture and patch by patch."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ldrestore.blocks.observation import observed
from ldrestore.blocks.routing import balance_loss
from ldrestore.refiners.daem import REACHES
from ldrestore.refiners.expert_routing import ExpertRouter, Reach, RoutedExperts, joined_patches, patches_of


def experts_of(*, top_k: int = 1, patch_size: int | None = None, num_blocks: int = 1) -> RoutedExperts:
    """Whose experts act, and whose router is decided."""
    torch.manual_seed(0)
    routed = RoutedExperts(4, reaches=REACHES, num_blocks=num_blocks, top_k=top_k, patch_size=patch_size)
    with torch.no_grad():
        for name, value in routed.named_parameters():
            if name.endswith(("beta", "gamma")):
                value.normal_(std=0.5)
        routed.router.gate.weight.normal_(std=8.0)
    return routed.eval()


def features(batch: int = 2, height: int = 12, width: int = 8) -> Tensor:
    return torch.randn(batch, 4, height, width, generator=torch.Generator().manual_seed(1))


def literal(routed: RoutedExperts, x: Tensor) -> Tensor:
    """One map (C, H, W), every patch with the positions around it, zeros beyond the border."""
    size, margin = routed.patch_size, routed.margin
    height, width = x.shape[1:]
    whole = x
    while whole.shape[1] % size:
        whole = torch.cat([whole, whole[:, -1:]], dim=1)
    while whole.shape[2] % size:
        whole = torch.cat([whole, whole[:, :, -1:]], dim=2)
    around = torch.zeros(4, whole.shape[1] + 2 * margin, whole.shape[2] + 2 * margin)
    around[:, margin : margin + whole.shape[1], margin : margin + whole.shape[2]] = whole
    result = torch.empty_like(whole)
    for top in range(0, whole.shape[1], size):
        for left in range(0, whole.shape[2], size):
            patch = whole[:, top : top + size, left : left + size]
            shares = (routed.router.gate.weight @ patch.mean(dim=(1, 2))).softmax(0)
            given = around[:, top : top + size + 2 * margin, left : left + size + 2 * margin]
            total = torch.zeros_like(patch)
            for expert in shares.argsort(descending=True)[: routed.top_k]:
                answer = routed.experts[expert](given[None])[0]
                total += shares[expert] * answer[:, margin : margin + size, margin : margin + size]
            result[:, top : top + size, left : left + size] = total
    return result[:, :height, :width]


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(12, 8), (11, 8), (9, 7), (4, 4), (3, 2)])
@pytest.mark.parametrize("top_k", [1, 3])
def test_patches_go_through_their_experts_with_what_lies_around_them(top_k, height, width) -> None:
    routed, x = experts_of(top_k=top_k, patch_size=4), features(height=height, width=width)
    found = routed(x)
    for index in range(len(x)):
        torch.testing.assert_close(found[index], literal(routed, x[index]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_several_blocks_widen_the_margin() -> None:
    assert experts_of(num_blocks=1).margin == 3 and experts_of(num_blocks=2).margin == 6
    assert [reach.radius for reach in (*REACHES, Reach(5, 2), Reach(1, 1))] == [1, 2, 3, 3, 4, 0]
    routed, x = experts_of(num_blocks=2, patch_size=4), features(batch=1)
    torch.testing.assert_close(routed(x)[0], literal(routed, x[0]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_the_share_of_an_expert_is_kept_and_not_made_to_sum_to_one(top_k) -> None:
    routed, x = experts_of(top_k=top_k), features()
    answers = torch.stack([expert(x) for expert in routed.experts])  # (E, B, C, H, W)
    shares = F.linear(x.mean(dim=(2, 3)), routed.router.gate.weight).softmax(dim=1)
    lowest = shares.topk(top_k, dim=1).values[:, -1:]
    weights = torch.where(shares >= lowest, shares, 0)
    if top_k < 4:
        assert (weights.sum(dim=1) < 1).all()
    expected = torch.einsum("be,ebchw->bchw", weights, answers)
    torch.testing.assert_close(routed(x), expected, rtol=1e-4, atol=1e-5)


def test_only_the_chosen_experts_learn_and_the_router_learns_from_the_picture() -> None:
    routed, x = experts_of(top_k=2), features(batch=1)
    with observed({"router": routed.router}) as outputs:
        routed(x).square().sum().backward()
    chosen = set(outputs["router"].probabilities[0].topk(2).indices.tolist())
    for index, expert in enumerate(routed.experts):
        has_learned = any(one.grad is not None and one.grad.any() for one in expert.parameters())
        assert has_learned == (index in chosen)
    assert routed.router.gate.weight.grad.abs().sum() > 0


def test_noise_of_a_training_step_has_the_deviation_of_one_part_in_so_many_experts() -> None:
    torch.manual_seed(0)
    router = ExpertRouter(3, num_experts=5).train()
    routing = router(torch.randn(4000, 3, 1, 1))
    drawn = routing.noisy_logits - routing.logits
    assert drawn.std().item() == pytest.approx(0.2, rel=0.03) and abs(drawn.mean().item()) < 0.01
    torch.testing.assert_close(routing.probabilities, routing.noisy_logits.softmax(dim=1))
    calm = router.eval()(torch.randn(7, 3, 2, 2))
    assert torch.equal(calm.noisy_logits, calm.logits)


@torch.no_grad()
def test_decisions_come_in_the_order_of_the_patches() -> None:
    router = ExpertRouter(1, num_experts=2)
    router.gate.weight.copy_(torch.tensor([[1.0], [0.0]]))
    x = torch.arange(12.0).view(1, 1, 3, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)
    x = torch.cat([x, 100 + x])
    routing = router(x, 2)
    assert routing.logits[:, 0].tolist() == [*range(12), *range(100, 112)]
    assert torch.equal(patches_of(x, size=2, margin=0).mean(dim=(1, 2, 3)), routing.logits[:, 0])
    assert router(x).logits[:, 0].tolist() == [5.5, 105.5]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_half_precision_decides_in_float32_and_answers_in_its_own_type(dtype) -> None:
    routed, x = experts_of(top_k=2, patch_size=4).to(dtype), features().to(dtype)
    with observed({"router": routed.router}) as outputs:
        found = routed(x)
    assert outputs["router"].probabilities.dtype == torch.float32
    torch.testing.assert_close(outputs["router"].probabilities.sum(dim=1), torch.ones(12))
    assert found.dtype == dtype and found.isfinite().all()


@pytest.mark.parametrize("margin", [0, 1, 3])
def test_squares_lie_where_they_were_cut(margin) -> None:
    x = torch.arange(2 * 6 * 9.0).view(1, 2, 6, 9)
    cut = patches_of(x, size=3, margin=margin)
    assert cut.shape == (6, 2, 3 + 2 * margin, 3 + 2 * margin)
    inner = cut[..., margin : margin + 3, margin : margin + 3]
    assert torch.equal(inner[4], x[0, :, 3:6, 3:6])
    assert torch.equal(joined_patches(inner, batch=1, grid=(2, 3)), x)
    if margin:
        assert not cut[0, :, :margin].any() and not cut[0, :, :, :margin].any()  # beyond the picture
        assert torch.equal(cut[4, :, margin : margin + 3, margin - 1], x[0, :, 3:6, 2])


def test_the_balance_is_the_mean_of_importance_and_load_written_out() -> None:
    routed, x = experts_of(top_k=2).train(), features(batch=6)
    with observed({"router": routed.router}) as outputs:
        routed(x)
    routing = outputs["router"]
    importance, load = torch.zeros(4), torch.zeros(4)
    normal = torch.distributions.Normal(0.0, 1 / 4)
    for row in range(6):
        importance += routing.logits[row].softmax(0).detach()
        second = routing.noisy_logits[row].sort(descending=True).values[1].detach()
        for expert in range(4):
            load[expert] += 1 - normal.cdf(second - routing.logits[row, expert].detach())
    variations = [(one.std(correction=0) / one.mean()) ** 2 for one in (importance, load)]
    found = balance_loss(routing, correction=0, top_k=2)
    assert found.item() == pytest.approx(float(sum(variations)) / 2, rel=1e-3)
