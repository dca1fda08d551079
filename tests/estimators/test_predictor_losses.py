import math

import pytest
import torch
from torch.nn import functional as F

from ldrestore.errors import InputError, ShapeError
from ldrestore.estimators.predictor_losses import focal_loss, soft_cross_entropy, soft_labels


def batch():
    torch.manual_seed(0)
    return torch.randn(3, 4), soft_labels(torch.tensor([[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 1, 1]]))


def test_degradations_of_a_mixture_have_the_same_share():
    _, labels = batch()
    third = 1 / 3
    expected = torch.tensor([[0, 1, 0, 0], [0.5, 0, 0.5, 0], [0, third, third, third]])
    torch.testing.assert_close(labels, expected)
    torch.testing.assert_close(soft_labels(torch.tensor([[3.0, 1.0]])), torch.tensor([[0.75, 0.25]]))


def test_the_focal_loss_is_the_sum_of_equation_4():
    logits, labels = batch()
    expected = 0
    for row, shares in zip(logits.tolist(), labels.tolist(), strict=True):
        total = sum(math.exp(value) for value in row)
        for value, share in zip(row, shares, strict=True):
            p = math.exp(value) / total
            expected -= share * (1 - p) ** 2 * math.log(p) / 3
    assert focal_loss(logits, labels).item() == pytest.approx(expected, rel=1e-5)


def test_without_focus_it_is_the_cross_entropy():
    logits, labels = batch()
    torch.testing.assert_close(focal_loss(logits, labels, gamma=0), soft_cross_entropy(logits, labels))
    hard = soft_labels(F.one_hot(torch.tensor([1, 0, 3]), 4))
    torch.testing.assert_close(soft_cross_entropy(logits, hard), F.cross_entropy(logits, torch.tensor([1, 0, 3])))


def test_what_is_recognised_counts_less():
    labels = torch.tensor([[1.0, 0.0]])
    sure, unsure = torch.tensor([[4.0, 0.0]]), torch.tensor([[0.5, 0.0]])
    shares = [focal_loss(logits, labels) / soft_cross_entropy(logits, labels) for logits in (sure, unsure)]
    assert shares[0] < 0.01 * shares[1]


@pytest.mark.parametrize("height", [0.0, 50.0, 1e4])
def test_gradients_are_finite_for_any_certainty(height):
    logits = torch.tensor([[height, 0.0, -height]], requires_grad=True)
    for column in range(3):
        labels = F.one_hot(torch.tensor([column]), 3).float()
        for loss in (focal_loss, soft_cross_entropy):
            (gradient,) = torch.autograd.grad(loss(logits, labels), logits)
            assert gradient.isfinite().all()


def test_losses_are_wide_for_narrow_logits():
    logits, labels = batch()
    assert focal_loss(logits.half(), labels.half()).dtype == torch.float32
    assert soft_cross_entropy(logits.bfloat16(), labels).dtype == torch.float32


def test_bad_labels_are_refused():
    with pytest.raises(ShapeError, match=r"one shape \(B, N\), got \(3, 4\) and \(3,\)"):
        focal_loss(torch.zeros(3, 4), torch.zeros(3))
    with pytest.raises(ShapeError, match="make labels with soft_labels"):
        soft_cross_entropy(torch.zeros(3, 4), torch.zeros(3, 5))
    with pytest.raises(ShapeError, match=r"shape \(B, N\), got \(3,\)"):
        soft_labels(torch.ones(3))
    with pytest.raises(InputError, match="leave clean pictures out"):
        soft_labels(torch.tensor([[1, 0], [0, 0]]))
    with pytest.raises(InputError, match="gamma must be at least 0, got -1"):
        focal_loss(*batch(), gamma=-1)
