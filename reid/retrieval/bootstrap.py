"""How much of a mean over queries is luck? Bootstrap of one run, and of several on one set."""

from dataclasses import dataclass

import numpy as np

from reid.errors import EvaluationError
from reid.retrieval.features import DoubleArray

# draws whose query numbers are held at once
_CHUNK = 64
_LEAST_DRAWS = 2000
# the least p-value, 2 / (draws + 1), is then below 0.05 / pairs
_DRAWS_PER_PAIR = 100


@dataclass(frozen=True)
class Comparison:
    """Difference of two mean average precisions, first minus second.

    Args:
        difference: On the queries as they are.
        low: 2.5 % quantile over the draws.
        high: 97.5 % quantile over the draws.
        share: Twice the smaller share of draws on either side of zero, at most 1; small when the
            sign of the difference holds in nearly all draws.
    """

    difference: float
    low: float
    high: float
    share: float

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Interval:
    """A mean over valid queries.

    Args:
        mean: On the queries as they are.
        low: 2.5 % quantile over the draws.
        high: 97.5 % quantile over the draws.
    """

    mean: float
    low: float
    high: float


def interval(values: DoubleArray, seed: int, draws: int = 1000) -> Interval:
    """Return the mean of per-query values and how far other queries of this kind may move it.

    Args:
        values: Average precision, or any other score of each query, NaN where invalid [Q].
        seed: Seed of the draws.
        draws: Number of draws.

    Raises:
        EvaluationError: No valid query or no draw.
    """
    valid = values[~np.isnan(values)]
    low, high = np.quantile(_drawn_means(valid, seed, draws), [0.025, 0.975])
    return Interval(float(valid.mean()), float(low), float(high))


def paired_bootstrap(
    first: DoubleArray, second: DoubleArray, seed: int, draws: int = 2000
) -> Comparison:
    """Compare per-query average precisions of two runs by drawing queries with replacement.

    Args:
        first: Average precision per query, NaN where invalid [Q].
        second: The same queries in the same order [Q].
        seed: Seed of the draws.
        draws: Number of draws.

    Raises:
        EvaluationError: The two do not score the same queries, or none.
    """
    if first.shape != second.shape or not np.array_equal(np.isnan(first), np.isnan(second)):
        raise EvaluationError(
            f"{np.sum(~np.isnan(first))} and {np.sum(~np.isnan(second))} valid queries "
            f"of {len(first)} and {len(second)}",
            "the same queries in both runs",
            "Compare runs of one test set and protocol.",
        )
    gaps = (first - second)[~np.isnan(first)]
    means = _drawn_means(gaps, seed, draws)
    low, high = np.quantile(means, [0.025, 0.975])
    share = min(1.0, 2 * min(float(np.mean(means <= 0)), float(np.mean(means >= 0))))
    return Comparison(float(gaps.mean()), float(low), float(high), share)


def pairwise_bootstrap(values: DoubleArray, seed: int) -> DoubleArray:
    """Compare each run with each other one on the same draws of queries.

    The number of draws grows with the number of pairs, so that a correction for many comparisons
    may still find differences.

    Args:
        values: Average precision of each run and query, NaN where invalid [R, Q].
        seed: Seed of the draws.

    Returns:
        Two-sided p-value of each pair: twice the share of draws in which the run with the lower
        mean is not behind, the queries as they are counted as one draw more; 1 on the diagonal
        [R, R].

    Raises:
        EvaluationError: The runs do not score the same queries, or none.
    """
    invalid = np.isnan(values)
    if not (invalid == invalid[:1]).all():
        raise EvaluationError(
            f"between {(~invalid).sum(axis=1).min()} and {(~invalid).sum(axis=1).max()} valid "
            f"queries of {values.shape[1]}",
            "the same queries in all runs",
            "Compare runs of one test set and protocol.",
        )
    runs = len(values)
    draws = max(_LEAST_DRAWS, _DRAWS_PER_PAIR * runs * (runs - 1) // 2)
    means = _drawn_means(values[:, ~invalid[0]], seed, draws)
    chances = np.ones((runs, runs))
    for first in range(runs):
        gaps = means[first] - means[first + 1 :]
        behind, ahead = (gaps <= 0).sum(axis=1), (gaps >= 0).sum(axis=1)
        chance = np.minimum(1, 2 * (np.minimum(behind, ahead) + 1) / (draws + 1))
        chances[first, first + 1 :] = chances[first + 1 :, first] = chance
    return chances


def _drawn_means(values: DoubleArray, seed: int, draws: int) -> DoubleArray:
    """Return the mean of `values` [..., V] over V queries drawn with replacement: [..., draws]."""
    queries = values.shape[-1]
    if not queries or draws < 1:
        raise EvaluationError(
            f"{queries} valid queries and {draws} draws", "at least one of each", "Raise them."
        )
    generator = np.random.default_rng(seed)
    means = np.empty((*values.shape[:-1], draws))
    for start in range(0, draws, _CHUNK):
        rows = min(_CHUNK, draws - start)
        chosen = generator.integers(0, queries, (rows, queries))
        means[..., start : start + rows] = values[..., chosen].mean(axis=-1)
    return means
