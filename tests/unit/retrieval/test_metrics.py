import numpy as np
import pytest

from reid.errors import EvaluationError
from reid.retrieval.metrics import (
    average_precision,
    cumulative_matching,
    first_match_rank,
    inverse_negative_penalty,
    mean_of_valid,
    trapezoid_average_precision,
)
from reid.retrieval.ranking import Ranking


def ranking_of(*ranks: list[int]) -> Ranking:
    offsets = np.cumsum([0, *map(len, ranks)])
    none = np.empty((len(ranks), 0))
    return Ranking(
        np.array([rank for row in ranks for rank in row], np.int64),
        offsets,
        none.astype(np.int64),
        none,
    )


HAND_MADE = ranking_of([1, 3, 6], [], [2], [4, 5])


def test_average_precision_is_the_mean_of_precisions_at_matches() -> None:
    expected = [(1 / 1 + 2 / 3 + 3 / 6) / 3, np.nan, 1 / 2, (1 / 4 + 2 / 5) / 2]
    np.testing.assert_allclose(average_precision(HAND_MADE), expected, rtol=1e-15)


def test_trapezoid_averages_with_the_precision_just_before() -> None:
    expected = [
        ((1 + 1) / 2 + (1 / 2 + 2 / 3) / 2 + (2 / 5 + 3 / 6) / 2) / 3,
        0.0,
        (0 / 1 + 1 / 2) / 2,
        ((0 / 3 + 1 / 4) / 2 + (1 / 4 + 2 / 5) / 2) / 2,
    ]
    np.testing.assert_allclose(trapezoid_average_precision(HAND_MADE), expected, rtol=1e-15)


def test_inverse_negative_penalty_looks_at_the_last_match() -> None:
    expected = [3 / 6, np.nan, 1 / 1 / 2, 2 / 5]
    np.testing.assert_allclose(inverse_negative_penalty(HAND_MADE), expected, rtol=1e-15)


def test_cumulative_matching_counts_valid_queries_and_keeps_its_last_value() -> None:
    curve = cumulative_matching(first_match_rank(HAND_MADE), 7)
    np.testing.assert_allclose(curve, [1 / 3, 2 / 3, 2 / 3, 1, 1, 1, 1], rtol=1e-15)


def test_mean_leaves_invalid_queries_out() -> None:
    assert mean_of_valid(np.array([0.5, np.nan, 1.0])) == 0.75


def test_no_valid_query() -> None:
    nothing = first_match_rank(ranking_of([], []))
    with pytest.raises(EvaluationError, match="none of 2 queries has a match that counts"):
        cumulative_matching(nothing)
    with pytest.raises(EvaluationError, match="use the protocol no_camera"):
        mean_of_valid(nothing)
