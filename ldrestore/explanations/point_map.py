"""Vectors of several classes as points in the plane, by t-SNE, and how well the classes lie apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ldrestore.errors import MissingExtraError, ShapeError

MIN_POINTS = 4
"""Fewer make no map."""

MAX_PERPLEXITY = 30.0
"""How many neighbours a point has, about; the default of van der Maaten and Hinton 2008, less for few points."""

MAX_EXACT_POINTS = 2000
"""More are laid out by the approximation of Barnes and Hut, van der Maaten 2014, in n log n and not n² time."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PointMap:
    """Vectors of classes, laid out."""

    labels: tuple[str, ...]
    """The class of each of P vectors."""
    points: np.ndarray
    """(P, 2), by t-SNE; distances mean little, neighbours do."""
    silhouette: float | None
    """See `silhouette_of`; of the vectors, not of the points."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The different classes, in the order of their first vectors."""
        return tuple(dict.fromkeys(self.labels))


def map_points(vectors: np.ndarray, labels: Sequence[str]) -> PointMap:
    """Lay vectors out.

    Args:
        vectors: (P, D), at least `MIN_POINTS`.
        labels: P, their classes.

    Raises:
        ShapeError: too few vectors, or another number of labels.
        MissingExtraError: scikit-learn is not installed.
    """
    if vectors.ndim != 2 or len(vectors) < MIN_POINTS or len(vectors) != len(labels):
        raise ShapeError(
            f"a map needs vectors (P, D), at least {MIN_POINTS}, and a label for each, got {vectors.shape} and "
            f"{len(labels)} labels"
        )
    return PointMap(
        labels=tuple(labels), points=flattened(vectors), silhouette=silhouette_of(vectors, np.array(labels))
    )


def check_mapping(purpose: str = "to lay instructions out by t-SNE") -> None:
    """Tell before long work that scikit-learn is missing.

    Args:
        purpose: What it is needed for, for the message.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import sklearn.manifold  # noqa: F401
    except ImportError:
        raise MissingExtraError("scikit-learn", "explain", purpose) from None


def flattened(vectors: np.ndarray) -> np.ndarray:
    """t-SNE, van der Maaten and Hinton 2008: (P, D) to (P, 2), the same in every run.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    check_mapping()
    from sklearn.manifold import TSNE

    perplexity = min(MAX_PERPLEXITY, (len(vectors) - 1) / 3)
    method = "exact" if len(vectors) <= MAX_EXACT_POINTS else "barnes_hut"
    tsne = TSNE(perplexity=perplexity, init="pca", method=method, random_state=0)
    return np.asarray(tsne.fit_transform(vectors))


def silhouette_of(vectors: np.ndarray, labels: np.ndarray) -> float | None:
    """How well classes are apart, Rousseeuw 1987: -1 to 1, by cosine.

    Args:
        vectors: (P, D).
        labels: (P,), their classes.

    Returns:
        The mean over the vectors; None where fewer than two classes, or a vector a class, leave nothing to compare.
    """
    from sklearn.metrics import silhouette_score

    if not 2 <= len(set(labels)) < len(vectors):
        return None
    return float(silhouette_score(vectors, labels, metric="cosine"))
