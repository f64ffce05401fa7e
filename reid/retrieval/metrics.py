"""Scores of a ranking: average precision, inverse negative penalty, cumulative matching.

All sums are float64. Per-query values are NaN for a query without a match; means are over the
others, and a test without any such query has no score at all.
"""

import numpy as np
import numpy.typing as npt

from reid.errors import EvaluationError
from reid.retrieval.features import DoubleArray
from reid.retrieval.ranking import Ranking


def average_precision(ranking: Ranking) -> DoubleArray:
    """Return the mean over matches j of j / rank_j, without interpolation: [Q]."""
    order = _match_numbers(ranking)
    return _mean_over_matches(ranking, order / ranking.match_ranks)


def trapezoid_average_precision(ranking: Ranking) -> DoubleArray:
    """Return the area under precision and recall by the trapezoid rule, 0 where invalid: [Q].

    This is the definition of the original Market-1501 scripts: the precision just before the
    match counts half, with 1 in front of the first image. Not comparable with
    `average_precision`.
    """
    order = _match_numbers(ranking)
    ranks = ranking.match_ranks
    before = np.ones(len(ranks))
    later = ranks > 1
    before[later] = (order[later] - 1) / (ranks[later] - 1)
    return np.nan_to_num(_mean_over_matches(ranking, (before + order / ranks) / 2), nan=0.0)


def inverse_negative_penalty(ranking: Ranking) -> DoubleArray:
    """Return the number of matches divided by the rank of the last one: [Q]."""
    penalty = np.full(len(ranking.valid), np.nan)
    last = ranking.match_ranks[ranking.offsets[1:][ranking.valid] - 1]
    penalty[ranking.valid] = ranking.match_counts[ranking.valid] / last
    return penalty


def first_match_rank(ranking: Ranking) -> DoubleArray:
    """Return the 1-based rank of the first match: [Q]."""
    first = np.full(len(ranking.valid), np.nan)
    first[ranking.valid] = ranking.match_ranks[ranking.offsets[:-1][ranking.valid]]
    return first


def cumulative_matching(first_ranks: DoubleArray, max_rank: int = 50) -> DoubleArray:
    """Return the share of valid queries whose first match stands at rank <= r, r = 1..max_rank.

    A gallery smaller than `max_rank` needs no special case: the curve keeps its last value.

    Args:
        first_ranks: Rank of the first match, NaN for an invalid query [Q].
        max_rank: Length of the curve.

    Raises:
        EvaluationError: No query is valid.
    """
    ranks = np.sort(first_ranks[~np.isnan(first_ranks)])
    if not len(ranks):
        raise _no_valid_query(len(first_ranks))
    reached = np.searchsorted(ranks, np.arange(1, max_rank + 1), side="right")
    return reached.astype(np.float64) / len(ranks)


def mean_of_valid(values: npt.NDArray[np.float64]) -> float:
    """Return the mean of per-query values over valid queries (mAP, mINP).

    Raises:
        EvaluationError: No query is valid.
    """
    valid = values[~np.isnan(values)]
    if not len(valid):
        raise _no_valid_query(len(values))
    return float(np.mean(valid))


def _no_valid_query(queries: int) -> EvaluationError:
    return EvaluationError(
        f"none of {queries} queries has a match that counts",
        "at least one",
        "Check person and camera ids, or use the protocol no_camera for single-camera data.",
    )


def _match_numbers(ranking: Ranking) -> DoubleArray:
    """Number the matches of each query 1, 2, ... in order of rank."""
    first = np.repeat(ranking.offsets[:-1], ranking.match_counts)
    return (np.arange(len(ranking.match_ranks)) - first + 1).astype(np.float64)


def _mean_over_matches(ranking: Ranking, values: DoubleArray) -> DoubleArray:
    counts = ranking.match_counts
    owners = np.repeat(np.arange(len(counts)), counts)
    sums = np.bincount(owners, weights=values, minlength=len(counts))
    means = np.full(len(counts), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
