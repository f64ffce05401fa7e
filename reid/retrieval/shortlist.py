"""Distances of a pair scorer for the images that another model ranks first, for each query.

Scoring all pairs of a large test set takes hours. A model with vectors ranks all images in seconds,
and the pair scorer then puts the first of them into its own order.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from reid.errors import EvaluationError
from reid.retrieval.features import FloatArray, IntArray
from reid.retrieval.pair_scorer import PairScorer, score_distances
from reid.retrieval.pair_scoring import load_rows
from reid.retrieval.precision import Stored
from reid.retrieval.scoring import Source

# gallery images that are scored with a query at once
_SCORED = 32


class Shortlist:
    """The first images of each query by their scores, in [0, 1]; all others behind, from 2 on.

    The first are taken of the gallery that is asked for, images that do not count for the query
    included. The others keep the order of `base`, equal distances included. Pairs that were scored
    are remembered, so that trials with other galleries score only what is new.

    Args:
        base: Distances that choose the first images.
        scorer: Scores them.
        rows: What the scorer compares [M, F]; may be mapped from a file.
        numbers: Place in `rows` of each row of the test set [N].
        count: How many images of each query are scored.

    Raises:
        EvaluationError: `count` is below 1.
    """

    def __init__(
        self, base: Source, scorer: PairScorer, rows: Stored, numbers: IntArray, count: int
    ) -> None:
        if count < 1:
            raise EvaluationError(f"a shortlist of {count} images", "at least 1", "Raise it.")
        self._base = base
        self._scorer = scorer
        self._rows, self._numbers = rows, numbers
        self._count = count
        # of each query: gallery rows, ascending, and their scores
        self._known: dict[int, tuple[IntArray, FloatArray]] = {}

    def blocks(
        self, query_rows: IntArray, gallery_rows: IntArray, block_size: int
    ) -> Iterator[FloatArray]:
        """Yield distances [b, G], b <= block_size, in the order of the queries.

        Raises:
            EvaluationError: Rows do not fit the scorer or are not finite.
        """
        row = 0
        for block in self._base.blocks(query_rows, gallery_rows, block_size):
            distances = _behind(block)
            first = _nearest(block, self._count)
            for place, query in enumerate(query_rows[row : row + len(block)].tolist()):
                scores = self._scores(query, gallery_rows[first[place]])
                distances[place, first[place]] = score_distances(scores)
            yield distances
            row += len(block)

    def _scores(self, query: int, gallery: IntArray) -> FloatArray:
        """Return the scores of a query with some images."""
        nothing = np.empty(0, np.int64), np.empty(0, np.float32)
        known, scores = self._known.get(query, nothing)
        missing = np.setdiff1d(gallery, known)
        if len(missing):
            merged = np.concatenate([known, missing])
            order = np.argsort(merged)
            scores = np.concatenate([scores, self._scored(query, missing)])[order]
            known = merged[order]
            self._known[query] = known, scores
        found: FloatArray = scores[np.searchsorted(known, gallery)]
        return found

    def _scored(self, query: int, gallery: IntArray) -> FloatArray:
        mine = self._loaded(np.array([query]))
        parts = [gallery[start : start + _SCORED] for start in range(0, len(gallery), _SCORED)]
        return np.concatenate([self._scorer.scores(mine, self._loaded(part))[0] for part in parts])

    def _loaded(self, rows: IntArray) -> FloatArray:
        return load_rows(self._rows, self._numbers[rows], self._scorer.shape)


def _nearest(block: FloatArray, count: int) -> npt.NDArray[np.intp]:
    """Return the columns of the nearest images of each row, ties by index [b, count]."""
    count = min(count, block.shape[1])
    worst = np.partition(block, count - 1, axis=1)[:, count - 1 : count]
    nearer, equal = block < worst, block == worst
    room = count - nearer.sum(axis=1, keepdims=True)
    chosen = nearer | (equal & (np.cumsum(equal, axis=1) <= room))
    return np.nonzero(chosen)[1].reshape(len(block), count)


def _behind(block: FloatArray) -> FloatArray:
    """Return distances above 1 in the same order, equal where they are equal: 2, 3, ..."""
    order = np.argsort(block, axis=1)
    ranked = np.take_along_axis(block, order, axis=1)
    steps = np.cumsum(np.diff(ranked, axis=1, prepend=ranked[:, :1]) > 0, axis=1)
    places = np.empty_like(block)
    np.put_along_axis(places, order, (steps + 2).astype(np.float32), axis=1)
    return places
