import sys

import numpy as np
import pytest

from ldrestore.errors import MissingExtraError, ShapeError
from ldrestore.explanations.point_map import check_mapping, flattened, map_points, silhouette_of


def clusters(num_points, dim=6, seed=0):
    centres = np.eye(dim, dtype=np.float32)[:3] * 10
    noise = np.random.default_rng(seed).normal(size=(3, num_points, dim)).astype(np.float32)
    labels = [name for name in "abc" for _ in range(num_points)]
    return (centres[:, None] + 0.1 * noise).reshape(-1, dim), labels


def test_classes_that_lie_apart_stay_apart():
    vectors, labels = clusters(5)
    found = map_points(vectors, labels)
    assert found.points.shape == (15, 2) and found.classes == ("a", "b", "c")
    assert found.silhouette > 0.9
    assert silhouette_of(found.points - found.points.mean(axis=0), np.array(labels)) > 0.5
    assert np.array_equal(found.points, map_points(vectors, labels).points)


def test_where_there_is_nothing_to_compare_there_is_no_silhouette():
    vectors, _ = clusters(2)
    assert map_points(vectors, ["a"] * 6).silhouette is None
    assert map_points(vectors, list("abcdef")).silhouette is None


def test_many_points_are_laid_out_by_the_approximation(monkeypatch):
    monkeypatch.setattr("ldrestore.explanations.point_map.MAX_EXACT_POINTS", 10)
    vectors, _ = clusters(5)
    assert np.isfinite(flattened(vectors)).all()


def test_too_few_points_and_labels_that_do_not_fit_are_refused():
    vectors, labels = clusters(1)
    with pytest.raises(ShapeError, match="at least 4"):
        map_points(vectors, labels)
    vectors, labels = clusters(2)
    with pytest.raises(ShapeError, match="5 labels"):
        map_points(vectors, labels[:5])


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(MissingExtraError, match=r"scikit-learn is needed to look; .*'ldrestore\[explain\]'"):
        check_mapping("to look")
