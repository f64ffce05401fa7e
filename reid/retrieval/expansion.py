"""Query expansion: replace a feature by a weighted mean of its nearest features.

With the gallery included this is query expansion plus database augmentation, as fast-reid does it;
alpha 0 gives plain average query expansion.
"""

import numpy as np
import numpy.typing as npt

from reid.errors import EvaluationError
from reid.retrieval.distance import FloatArray, check_features, normalise
from reid.retrieval.neighbours import IndexArray, nearest_neighbours

# rows whose neighbours are gathered at once
_ROWS = 256


def expand(
    query: npt.NDArray[np.floating],
    gallery: npt.NDArray[np.floating],
    count: int,
    alpha: float = 3.0,
    times: int = 1,
    gallery_too: bool = True,
) -> tuple[FloatArray, FloatArray]:
    """Expand features over the union of queries and gallery, each counted as its own neighbour.

    A weight is the cosine similarity to the power alpha. Differs from fast-reid: a negative
    similarity counts as 0 (there it gives NaN when alpha is not whole).

    Args:
        query: [Q, D].
        gallery: [G, D].
        count: Neighbours in each mean, itself included.
        alpha: Exponent of the similarity.
        times: Repetitions, each on the means of the one before.
        gallery_too: Whether the gallery is replaced as well.

    Returns:
        Normalised features of queries [Q, D] and gallery [G, D].

    Raises:
        EvaluationError: Features are not finite, or a number is below 1.
    """
    if count < 1 or times < 1 or alpha < 0:
        raise EvaluationError(
            f"expansion by {count} neighbours, alpha {alpha}, {times} times",
            "at least 1 neighbour, alpha of 0 or more, at least 1 time",
            "Correct the parameters.",
        )
    features = check_features(np.concatenate([query, gallery]), "image")
    expanded = features if gallery_too else features[: len(query)]
    for _ in range(times):
        together = np.concatenate([expanded, features[len(expanded) :]])
        directions = normalise(together)
        lists = nearest_neighbours(directions, count).indices
        expanded = _weighted_means(together, directions, lists[: len(expanded)], alpha)
    means = normalise(np.concatenate([expanded, features[len(expanded) :]]))
    return means[: len(query)], means[len(query) :]


def _weighted_means(
    features: FloatArray, directions: FloatArray, lists: IndexArray, alpha: float
) -> FloatArray:
    """Return the weighted mean of each list [R, k] of features [N, D]: [R, D]."""
    means = np.empty((len(lists), features.shape[1]), np.float32)
    for start in range(0, len(lists), _ROWS):
        chosen = lists[start : start + _ROWS]
        mine = directions[start : start + len(chosen)]
        similarity = np.einsum("rd,rkd->rk", mine, directions[chosen], dtype=np.float64)
        weights = np.maximum(similarity, 0.0) ** alpha
        total = np.einsum("rk,rkd->rd", weights, features[chosen], dtype=np.float64)
        means[start : start + _ROWS] = total / lists.shape[1]
    return means
