"""The receiver operating characteristic of a verification test, from counts of pairs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reid.retrieval.features import DoubleArray, IntArray

FALSE_POSITIVE_RATES = (0.0001, 0.001, 0.01, 0.1)


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

    @property
    def equal_error_rate(self) -> float:
        """Rate at which as many impostor pairs are accepted as genuine ones are refused.

        The curve goes from no pair accepted to all of them through two points for each genuine
        distance: all nearer pairs accepted, and those at this distance too. Straight lines join
        the points, so that pairs at one distance are taken as if in random order. Along the curve
        false acceptance never falls and false refusal never rises, so they meet once.
        """
        # the point in front of a distance has the genuine pairs of the one before
        genuine = np.concatenate([[0], np.cumsum(self.genuine)])
        refused = 1.0 - np.repeat(genuine, 2) / genuine[-1]
        pairs = np.stack([self.impostors_below, self.impostors_below + self.impostors_equal], 1)
        accepted = np.concatenate([[0], pairs.ravel(), [self.impostors]]) / self.impostors
        gap = accepted - refused
        right = int(np.argmax(gap >= 0))
        left = right - 1
        share = -gap[left] / (gap[right] - gap[left])
        return float(accepted[left] + share * (accepted[right] - accepted[left]))

    def points(self, count: int) -> tuple[DoubleArray, DoubleArray]:
        """Return points of the curve for pictures.

        Args:
            count: Number of points.

        Returns:
            False positive rates, evenly spaced on a logarithmic axis from that of one pair to 1
            [count], and the largest true positive rate at each [count].
        """
        rates = np.geomspace(1 / self.impostors, 1.0, count)
        reached = np.searchsorted(self.false_positive_rate, rates, side="right")
        return rates, np.concatenate([[0.0], self.true_positive_rate])[reached]

    def figures(self) -> dict[str, float]:
        """Return `auc`, `eer`, and `tpr_at_fpr_...` for each of `FALSE_POSITIVE_RATES`."""
        rates = {
            f"tpr_at_fpr_{rate:g}": self.true_positive_rate_at(rate)
            for rate in FALSE_POSITIVE_RATES
        }
        return {"auc": self.auc, "eer": self.equal_error_rate, **rates}

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
