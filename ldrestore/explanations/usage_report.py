"""What a model uses over many pictures; for networks that route, the routing report."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ldrestore.errors import InputError
from ldrestore.explanations.fast_explanation import ExplainedModel, Usage


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UsageReport:
    """How strongly prompts or experts are used over P pictures."""

    model: ExplainedModel
    pictures: tuple[str, ...]
    """Names of the pictures, in order."""
    num_cut: int
    """How many of them were larger than what is looked at, so that their middle stood for them."""
    usage: Mapping[str, np.ndarray]
    """Name of the pool, block or place to (P, N), each in [0, 1]."""

    def mean(self) -> dict[str, np.ndarray]:
        """Name to (N,), the mean over the pictures."""
        return {name: rows.mean(axis=0) for name, rows in self.usage.items()}

    def shares(self) -> dict[str, np.ndarray]:
        """Block to (N,), the share of the pictures that each expert gets, which sum to 1; empty without a routing."""
        if not self.model.routes_to_one:
            return {}
        return {
            block: np.bincount(rows.argmax(axis=1), minlength=rows.shape[1]) / len(rows)
            for block, rows in self.usage.items()
        }


def report_usage(model: ExplainedModel, usages: Mapping[str, Usage], *, num_cut: int = 0) -> UsageReport:
    """Put together what was used for each picture.

    Args:
        model: The one model that all of them were shown to.
        usages: Name of the picture to what `usage_of` told.
        num_cut: See `UsageReport`.

    Raises:
        InputError: no picture, or a model that was built without prompts and experts.
    """
    if not usages:
        raise InputError("there is no picture to report on; name at least one")
    names = list(next(iter(usages.values())))
    if not names:
        raise InputError(f"this {model.architecture} was built without prompts and experts; there is nothing to report")
    usage = {name: np.array([used[name] for used in usages.values()]) for name in names}  # (P, N) each
    return UsageReport(model=model, pictures=tuple(usages), num_cut=num_cut, usage=usage)
