"""Temporal lifting: raise the scores of images that pass when a query's likely matches pass.

Shengcai Liao and Ling Shao, Interpretable and Generalizable Person Re-identification with
Query-Adaptive Convolution and Temporal Lifting, ECCV 2020 (arXiv 1904.10424), section 5. People
who pass one camera at about the same time tend to pass another together.

Differs from the published code: a camera with queries and no gallery images gives weight 0.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from reid.errors import EvaluationError, ParamsError
from reid.retrieval.features import DoubleArray, IntArray

# gallery images whose weights are made at once
_COLUMNS = 512
_NOBODY = (np.empty(0, np.int64), np.empty(0))


@dataclass(frozen=True)
class TLiftParams:
    """Parameters of temporal lifting; the defaults are the published ones.

    Args:
        tau: Seconds within which queries of a camera are companions.
        sigma: Seconds over which the weight of a likely match falls off.
        count: Likely matches of a query and its companions in each camera, K of the paper.
        alpha: Weight of an image that passes at no likely match's time.

    Raises:
        ParamsError: A time or a count that is not positive, or a negative weight.
    """

    tau: float = 100.0
    sigma: float = 200.0
    count: int = 10
    alpha: float = 0.2

    def __post_init__(self) -> None:
        if not (self.tau > 0 and self.sigma > 0 and self.count > 0 and self.alpha >= 0):
            raise ParamsError(
                f"temporal lifting with tau {self.tau}, sigma {self.sigma}, count {self.count} "
                f"and alpha {self.alpha}",
                "tau, sigma and count above 0, alpha at least 0",
                "Correct them.",
            )

    @property
    def name(self) -> str:
        """Name of the setting."""
        return f"tlift_t{self.tau:g}_s{self.sigma:g}_k{self.count}_{self.alpha:g}"


@dataclass(frozen=True, eq=False)
class Moments:
    """Where and when some images were taken.

    Args:
        camera_ids: [n].
        seconds: On one clock for all cameras [n].

    Raises:
        EvaluationError: An image without a time.
    """

    camera_ids: IntArray
    seconds: DoubleArray

    def __post_init__(self) -> None:
        missing = int((~np.isfinite(self.seconds)).sum())
        if missing:
            raise EvaluationError(
                f"{missing} of {len(self.seconds)} images without a time",
                "a timestamp for each image",
                "Leave temporal lifting out for this data set.",
            )


def lifted(
    scores: npt.NDArray[np.floating],
    query: Moments,
    gallery: Moments,
    params: TLiftParams | None = None,
) -> DoubleArray:
    """Return (weight + alpha) score for each pair.

    The weight of a gallery image is the mean of exp(-(time between)^2 / sigma^2) over the likely
    matches of the query in the camera of the image: the `count` best scored of the query and its
    companions, and what ties with them. An image that is likely for two companions counts twice.

    Args:
        scores: Similarities in about [0, 1], such as 1 - distance [Q, G].
        query: Of the queries.
        gallery: Of the gallery images.
        params: By default the published ones.
    """
    params = params or TLiftParams()
    out = np.full(scores.shape, params.alpha)
    for camera in np.unique(gallery.camera_ids):
        theirs = np.flatnonzero(gallery.camera_ids == camera)
        shares = _shares(scores[:, theirs], query, params)
        _spread(shares, gallery.seconds[theirs], params.sigma, theirs, out)
    out *= scores
    return out


def _shares(
    scores: npt.NDArray[np.floating], query: Moments, params: TLiftParams
) -> sparse.csr_array:
    """Return how much each image of a camera counts as a likely match of each query [Q, g]."""
    chosen: list[tuple[IntArray, DoubleArray]] = [_NOBODY] * len(scores)
    for camera in np.unique(query.camera_ids):
        mine = np.flatnonzero(query.camera_ids == camera)
        # companions stand together in the order of time
        mine = mine[np.argsort(query.seconds[mine], kind="stable")]
        ordered, seconds = scores[mine], query.seconds[mine]
        for row, moment in zip(mine, seconds, strict=True):
            near = np.flatnonzero(np.abs(seconds - moment) < params.tau)
            companions = ordered[near[0] : near[-1] + 1]
            counts = (companions >= _threshold(companions, params.count)).sum(axis=0)
            likely = np.flatnonzero(counts)
            chosen[row] = likely, counts[likely] / counts.sum()
    columns, values = (np.concatenate(parts) for parts in zip(*chosen, strict=True))
    ends = np.cumsum([0, *(len(likely) for likely, _ in chosen)])
    return sparse.csr_array((values, columns, ends), shape=scores.shape)


def _spread(
    shares: sparse.csr_array, seconds: DoubleArray, sigma: float, columns: IntArray, to: DoubleArray
) -> None:
    """Add the weights of the images of a camera, taken at `seconds` [g], to columns of `to`."""
    for start in range(0, len(seconds), _COLUMNS):
        part = slice(start, start + _COLUMNS)
        gaps = seconds[:, None] - seconds[part]
        to[:, columns[part]] += shares @ np.exp(-((gaps / sigma) ** 2))


def _threshold(scores: npt.NDArray[np.floating], count: int) -> float:
    """Return the `count`-th largest score, or the smallest if there are no more than that."""
    if scores.size <= count:
        return float(scores.min())
    place = scores.size - count
    return float(np.partition(scores, place, axis=None)[place])
