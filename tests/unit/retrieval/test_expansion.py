import numpy as np
import pytest

from reid.errors import ParamsError
from reid.retrieval.distance import normalise
from reid.retrieval.expansion import ExpansionParams, expand

FEATURES = np.random.default_rng(2).normal(size=(40, 8)).astype(np.float32)
QUERIES = np.arange(10)


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
    params = ExpansionParams(count, alpha, times, gallery_too=True)
    made = expand(FEATURES, QUERIES, params)
    np.testing.assert_allclose(made, normalise(expected), atol=1e-5)


def test_queries_alone() -> None:
    both = expand(FEATURES, QUERIES, ExpansionParams(4, gallery_too=True))
    alone = expand(FEATURES, QUERIES, ExpansionParams(4))
    np.testing.assert_array_equal(alone[:10], both[:10])
    np.testing.assert_array_equal(alone[10:], normalise(FEATURES[10:]))


def test_opposite_features_count_nothing_instead_of_giving_nan() -> None:
    made = expand(np.float32([[1, 0], [-1, 0]]), np.array([0]), ExpansionParams(2, alpha=0.5))
    np.testing.assert_allclose(made[0], [1, 0])


@pytest.mark.parametrize(
    ("params", "name"),
    [
        (ExpansionParams(), "alpha_qe_k10_3"),
        (ExpansionParams(5, 0.0, gallery_too=True), "aqe_dba_k5"),
        (ExpansionParams(5, 0.5, 2), "alpha_qe_k5_0.5_x2"),
    ],
)
def test_name_says_what_was_done(params: ExpansionParams, name: str) -> None:
    assert params.name == name


@pytest.mark.parametrize("wrong", [{"count": 0}, {"times": 0}, {"alpha": -1}])
def test_parameters_are_checked(wrong: dict) -> None:
    with pytest.raises(ParamsError, match="expected at least 1 neighbour"):
        ExpansionParams(**wrong)
