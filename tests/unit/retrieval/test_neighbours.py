import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid import compiled
from reid.errors import EvaluationError
from reid.retrieval import distance
from reid.retrieval.neighbours import nearest_neighbours


def naive(features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    gaps = features[:, None].astype(np.float64) - features[None]
    exact = (gaps**2).sum(axis=2).astype(np.float32)
    return np.argsort(exact, axis=1, kind="stable")[:, :count], exact


@given(
    st.integers(1, 70),
    st.integers(1, 30),
    st.integers(0, 99),
    st.sampled_from([1, 3]),
    st.integers(0, 70),
)
@settings(max_examples=40, deadline=None)
def test_lists_equal_a_full_sort(
    rows: int, count: int, seed: int, threads: int, queries: int
) -> None:
    features = np.random.default_rng(seed).normal(size=(rows, 6)).astype(np.float32)
    expected, exact = naive(features, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distance, "TILE", 16)
        patch.setattr(compiled, "thread_count", lambda: threads)
        found = nearest_neighbours(features, count, queries)
    np.testing.assert_array_equal(found.indices, expected)
    nearest = np.take_along_axis(exact, expected, axis=1)
    np.testing.assert_allclose(found.distances, nearest, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(found.row_maximum, exact.max(axis=1), rtol=1e-5, atol=1e-5)


def test_equal_features_stand_in_order_of_index() -> None:
    features = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)
    expected = [[0, 1, 2], [0, 1, 2], [0, 1, 2], [3, 4, 5], [3, 4, 5], [3, 4, 5]]
    assert nearest_neighbours(features, 3).indices.tolist() == expected


def test_near_ties_are_decided_in_double_precision() -> None:
    # in single precision both inner products round to the same number
    features = np.zeros((3, 2), np.float32)
    features[0] = [100, 0]
    features[1] = [100, np.float32(2e-3)]
    features[2] = [100, np.float32(1e-3)]
    assert nearest_neighbours(features, 3).indices[0].tolist() == [0, 2, 1]


def test_features_must_be_finite() -> None:
    with pytest.raises(EvaluationError, match="image features hold NaN or infinity in 1 of 2"):
        nearest_neighbours(np.array([[0.0], [np.inf]]), 1)
