"""Verification: is this pair the same person? Counts of all pairs by distance.

A genuine pair is the positive class and its score is minus the distance. Pairs that the protocol
leaves out of the ranking (junk, and what the exclusion rule says) are left out here too.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reid.compiled import compiled, over_rows
from reid.errors import EvaluationError
from reid.retrieval.features import DoubleArray, IntArray
from reid.retrieval.labels import EXCLUSIONS, Labels, SamePerson, excluded, match_counts
from reid.retrieval.pair_histogram import ImpostorCounter
from reid.retrieval.ranking import Block, numbered, refuse
from reid.retrieval.roc import Roc

# distances of rows of length 1 may round to slightly more than 4
_ROUNDING = 1 + 1e-6


@dataclass(frozen=True, eq=False)
class PairStatistics:
    """How the distances of all pairs lie.

    Bin b holds distances from `edges[b]` up to, not including, `edges[b + 1]`; the first bin also
    holds what is below it, and the last one what is at or above its end.

    Args:
        roc: Counts at each genuine distance.
        edges: Equally spaced, from 0 to the smallest power of two that no distance exceeds, hence
            to 4 for squared distances between rows of length 1; mirrored where distances are
            negative. So the histograms of most runs have equal edges [B + 1].
        genuine_counts: [B].
        impostor_counts: [B].
    """

    roc: Roc
    edges: DoubleArray
    genuine_counts: IntArray
    impostor_counts: IntArray

    def record(self, points: int = 200) -> dict[str, Any]:
        """Return figures, numbers of pairs, `points` points of the curve and histograms as JSON."""
        false_rate, true_rate = self.roc.points(points)
        return {
            "figures": self.roc.figures(),
            "genuine_pairs": int(self.roc.genuine.sum()),
            "impostor_pairs": self.roc.impostors,
            "false_positive_rate": false_rate.tolist(),
            "true_positive_rate": true_rate.tolist(),
            "edges": self.edges.tolist(),
            "genuine_counts": self.genuine_counts.tolist(),
            "impostor_counts": self.impostor_counts.tolist(),
        }


class GenuinePairs:
    """Collects the distances of genuine pairs as blocks pass (a `BlockWatcher`).

    Args:
        labels: Persons, cameras and the exclusion rule.
    """

    def __init__(self, labels: Labels) -> None:
        same = SamePerson.of(labels)
        offsets = np.concatenate([[0], np.cumsum(match_counts(labels))]).astype(np.int64)
        cameras = (labels.query_camera_ids, labels.gallery_camera_ids)
        rule = EXCLUSIONS[labels.exclusion]
        self._labels = labels
        self._constants = (same.order, same.first, same.last, *cameras, rule, offsets)
        self._distances = np.zeros(offsets[-1])
        self._lowest, self._highest = 0.0, 0.0

    def add(self, first_query: int, block: Block) -> None:
        """Look at a block [b, G] whose first row belongs to query `first_query`.

        Raises:
            EvaluationError: It holds NaN.
        """
        over_rows(_gather, len(block), block, first_query, *self._constants, self._distances)
        lowest, highest = _ranges(block, first_query)
        self._lowest, self._highest = min(self._lowest, lowest), max(self._highest, highest)

    def statistics(self, blocks: Iterable[Block], bins: int = 200) -> PairStatistics:
        """Count the impostor pairs in a second pass over the same distances.

        Args:
            blocks: [b, G] each, Q rows together.
            bins: Number of equal steps of the histograms.

        Raises:
            EvaluationError: No genuine or no impostor pair, blocks that do not fit the labels, or
                no bin.
        """
        edges = self._edges(bins)
        thresholds, genuine = np.unique(self._distances, return_counts=True)
        # edges are counted at like genuine distances, so that one pass gives both
        knots = np.union1d(thresholds, edges[1:-1])
        counter = ImpostorCounter(self._labels, knots)
        for row, block in numbered(blocks, self._labels):
            counter.add(row, block)
        total = counter.total
        if not len(thresholds) or not total:
            raise EvaluationError(
                f"{genuine.sum()} genuine and {total} impostor pairs",
                "at least one of each",
                "Check person and camera ids.",
            )
        below = counter.below
        places = np.searchsorted(knots, thresholds)
        genuine = genuine.astype(np.int64)
        roc = Roc(thresholds, genuine, below[places], counter.equal[places], total)
        nearer = np.concatenate([[0], np.cumsum(genuine)])[np.searchsorted(thresholds, edges[1:-1])]
        impostors_nearer = below[np.searchsorted(knots, edges[1:-1])]
        return PairStatistics(
            roc,
            edges,
            np.diff(nearer, prepend=0, append=genuine.sum()),
            np.diff(impostors_nearer, prepend=0, append=total),
        )

    def _edges(self, bins: int) -> DoubleArray:
        if bins < 1:
            raise EvaluationError(f"histograms of {bins} bins", "at least 1", "Raise bins.")
        low, high = -_power_of_two(-self._lowest), _power_of_two(self._highest)
        return np.linspace(low, high if high > low else 1.0, bins + 1)


def verify(make_blocks: Callable[[], Iterable[npt.NDArray[np.floating]]], labels: Labels) -> Roc:
    """Count genuine and impostor pairs by distance, in two passes over the blocks.

    Args:
        make_blocks: Starts a fresh pass over the distance blocks [b, G], Q rows together.
        labels: Persons, cameras and the exclusion rule.

    Raises:
        EvaluationError: No genuine or no impostor pair, blocks that do not fit the labels, or NaN.
    """
    pairs = GenuinePairs(labels)
    for row, block in numbered(make_blocks(), labels):
        pairs.add(row, block)
    return pairs.statistics(make_blocks()).roc


def _power_of_two(distance: float) -> float:
    """Return the smallest power of two that is at least `distance` up to rounding, 0 for 0."""
    if distance <= 0:
        return 0.0
    return math.ldexp(1.0, math.ceil(math.log2(distance / _ROUNDING)))


def _ranges(block: Block, first_query: int) -> tuple[float, float]:
    """Return the smallest and the largest finite distance of a block."""
    lowest, highest = np.empty(len(block), block.dtype), np.empty(len(block), block.dtype)
    over_rows(_extremes, len(block), block, lowest, highest)
    refuse(np.isnan(lowest), first_query, "NaN")
    if np.isinf(lowest).any() or np.isinf(highest).any():
        finite = block[np.isfinite(block)]
        return float(finite.min(initial=0.0)), float(finite.max(initial=0.0))
    return float(lowest.min(initial=0.0)), float(highest.max(initial=0.0))


def _extremes(start: int, stop: int, block: Block, lowest: Block, highest: Block) -> None:
    """Fill the smallest and the largest value of rows `start` to `stop`; NaN where there is one."""
    block[start:stop].min(axis=1, initial=np.inf, out=lowest[start:stop])
    block[start:stop].max(axis=1, initial=-np.inf, out=highest[start:stop])


@compiled
def _gather(
    start: int,
    stop: int,
    block: Block,
    first_query: int,
    order: IntArray,
    first: IntArray,
    last: IntArray,
    query_cameras: IntArray,
    gallery_cameras: IntArray,
    exclusion: int,
    offsets: IntArray,
    distances: DoubleArray,
) -> None:
    """Fill the distances of genuine pairs of rows `start` to `stop` of a block."""
    for row in range(start, stop):
        query = first_query + row
        slot = offsets[query]
        for place in range(first[query], last[query]):
            item = order[place]
            if not excluded(exclusion, True, gallery_cameras[item] == query_cameras[query]):
                distances[slot] = block[row, item]
                slot += 1
