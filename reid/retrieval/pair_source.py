"""Distances that follow from scores of pairs, as what ranks and re-ranks asks for them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reid.retrieval.distance import check_block_size
from reid.retrieval.features import DoubleArray, FloatArray, IntArray
from reid.retrieval.pair_scorer import score_distances
from reid.retrieval.scoring import Source
from reid.retrieval.tlift import Moments, TLiftParams, lifted

# of scores that become distances at once
_ROWS = 256


@dataclass(frozen=True, eq=False)
class ScoreSource:
    """Distances of queries to gallery images that were scored before.

    Args:
        scores: May be mapped from a file [Q, G].
        query_rows: Rows of the queries, ascending [Q].
        gallery_rows: Rows of the gallery images, ascending [G].
    """

    scores: FloatArray
    query_rows: IntArray
    gallery_rows: IntArray

    def blocks(
        self, query_rows: IntArray, gallery_rows: IntArray, block_size: int
    ) -> Iterator[FloatArray]:
        """Yield distances [b, G], b <= block_size, in the order of the queries."""
        check_block_size(block_size)
        mine = np.searchsorted(self.query_rows, query_rows)
        theirs = np.searchsorted(self.gallery_rows, gallery_rows)
        for start in range(0, len(mine), block_size):
            yield score_distances(self.scores[mine[start : start + block_size]][:, theirs])


def distance_matrix(scores: FloatArray) -> FloatArray:
    """Return the distances for all scores, a few rows at a time as they may lie in a file."""
    distances = np.empty(scores.shape, np.float32)
    for start in range(0, len(scores), _ROWS):
        part = slice(start, start + _ROWS)
        distances[part] = score_distances(scores[part])
    return distances


@dataclass(frozen=True, eq=False)
class LiftedSource:
    """Distances in [0, 1 + alpha] of temporal lifting: 1 + alpha - (weight + alpha) (1 - distance).

    The companions of a query may be any other queries, so that all distances are held at once: 12
    bytes for each pair of a query and a gallery image.

    Args:
        source: Of the distances before lifting, in [0, 1].
        camera_ids: Of all rows [N].
        seconds: Of all rows, on one clock [N].
        params: Of the lifting.
    """

    source: Source
    camera_ids: IntArray
    seconds: DoubleArray
    params: TLiftParams

    def blocks(
        self, query_rows: IntArray, gallery_rows: IntArray, block_size: int
    ) -> Iterator[FloatArray]:
        """Yield distances [b, G], b <= block_size, in the order of the queries."""
        alike = np.empty((len(query_rows), len(gallery_rows)), np.float32)
        done = 0
        for block in self.source.blocks(query_rows, gallery_rows, block_size):
            np.subtract(1, block, out=alike[done : done + len(block)])
            done += len(block)
        query, gallery = (
            Moments(self.camera_ids[rows], self.seconds[rows])
            for rows in (query_rows, gallery_rows)
        )
        raised = lifted(alike, query, gallery, self.params)
        for start in range(0, len(raised), block_size):
            distances = 1 + self.params.alpha - raised[start : start + block_size]
            yield distances.astype(np.float32)
