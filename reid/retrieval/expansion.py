"""Query expansion: replace a feature by a weighted mean of its nearest features.

With the gallery included this is query expansion plus database augmentation, as fast-reid does it;
alpha 0 gives plain average query expansion.
"""

from dataclasses import dataclass

import numpy as np

from reid.errors import EvaluationError, ParamsError
from reid.retrieval.distance import normalise
from reid.retrieval.features import FeatureRows, FloatArray, IntArray
from reid.retrieval.neighbours import nearest_neighbours
from reid.retrieval.pair_distances import IndexArray
from reid.retrieval.space import FeatureSpace, Space

# rows whose neighbours are gathered at once
_ROWS = 256


@dataclass(frozen=True)
class ExpansionParams:
    """How features are expanded.

    Args:
        count: Neighbours in each mean, itself included.
        alpha: Exponent of the similarity; 0 gives average query expansion (AQE).
        times: Repetitions, each on the means of the one before.
        gallery_too: Whether the gallery is replaced as well (database augmentation, DBA).
    """

    count: int = 10
    alpha: float = 3.0
    times: int = 1
    gallery_too: bool = False

    def __post_init__(self) -> None:
        if self.count < 1 or self.times < 1 or self.alpha < 0:
            raise ParamsError(
                f"expansion by {self.count} neighbours, alpha {self.alpha}, {self.times} times",
                "at least 1 neighbour, alpha of 0 or more, at least 1 time",
                "Correct the parameters.",
            )

    @property
    def name(self) -> str:
        """Name under which the scores stand, for example `alpha_qe_k10_3` or `aqe_dba_k10`."""
        kind = "alpha_qe" if self.alpha else "aqe"
        both = "_dba" if self.gallery_too else ""
        alpha = f"_{self.alpha:g}" if self.alpha else ""
        times = f"_x{self.times}" if self.times > 1 else ""
        return f"{kind}{both}_k{self.count}{alpha}{times}"


def expand(features: FloatArray, queries: IntArray, params: ExpansionParams) -> FloatArray:
    """Expand features over all of them, each counted as its own neighbour.

    A weight is the cosine similarity to the power alpha. Differs from fast-reid: a negative
    similarity counts as 0 (there it gives NaN when alpha is not whole).

    Args:
        features: Of queries and gallery [N, D].
        queries: Which rows are queries [Q].
        params: Neighbours, weights, and who is expanded.

    Returns:
        Normalised features [N, D].

    Raises:
        EvaluationError: Features are not finite.
    """
    replaced = np.arange(len(features)) if params.gallery_too else queries
    made = np.array(features, np.float32)
    for _ in range(params.times):
        directions = normalise(made)
        lists = nearest_neighbours(directions, params.count).indices
        made[replaced] = _weighted_means(made, directions, replaced, lists, params.alpha)
    return normalise(made)


def expanded_space(space: Space, queries: IntArray, params: ExpansionParams) -> FeatureSpace:
    """Return the space of the expanded features (see `expand`).

    Raises:
        EvaluationError: The space has no features.
    """
    if not isinstance(space, FeatureSpace):
        raise EvaluationError(
            f"{params.name} of distances without features", "features", "Leave the expansion out."
        )
    features = space.features.take(slice(0, len(space)))
    return FeatureSpace(FeatureRows(expand(features, queries, params)))


def _weighted_means(
    features: FloatArray,
    directions: FloatArray,
    rows: IntArray,
    lists: IndexArray,
    alpha: float,
) -> FloatArray:
    """Return the weighted means of the lists of some rows [R] of features [N, D]: [R, D]."""
    means = np.empty((len(rows), features.shape[1]), np.float32)
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        chosen = lists[some]
        similarity = np.einsum("rd,rkd->rk", directions[some], directions[chosen], dtype=np.float64)
        weights = np.maximum(similarity, 0.0) ** alpha
        total = np.einsum("rk,rkd->rd", weights, features[chosen], dtype=np.float64)
        means[start : start + _ROWS] = total / lists.shape[1]
    return means
