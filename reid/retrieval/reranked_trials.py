"""Distances that depend on which images a trial shows: re-ranking and query expansion."""

from collections.abc import Callable, Iterator

import numpy as np

from reid.retrieval.expansion import ExpansionParams, expanded_space
from reid.retrieval.features import FloatArray, IntArray
from reid.retrieval.reranking import Reranker, RerankParams
from reid.retrieval.scoring import Source
from reid.retrieval.space import Space


class TrialSources:
    """Distances among the queries and the gallery of each trial alone.

    An image that a trial did not draw must not help it as a neighbour.

    Args:
        space: All rows of the test set.
        make: Makes the source of a trial from its images and from which of them are queries [n].
        sides_matter: Whether trials of the same images, of which others are queries, need a source
            each.
    """

    def __init__(
        self, space: Space, make: Callable[[Space, IntArray], Source], sides_matter: bool
    ) -> None:
        self._space = space
        self._make = make
        self._sides_matter = sides_matter
        self._known: tuple[IntArray, IntArray] | None = None
        self._source: Source | None = None

    def blocks(
        self, query_rows: IntArray, gallery_rows: IntArray, block_size: int
    ) -> Iterator[FloatArray]:
        """Yield distances [b, G], b <= block_size, in the order of the queries."""
        rows, queries = np.union1d(query_rows, gallery_rows), np.unique(query_rows)
        if self._source is None or not self._is_known(rows, queries):
            self._known, self._source = (rows, queries), None  # let go of the last trial first
            self._source = self._make(self._space.subset(rows), np.searchsorted(rows, queries))
        mine, theirs = np.searchsorted(rows, query_rows), np.searchsorted(rows, gallery_rows)
        return self._source.blocks(mine, theirs, block_size)

    def _is_known(self, rows: IntArray, queries: IntArray) -> bool:
        if self._known is None or not np.array_equal(rows, self._known[0]):
            return False
        return not self._sides_matter or np.array_equal(queries, self._known[1])


def reranked_trials(space: Space, params: RerankParams, keep: bool = False) -> TrialSources:
    """Return re-ranked distances (see `Reranker`); distances are kept where queries come first."""

    def make(trial: Space, queries: IntArray) -> Source:
        if np.array_equal(queries, np.arange(len(queries))):
            return Reranker(trial, params, queries=len(queries), keep=keep)
        return Reranker(trial, params)

    return TrialSources(space, make, sides_matter=False)


def expanded_trials(space: Space, params: ExpansionParams) -> TrialSources:
    """Return distances between expanded features."""

    def make(trial: Space, queries: IntArray) -> Source:
        return expanded_space(trial, queries, params)

    return TrialSources(space, make, sides_matter=True)
