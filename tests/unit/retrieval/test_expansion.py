import numpy as np
import pytest

from reid.errors import EvaluationError
from reid.retrieval.distance import normalise
from reid.retrieval.expansion import expand

FEATURES = np.random.default_rng(2).normal(size=(40, 8)).astype(np.float32)
QUERY, GALLERY = FEATURES[:10], FEATURES[10:]


def naive(features: np.ndarray, count: int, alpha: float) -> np.ndarray:
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    similarity = np.maximum(unit @ unit.T, 0)
    means = []
    for row in similarity:
        nearest = np.argsort(-row, kind="stable")[:count]
        means.append((features[nearest] * row[nearest, None] ** alpha).mean(axis=0))
    return np.stack(means)


@pytest.mark.parametrize(
    ("count", "alpha", "times"), [(1, 3, 1), (5, 3, 1), (4, 0, 1), (3, 1.5, 3)]
)
def test_equals_a_loop_over_images(count: int, alpha: float, times: int) -> None:
    expected = FEATURES.astype(np.float64)
    for _ in range(times):
        expected = naive(expected, count, alpha)
    made = np.concatenate(expand(QUERY, GALLERY, count, alpha, times))
    np.testing.assert_allclose(made, normalise(expected), atol=1e-5)


def test_queries_alone() -> None:
    both = expand(QUERY, GALLERY, 4)
    query, gallery = expand(QUERY, GALLERY, 4, gallery_too=False)
    np.testing.assert_array_equal(query, both[0])
    np.testing.assert_array_equal(gallery, normalise(GALLERY))


def test_opposite_features_count_nothing_instead_of_giving_nan() -> None:
    query, _ = expand(np.float32([[1, 0]]), np.float32([[-1, 0]]), 2, alpha=0.5)
    np.testing.assert_allclose(query, [[1, 0]])


@pytest.mark.parametrize("wrong", [{"count": 0}, {"times": 0}, {"alpha": -1}])
def test_parameters_are_checked(wrong: dict) -> None:
    with pytest.raises(EvaluationError, match="expected at least 1 neighbour"):
        expand(QUERY, GALLERY, **{"count": 3, **wrong})
