"""Losses of the degradation predictor; labels are rows of weights that sum to 1, so that mixtures have a place.

The paper trains with the focal loss (Ai et al. 2024, Sec. 3.2, https://arxiv.org/abs/2312.02918), the release with
cross-entropy. All losses are float32 scalars, the mean over the batch.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from ldrestore.errors import InputError, ShapeError


def soft_labels(present: Tensor) -> Tensor:
    """Labels of pictures with one or several degradations: each that is there has the same share.

    Args:
        present: (B, N), multi-hot: 0 where a degradation is not, 1 where it is; or weights, not negative.

    Returns:
        (B, N), float32; rows sum to 1.

    Raises:
        ShapeError: it is no matrix.
        InputError: a row has nothing, or a negative weight.
    """
    if present.ndim != 2:
        raise ShapeError(f"expected labels of shape (B, N), got {tuple(present.shape)}")
    weights = present.float()
    total = weights.sum(dim=1, keepdim=True)  # (B, 1)
    if (weights < 0).any() or (total == 0).any():
        raise InputError("each picture needs a degradation, and no weight may be negative; leave clean pictures out")
    return weights / total


def soft_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-sum_i y_i log p_i with p = softmax(logits).

    Args:
        logits: (B, N).
        labels: (B, N), y; rows sum to 1.

    Raises:
        ShapeError: the two differ in shape.
    """
    _check_shapes(logits, labels)
    return F.cross_entropy(logits.float(), labels.float())


def focal_loss(logits: Tensor, labels: Tensor, *, gamma: float = 2.0) -> Tensor:
    """-sum_i y_i (1 - p_i)^gamma log p_i, Eq. 4 of Lin et al. 2017 (https://arxiv.org/abs/1708.02002), for soft labels.

    With one degradation a picture this is the usual focal loss, without weights of classes; with gamma = 0 it is
    the cross-entropy.

    Args:
        logits: (B, N), p = softmax(logits).
        labels: (B, N), y; rows sum to 1.
        gamma: How much less a picture counts that is recognised already; at least 0.

    Raises:
        ShapeError: the two differ in shape.
        InputError: gamma is negative.
    """
    _check_shapes(logits, labels)
    if gamma < 0:
        raise InputError(f"gamma must be at least 0, got {gamma}")
    log_probabilities = logits.float().log_softmax(dim=-1)  # (B, N)
    # 1 - p by expm1: exact for p near 1 too, where 1 - exp(log p) would round to 0
    missing = -torch.expm1(log_probabilities)
    return -(labels.float() * missing.pow(gamma) * log_probabilities).sum(dim=-1).mean()


def _check_shapes(logits: Tensor, labels: Tensor) -> None:
    """Refuse labels of another shape.

    Raises:
        ShapeError: they are, or they are no matrix.
    """
    if logits.ndim != 2 or logits.shape != labels.shape:
        raise ShapeError(
            f"expected logits and labels of one shape (B, N), got {tuple(logits.shape)} and {tuple(labels.shape)}; "
            "make labels with soft_labels"
        )
