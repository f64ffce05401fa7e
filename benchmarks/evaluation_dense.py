"""Metrics and k-reciprocal re-ranking with whole matrices in NumPy, written from the formulas.

The baseline of `evaluation.py`: every distance, a full ranking of every row and dense weights are
in memory, as in the codes that are in use. Re-ranking follows Zhong et al., CVPR 2017.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from evaluation_problem import FloatArray, Outcome, Problem

IndexArray = npt.NDArray[np.intp]

# length of the neighbour lists, half of it, neighbours averaged, share of the original distance
K1, HALF, K2, SHARE = 20, 10, 6, 0.3


def metrics(problem: Problem) -> Outcome:
    """Score squared Euclidean distances."""
    query, gallery = problem.query[0], problem.gallery[0]
    return score(squared_distances(query, gallery), problem)


def squared_distances(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return squared Euclidean distances [R, C], at least 0."""
    distances: FloatArray = -2 * (first @ second.T)
    distances += np.square(first).sum(axis=1)[:, None]
    distances += np.square(second).sum(axis=1)
    np.maximum(distances, 0, out=distances)
    return distances


def score(distances: FloatArray, problem: Problem) -> Outcome:
    """Sort every row [Q, G], drop images of the query's person and camera, average over queries."""
    _, query_persons, query_cameras = problem.query
    _, persons, cameras = problem.gallery
    ranking = np.argsort(distances, axis=1)
    precisions, first = [], []
    for query, order in enumerate(ranking):
        matches = persons[order] == query_persons[query]
        matches = matches[~(matches & (cameras[order] == query_cameras[query]))]
        ranks = np.flatnonzero(matches) + 1
        if len(ranks):
            precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
            first.append(ranks[0])
    return Outcome(float(np.mean(precisions)), float(np.mean(np.array(first) == 1)))


def rerank(problem: Problem) -> FloatArray:
    """Return re-ranked distances [Q, G], with rows that lie in one piece and each half set once."""
    distances = squared_distances(problem.features, problem.features)
    distances /= distances.max(axis=1, keepdims=True)
    ranking = np.argsort(distances, axis=1)
    half = [reciprocal_set(ranking, image, HALF + 1) for image in range(len(ranking))]
    return reranked(distances, ranking, half.__getitem__, problem.queries)


def rerank_as_published(problem: Problem) -> FloatArray:
    """Return the same at the cost of the authors' code.

    It divides columns by their maximum and transposes, so that all matrices lie in memory column
    by column though rows are read, and finds a half set anew for each set it may join.
    """
    distances = squared_distances(problem.features, problem.features)
    distances = (distances / distances.max(axis=0)).T
    ranking = np.argsort(distances, axis=1)

    def half(image: int) -> IndexArray:
        return reciprocal_set(ranking, image, HALF + 1)

    return reranked(distances, ranking, half, problem.queries)


def reranked(
    distances: FloatArray,
    ranking: IndexArray,
    half: Callable[[int], IndexArray],
    queries: int,
) -> FloatArray:
    """Return re-ranked distances [Q, G].

    Args:
        distances: Divided by the maximum of the row [N, N].
        ranking: Images of each row, nearest first [N, N].
        half: Reciprocal set of an image among half as many neighbours.
        queries: Number of queries Q, the first images.
    """
    weights = np.zeros_like(distances)
    for image in range(len(ranking)):
        members = expanded_set(reciprocal_set(ranking, image, K1 + 1), half, len(ranking))
        closeness = np.exp(-distances[image, members])
        weights[image, members] = closeness / closeness.sum()
    means = np.empty_like(weights)
    for image, order in enumerate(ranking):
        means[image] = weights[order[:K2]].mean(axis=0)
    del weights
    result = (1 - SHARE) * jaccard_distances(means, queries)
    result += SHARE * distances[:queries]
    return result[:, queries:]


def reciprocal_set(ranking: IndexArray, image: int, length: int) -> IndexArray:
    """Return which of the first `length` of a list have the image among their own first ones."""
    near = ranking[image, :length]
    found: IndexArray = near[(ranking[near, :length] == image).any(axis=1)]
    return found


def expanded_set(core: IndexArray, half: Callable[[int], IndexArray], images: int) -> IndexArray:
    """Join the reciprocal set with those half sets of its members that lie in it by over 2/3."""
    inside = np.zeros(images, np.bool_)
    inside[core] = True
    parts = [core]
    for member in core:
        added = half(member)
        if 3 * inside[added].sum() > 2 * len(added):
            parts.append(added)
    return np.unique(np.concatenate(parts))


def jaccard_distances(weights: FloatArray, queries: int) -> FloatArray:
    """Return 1 - m / (2 - m), m the sum of minima of two rows of weights: [Q, N]."""
    holders = [np.flatnonzero(weights[:, image]) for image in range(len(weights))]
    distances = np.empty((queries, len(weights)), np.float32)
    for query in range(queries):
        overlap = np.zeros(len(weights), np.float32)
        for image in np.flatnonzero(weights[query]):
            rows = holders[image]
            overlap[rows] += np.minimum(weights[query, image], weights[rows, image])
        distances[query] = 1 - overlap / (2 - overlap)
    return distances
