"""How much of a mean over queries is luck? Bootstrap of one run, and of two on the same queries."""

from dataclasses import dataclass

import numpy as np

from reid.errors import EvaluationError
from reid.retrieval.features import DoubleArray

# draws whose query numbers are held at once
_CHUNK = 64


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


def _drawn_means(values: DoubleArray, seed: int, draws: int) -> DoubleArray:
    """Return the mean of `values` [V] over as many queries drawn with replacement: [draws]."""
    if not len(values) or draws < 1:
        raise EvaluationError(
            f"{len(values)} valid queries and {draws} draws", "at least one of each", "Raise them."
        )
    generator = np.random.default_rng(seed)
    means = np.empty(draws)
    for start in range(0, draws, _CHUNK):
        rows = len(means[start : start + _CHUNK])
        chosen = generator.integers(0, len(values), (rows, len(values)))
        means[start : start + rows] = values[chosen].mean(axis=1)
    return means
