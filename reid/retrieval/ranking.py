"""Rank the matches of each query among the gallery images that count for it.

Distances arrive as blocks of query rows, from features, from re-ranking or from a pair scorer.
Of each row only the ranks of the matches and a short list of nearest images are kept.
"""

import typing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from reid.compiled import over_rows
from reid.errors import EvaluationError
from reid.retrieval.distance import Metric, distance_blocks, normalise
from reid.retrieval.features import DoubleArray, IntArray
from reid.retrieval.labels import EXCLUSIONS, JUNK, Labels, SamePerson, match_counts
from reid.retrieval.rank_kernels import rank_rows

Ties = Literal["index", "favour", "against"]
Block = npt.NDArray[np.floating]
# how a match and another image at the same distance stand, as the kernel knows it
_TIES: dict[Ties, int] = {"favour": -1, "index": 0, "against": 1}


@dataclass(frozen=True)
class Ranking:
    """Where the matches of each query stand among the gallery images that count for it.

    Args:
        match_ranks: Ascending 1-based ranks of the matches, query after query.
        offsets: Start of each query in `match_ranks`, and the end of the last [Q + 1].
        top_indices: Nearest gallery images that count, nearest first, else -1 [Q, K].
        top_distances: Their distances, infinite where there is none [Q, K].
    """

    match_ranks: IntArray
    offsets: IntArray
    top_indices: IntArray
    top_distances: DoubleArray

    @property
    def match_counts(self) -> IntArray:
        """Number of matches of each query [Q]."""
        return np.diff(self.offsets)

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Whether each query has a match [Q]; the others are not scored."""
        valid: npt.NDArray[np.bool_] = self.match_counts > 0
        return valid

    def ranks_of(self, query: int) -> IntArray:
        """Return the ascending 1-based ranks of the matches of one query."""
        return self.match_ranks[self.offsets[query] : self.offsets[query + 1]]


def rank_matches(
    query_features: npt.NDArray[np.floating],
    gallery_features: npt.NDArray[np.floating],
    labels: Labels,
    metric: Metric = "squared_euclidean",
    normalised: bool = True,
    block_size: int = 512,
    ties: Ties = "index",
    top: int = 0,
) -> Ranking:
    """Rank by distances between features.

    Args:
        query_features: [Q, D].
        gallery_features: [G, D].
        labels: Persons, cameras and the exclusion rule.
        metric: See `distance_blocks`.
        normalised: Whether rows are scaled to length 1 first.
        block_size: Queries per block.
        ties: See `rank_blocks`.
        top: See `rank_blocks`.

    Raises:
        EvaluationError: Features are not finite or do not fit the labels.
    """
    if normalised:
        query_features, gallery_features = normalise(query_features), normalise(gallery_features)
    blocks = distance_blocks(query_features, gallery_features, metric, block_size)
    return rank_blocks(blocks, labels, ties, top)


def rank_blocks(
    blocks: Iterable[npt.NDArray[np.floating]],
    labels: Labels,
    ties: Ties = "index",
    top: int = 0,
    tie_margin: float = 0.0,
) -> Ranking:
    """Rank by distances that arrive as consecutive blocks of query rows.

    Args:
        blocks: [b, G] each, Q rows together, any float type.
        labels: Persons, cameras and the exclusion rule.
        ties: Equal distances stand in order of gallery `index` (canonical), or in the order that
            is best for the score (`favour`) or worst for it (`against`).
        top: Length of the list of nearest images that is kept per query.
        tie_margin: With `favour` and `against`, distances up to this far apart count as equal.

    Raises:
        EvaluationError: A block does not fit the labels or holds NaN or infinity.
    """
    ranker = Ranker(labels, ties, top, tie_margin)
    for row, block in numbered(blocks, labels):
        ranker.add(row, block)
    return ranker.ranking


class BlockWatcher(typing.Protocol):
    """What looks at each block of distances as it passes, so that several can share one pass."""

    def add(self, first_query: int, block: Block) -> None:
        """Look at a block [b, G] whose first row belongs to query `first_query`."""
        ...


class Ranker:
    """Ranks blocks as they come (see `rank_blocks`).

    Args:
        labels: Persons, cameras and the exclusion rule.
        ties: See `rank_blocks`.
        top: See `rank_blocks`.
        tie_margin: See `rank_blocks`.
    """

    def __init__(
        self, labels: Labels, ties: Ties = "index", top: int = 0, tie_margin: float = 0.0
    ) -> None:
        queries = len(labels.query_person_ids)
        same = SamePerson.of(labels)
        offsets = np.concatenate([[0], np.cumsum(match_counts(labels))]).astype(np.int64)
        cameras = labels.query_camera_ids, labels.gallery_camera_ids
        junk = np.flatnonzero(labels.gallery_person_ids == JUNK)
        groups = (same.order, same.first, same.last, junk)
        exclusion = EXCLUSIONS[labels.exclusion]
        self._constants = (_TIES[ties], tie_margin, *groups, *cameras, exclusion)
        self.ranking = Ranking(
            match_ranks=np.zeros(offsets[-1], np.int64),
            offsets=offsets,
            top_indices=np.full((queries, top), -1, np.int64),
            top_distances=np.full((queries, top), np.inf),
        )

    def add(self, first_query: int, block: Block) -> None:
        """Rank a block [b, G] (see `numbered`) whose first row belongs to query `first_query`.

        Raises:
            EvaluationError: It holds NaN or infinity.
        """
        found = self.ranking
        faults = np.zeros(len(block), np.bool_)
        kept = (found.offsets, found.match_ranks, found.top_indices, found.top_distances)
        over_rows(rank_rows, len(block), block, first_query, *self._constants, *kept, faults)
        refuse(faults, first_query, "NaN or infinity")


def refuse(faults: npt.NDArray[np.bool_], first_query: int, what: str) -> None:
    """Raise `EvaluationError` if any row of a block holds what is no distance.

    Args:
        faults: Whether each row does [b].
        first_query: Number of the query in the first row.
        what: What it holds.
    """
    if faults.any():
        raise EvaluationError(
            f"distances of query {first_query + int(faults.argmax())} hold {what}",
            "finite numbers",
            "Check the features or the pair scorer.",
        )


def numbered(
    blocks: Iterable[npt.NDArray[np.floating]], labels: Labels
) -> Iterable[tuple[int, npt.NDArray[np.floating]]]:
    """Yield each block with the number of its first query, and check all sizes.

    Raises:
        EvaluationError: Together the blocks are not [Q, G].
    """
    queries, gallery = len(labels.query_person_ids), len(labels.gallery_person_ids)
    row = 0
    for block in blocks:
        if block.ndim != 2 or block.shape[1] != gallery or row + len(block) > queries:
            raise EvaluationError(
                f"a distance block of shape {block.shape} after {row} queries",
                f"rows of {queries} queries against {gallery} gallery images",
                "Pass labels and distances of the same images.",
            )
        # half precision has no fast comparison, and float64 would tie when shortened
        exact = np.float64 if block.dtype == np.float64 else np.float32
        yield row, np.ascontiguousarray(block, dtype=exact)
        row += len(block)
    if row != queries:
        raise EvaluationError(
            f"distances of {row} queries",
            f"{queries}",
            "Pass labels and distances of the same images.",
        )
