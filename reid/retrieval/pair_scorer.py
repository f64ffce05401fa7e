"""What compares images that have no vectors: a score of each pair, from what is kept of both."""

import typing
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reid.retrieval.features import FloatArray

PairPrecision = typing.Literal["fp32", "bf16"]
# scores are divided by this before the logistic function turns them into distances
SCORE_SCALE = 10.0


class PairScorer(typing.Protocol):
    """Scores pairs of images from the rows that a network keeps of them.

    Attributes:
        shape: Of what is kept of one image; the product is the length F of a row.
        flops: Floating-point operations for one pair.
        symmetric: The score of (a, b) is exactly that of (b, a).
    """

    shape: tuple[int, ...]
    flops: float
    symmetric: bool

    def scores(self, queries: FloatArray, gallery: FloatArray) -> FloatArray:
        """Return the scores [Q, G] of rows [Q, F] and [G, F]; larger means more alike.

        The score of a pair does not depend on which other rows it is asked with.
        """
        ...


@dataclass(frozen=True, eq=False)
class MatchingLayer:
    """One decoder layer of a maximum matching, folded for inference (see `MaximumMatching`).

    A pair gives u [L], for each query cell the largest S[s, t] * prior[s, t] over gallery cells s,
    and v [L], for each gallery cell the largest over query cells t; S[s, t] is the inner product of
    gallery cell s and query cell t. The score of the layer is the sum over both rows of
    `output_weight @ relu(head_weight @ row + head_bias)`; `MaximumMatching` adds the constants.

    Args:
        prior: Weight of each pair of cells, [gallery cell, query cell] [L, L].
        head_weight: [H, L], all normalisation folded in.
        head_bias: [H].
        output_weight: [H], with the scale of the normalisations that follow.
    """

    prior: npt.NDArray[np.float32]
    head_weight: npt.NDArray[np.float32]
    head_bias: npt.NDArray[np.float32]
    output_weight: npt.NDArray[np.float32]


def score_distances(scores: FloatArray) -> FloatArray:
    """Turn scores into distances in [0, 1]: 1 - sigmoid(score / SCORE_SCALE).

    Source: TransMatcher (arXiv 2105.14432), its evaluation. Float64 inside, so that large scores
    keep their order up to the rounding of float32.
    """
    distances: FloatArray = (1 / (1 + np.exp(scores.astype(np.float64) / SCORE_SCALE))).astype(
        np.float32
    )
    return distances
