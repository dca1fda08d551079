"""Losses that keep the prompt pools of DATPRL-IR in order, Dong et al. 2026 (https://arxiv.org/abs/2603.01725).

All are float32 scalars without weight, at least 0. Alignment is the paper's L_align, diversity that of the released
trainer. The released code computes neither balance nor contrast, only its configuration gives their weights: balance
follows the paper's words, that the entropy of the selection is maximised; the form of both is ours.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ldrestore.regressors.prompt_combination import Combination, PromptCombination

DIVERSITY_THRESHOLD = 0.1
"""Cosine up to which two prompts count as different, tau; the release calls it the temperature of the diversity."""

CONTRASTIVE_TEMPERATURE = 0.1
"""By which the cosines between query and keys are divided."""


def alignment_loss(representation: Tensor, text_features: Tensor) -> Tensor:
    """L_align = 1 - cos(PR_d, F_text), the mean over the batch.

    Args:
        representation: PR_d, (B, D).
        text_features: F_text, (B, D) or (1, D).
    """
    return 1 - F.cosine_similarity(representation.float(), text_features.float(), dim=-1).mean()


def diversity_loss(pool: PromptCombination) -> Tensor:
    """L_div: how far any two keys, and any two values, are more alike than tau; the mean of both.

    As released, the mean runs over all N^2 pairs, and a prompt with itself counts as zero.
    """
    return (_alikeness(pool.prompt_keys) + _alikeness(pool.prompt_values.flatten(1))) / 2


def combination_balance_loss(combination: Combination) -> Tensor:
    """L_bal: log N less the entropy of how the pool is used, 0 where a batch uses all prompts alike.

    The entropy is that of the mean over the batch of the softmax over all N prompts, before the nearest are taken, so
    that prompts nobody chooses are reached too.
    """
    usage = combination.similarities.float().softmax(dim=-1).mean(dim=0)  # (N,)
    return math.log(len(usage)) - torch.special.entr(usage).sum()


def contrastive_loss(combination: Combination) -> Tensor:
    """L_con: a query is drawn to the keys that it has chosen and pushed off the others, the mean over the batch.

    -log(sum over the chosen of exp(cos / t) / sum over all of exp(cos / t)); ours, see above.
    """
    logits = combination.cosines.float() / CONTRASTIVE_TEMPERATURE  # (B, N)
    chosen = logits.gather(1, combination.indices)  # (B, K)
    return (logits.logsumexp(dim=-1) - chosen.logsumexp(dim=-1)).mean()


def _alikeness(prompts: Tensor) -> Tensor:
    """Mean of max(cos - tau, 0) over all pairs of rows of (N, D), the diagonal left at zero."""
    directions = F.normalize(prompts.float(), dim=-1)
    excess = (directions @ directions.T - DIVERSITY_THRESHOLD).relu()  # (N, N)
    return (excess - excess.diag().diag()).mean()
