"""Verification: is this pair the same person? Receiver operating characteristic over all pairs.

A genuine pair is the positive class and its score is minus the distance. Pairs that the protocol
leaves out of the ranking (junk, same person in the same camera) are left out here too.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reid.errors import EvaluationError
from reid.retrieval.compiled import compiled, over_rows
from reid.retrieval.distance import DoubleArray, FloatArray, IntArray
from reid.retrieval.labels import JUNK, Labels
from reid.retrieval.ranking import numbered


@dataclass(frozen=True)
class Roc:
    """Counts of pairs at each distinct distance of a genuine pair, ascending.

    The true positive rate changes at these distances only, so they hold the whole curve.

    Args:
        thresholds: Distinct genuine distances [T].
        genuine: Genuine pairs at exactly this distance [T].
        impostors_below: Impostor pairs that are nearer [T].
        impostors_equal: Impostor pairs at exactly this distance [T].
        impostors: All impostor pairs.
    """

    thresholds: DoubleArray
    genuine: IntArray
    impostors_below: IntArray
    impostors_equal: IntArray
    impostors: int

    @property
    def auc(self) -> float:
        """Chance that a genuine pair is nearer than an impostor pair; ties count half."""
        wrong = np.sum(self.genuine * (self.impostors_below + 0.5 * self.impostors_equal))
        return float(1.0 - wrong / (float(self.genuine.sum()) * self.impostors))

    @property
    def true_positive_rate(self) -> DoubleArray:
        """Share of genuine pairs accepted at each threshold [T]."""
        rate: DoubleArray = np.cumsum(self.genuine) / self.genuine.sum()
        return rate

    @property
    def false_positive_rate(self) -> DoubleArray:
        """Share of impostor pairs accepted at each threshold [T]."""
        return (self.impostors_below + self.impostors_equal) / self.impostors

    def true_positive_rate_at(self, false_positive_rate: float) -> float:
        """Return the largest true positive rate whose false positive rate is not above this."""
        allowed = np.flatnonzero(self.false_positive_rate <= false_positive_rate)
        return float(self.true_positive_rate[allowed[-1]]) if len(allowed) else 0.0

    def fast_reid_rate_at(self, false_positive_rate: float) -> float:
        """Return what fast-reid reports as true positive rate at this false positive rate.

        There the impostor pair is the positive class, and the nearest point of a thinned curve is
        taken. For comparison with its published numbers only, not with `true_positive_rate_at`.
        """
        # from the farthest genuine distance to the nearest: share of pairs at least this far
        genuine = self.genuine[::-1]
        equal = self.impostors_equal[::-1]
        farther = self.impostors - self.impostors_below[::-1]
        false_rate = np.cumsum(genuine) / genuine.sum()
        true_rate = farther / self.impostors
        kept = self._corners(genuine, equal, farther)
        false_rate = np.concatenate([[0.0], false_rate[kept]])
        true_rate = np.concatenate([[0.0], true_rate[kept]])
        return float(true_rate[np.argmin(np.abs(false_rate - false_positive_rate))])

    def _corners(
        self, genuine: IntArray, equal: IntArray, farther: IntArray
    ) -> npt.NDArray[np.bool_]:
        """Mark points of the reversed curve that do not lie on a line with both neighbours.

        A point goes when the next distance of any pair is again genuine and takes the same step;
        the first and the last point of the curve stay.
        """
        kept = np.ones(len(genuine), np.bool_)
        adjacent = farther[1:] - equal[1:] == farther[:-1]
        kept[:-1] = ~(adjacent & (genuine[1:] == genuine[:-1]) & (equal[1:] == equal[:-1]))
        kept[0] |= farther[0] == equal[0]
        return kept


def verify(make_blocks: Callable[[], Iterable[npt.NDArray[np.floating]]], labels: Labels) -> Roc:
    """Count genuine and impostor pairs by distance, in two passes over the blocks.

    Args:
        make_blocks: Starts a fresh pass over the distance blocks [b, G], Q rows together.
        labels: Persons, cameras and the exclusion rule.

    Raises:
        EvaluationError: No genuine or no impostor pair, or blocks that do not fit the labels.
    """
    distances = [
        block[_genuine(labels, row, len(block))] for row, block in numbered(make_blocks(), labels)
    ]
    flat = np.concatenate(distances).astype(np.float64) if distances else np.empty(0)
    thresholds, genuine = np.unique(flat, return_counts=True)
    total = _impostor_count(labels)
    if not len(thresholds) or not total:
        raise EvaluationError(
            f"{genuine.sum()} genuine and {total} impostor pairs",
            "at least one of each",
            "Check person and camera ids.",
        )
    # place 2t: nearer than threshold t and not than t - 1; place 2t + 1: equal to it
    counts = np.zeros(2 * len(thresholds) + 1, np.int64)
    for row, block in numbered(make_blocks(), labels):
        places = np.full(block.shape, -1, np.int32)
        arguments = (block, row, labels.query_person_ids, labels.gallery_person_ids)
        over_rows(_place_impostors, len(block), *arguments, thresholds, places)
        counts += np.bincount(places[places >= 0], minlength=len(counts))
    below = np.cumsum(counts)[0::2][:-1]
    return Roc(thresholds, genuine.astype(np.int64), below, counts[1::2], total)


def _genuine(labels: Labels, row: int, rows: int) -> npt.NDArray[np.bool_]:
    """Mark the pairs of `rows` queries from `row` on that show one person and count: [rows, G]."""
    persons = labels.query_person_ids[row : row + rows, None]
    cameras = labels.query_camera_ids[row : row + rows, None]
    genuine: npt.NDArray[np.bool_] = (persons == labels.gallery_person_ids) & (persons != JUNK)
    if labels.exclusion != "none":
        genuine &= cameras != labels.gallery_camera_ids
    return genuine


def _impostor_count(labels: Labels) -> int:
    """Count pairs of different persons without junk."""
    persons, images = np.unique(labels.gallery_person_ids, return_counts=True)
    wanted, queries = np.unique(labels.query_person_ids, return_counts=True)
    kept = int(images[persons != JUNK].sum())
    _, mine, theirs = np.intersect1d(wanted, persons[persons != JUNK], return_indices=True)
    same = images[persons != JUNK][theirs] @ queries[mine]
    return int(queries.sum() * kept - same)


@compiled
def _place_impostors(
    start: int,
    stop: int,
    block: FloatArray,
    first_query: int,
    query_persons: IntArray,
    gallery_persons: IntArray,
    thresholds: DoubleArray,
    places: npt.NDArray[np.int32],
) -> None:
    for row in range(start, stop):
        person = query_persons[first_query + row]
        for item in range(block.shape[1]):
            d = block[row, item]
            other = gallery_persons[item]
            if other == -1 or other == person:
                continue
            if d > thresholds[-1]:
                places[row, item] = 2 * len(thresholds)
                continue
            threshold = np.searchsorted(thresholds, d)
            places[row, item] = 2 * threshold + (1 if thresholds[threshold] == d else 0)
