"""Is the difference of two runs on the same queries more than luck? A paired bootstrap."""

from dataclasses import dataclass

import numpy as np

from reid.errors import EvaluationError
from reid.retrieval.distance import DoubleArray

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
    if not len(gaps) or draws < 1:
        raise EvaluationError(
            f"{len(gaps)} valid queries and {draws} draws", "at least one of each", "Raise them."
        )
    generator = np.random.default_rng(seed)
    means = np.empty(draws)
    for start in range(0, draws, _CHUNK):
        rows = len(means[start : start + _CHUNK])
        means[start : start + rows] = gaps[
            generator.integers(0, len(gaps), (rows, len(gaps)))
        ].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    share = min(1.0, 2 * min(float(np.mean(means <= 0)), float(np.mean(means >= 0))))
    return Comparison(float(gaps.mean()), float(low), float(high), share)
