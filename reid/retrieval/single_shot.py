"""Single-gallery-shot matching: the gallery holds one image per person, drawn at random.

Junk and images of the query's person and camera leave the gallery before the draw. The curve is
either the exact expectation over all draws or a mean over seeded draws.
"""

import numpy as np
import numpy.typing as npt

from reid.compiled import compiled, over_rows
from reid.retrieval.features import DoubleArray, IntArray
from reid.retrieval.labels import Labels, excluded
from reid.retrieval.metrics import cumulative_matching
from reid.retrieval.ranking import Block


class ExpectedCurves:
    """Gathers `expected_curves` of blocks as they come.

    Args:
        labels: Persons, cameras and the exclusion rule.
        max_rank: Length of the curve.
    """

    def __init__(self, labels: Labels, max_rank: int) -> None:
        self._labels = labels
        self._rows = np.full((len(labels.query_person_ids), max_rank), np.nan)

    def add(self, first_query: int, block: Block) -> None:
        """Look at a block [b, G] whose first row belongs to query `first_query`."""
        found = expected_curves(block, first_query, self._labels, self._rows.shape[1])
        self._rows[first_query : first_query + len(block)] = found

    def curves(self) -> DoubleArray:
        """Return the mean over valid queries [1, max_rank]."""
        mean: DoubleArray = np.nanmean(self._rows, axis=0, keepdims=True)
        return mean


class DrawnCurves:
    """Gathers `drawn_ranks` of blocks as they come.

    Args:
        labels: Persons, cameras and the exclusion rule.
        draws: Number of galleries drawn for each query.
        seed: Seed of the draws.
        max_rank: Length of the curve.
    """

    def __init__(self, labels: Labels, draws: int, seed: int, max_rank: int) -> None:
        self._labels, self._seed, self._max_rank = labels, seed, max_rank
        self._ranks = np.full((len(labels.query_person_ids), draws), np.nan)

    def add(self, first_query: int, block: Block) -> None:
        """Look at a block [b, G] whose first row belongs to query `first_query`."""
        draws = self._ranks.shape[1]
        found = drawn_ranks(block, first_query, self._labels, draws, self._seed)
        self._ranks[first_query : first_query + len(block)] = found

    def curves(self) -> DoubleArray:
        """Return the curve of each draw [draws, max_rank]."""
        return np.stack([cumulative_matching(ranks, self._max_rank) for ranks in self._ranks.T])


def expected_curves(
    block: npt.NDArray[np.floating], first_query: int, labels: Labels, max_rank: int
) -> DoubleArray:
    """Return the chance that the drawn match stands at rank <= r, for each query of a block.

    Each match is drawn with equal chance. Another person precedes it with the share of that
    person's images that do, independently of the others, so the number of those who precede
    follows a Poisson-binomial distribution.

    Args:
        block: Distances [b, G], float32 or float64.
        first_query: Number of the query in the first row.
        labels: Persons, cameras and the exclusion rule.
        max_rank: Length of the curve.

    Returns:
        [b, max_rank], NaN for a query without a match.
    """
    _, groups, sizes = np.unique(labels.gallery_person_ids, return_inverse=True, return_counts=True)
    curves = np.zeros((len(block), max_rank))
    orders = np.argsort(block, axis=1, kind="stable")
    arguments = (orders, first_query, *labels.as_arguments(), groups, sizes, curves)
    over_rows(_expect_rows, len(block), *arguments)
    return curves


def drawn_ranks(
    block: npt.NDArray[np.floating], first_query: int, labels: Labels, draws: int, seed: int
) -> DoubleArray:
    """Return the rank of the match in `draws` random galleries, for each query of a block.

    The draws of a query depend on the seed and the number of the query alone.

    Returns:
        [b, draws], NaN for a query without a match.
    """
    ranks = np.full((len(block), draws), np.nan)
    for row, distances in enumerate(block):
        query = first_query + row
        person = labels.query_person_ids[query]
        items = np.flatnonzero(labels.counted(query))
        persons = labels.gallery_person_ids[items]
        if person in persons:
            generator = np.random.default_rng([seed, query])
            ranks[row] = _draw(distances[items], persons, int(person), draws, generator)
    return ranks


def _draw(
    distances: npt.NDArray[np.floating],
    persons: IntArray,
    person: int,
    draws: int,
    generator: np.random.Generator,
) -> DoubleArray:
    """Draw one image per person and rank that of `person`: [draws]."""
    places = np.empty(len(distances), np.int64)
    places[np.argsort(distances, kind="stable")] = np.arange(len(distances))
    order = np.argsort(persons, kind="stable")
    names, first, sizes = np.unique(persons[order], return_index=True, return_counts=True)
    chosen = order[first + generator.integers(0, sizes, (draws, len(sizes)))]
    own = places[chosen[:, np.searchsorted(names, person)]]
    ranks: DoubleArray = 1.0 + (places[chosen] < own[:, None]).sum(axis=1)
    return ranks


@compiled
def _expect_rows(
    start: int,
    stop: int,
    orders: IntArray,
    first_query: int,
    query_persons: IntArray,
    query_cameras: IntArray,
    gallery_persons: IntArray,
    gallery_cameras: IntArray,
    exclusion: int,
    groups: IntArray,
    sizes: IntArray,
    curves: DoubleArray,
) -> None:
    max_rank = curves.shape[1]
    chances = np.empty(max_rank, np.float64)
    for row in range(start, stop):
        person, camera = query_persons[first_query + row], query_cameras[first_query + row]
        passed = np.zeros(len(sizes), np.int64)
        matches = 0
        for item in orders[row]:
            other = gallery_persons[item]
            if other == -1:
                continue
            if excluded(exclusion, other == person, gallery_cameras[item] == camera):
                continue
            if other != person:
                passed[groups[item]] += 1
                continue
            matches += 1
            _count_of_successes(passed, sizes, chances)
            total = 0.0
            for rank in range(max_rank):
                total += chances[rank]
                curves[row, rank] += total
        for rank in range(max_rank):
            curves[row, rank] = curves[row, rank] / matches if matches > 0 else np.nan


@compiled
def _count_of_successes(passed: IntArray, sizes: IntArray, chances: DoubleArray) -> None:
    """Fill the chances of 0, 1, ... successes among trials of chance passed / sizes."""
    chances[:] = 0.0
    chances[0] = 1.0
    for group in range(len(sizes)):
        if passed[group] == 0:
            continue
        chance = passed[group] / sizes[group]
        for count in range(len(chances) - 1, 0, -1):
            chances[count] += chance * (chances[count - 1] - chances[count])
        chances[0] *= 1.0 - chance
