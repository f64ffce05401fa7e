"""k-reciprocal re-ranking (Zhong et al., CVPR 2017), exact, without a matrix of all pairs.

Agrees with the authors' Python code for a full ranking. Differs from the reference code: weights
and neighbourhoods are sparse, and final distances are made block by block. Known public variants
that give other numbers are in `reranking_variants`.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reid.errors import ParamsError, ReidWarning
from reid.retrieval.features import FeatureRows, FloatArray, IntArray
from reid.retrieval.jaccard import (
    SparseRows,
    expanded_sets,
    mean_rows,
    mix_jaccard,
    reciprocal_sets,
    weigh,
)
from reid.retrieval.neighbours import Neighbours
from reid.retrieval.space import FeatureSpace, Space


@dataclass(frozen=True)
class RerankParams:
    """Parameters of the paper.

    Args:
        k1: Length of the neighbour lists, at least 1.
        k2: Neighbours averaged into each row of weights, at least 1 (1: none but itself).
        lambda_: Share of the original distance, from 0 to 1.
    """

    k1: int = 20
    k2: int = 6
    lambda_: float = 0.3

    def __post_init__(self) -> None:
        if self.k1 < 1 or self.k2 < 1 or not 0 <= self.lambda_ <= 1:
            raise ParamsError(
                f"re-ranking with k1 {self.k1}, k2 {self.k2}, lambda {self.lambda_}",
                "k1 and k2 of at least 1, lambda from 0 to 1",
                "Correct the parameters.",
            )

    @property
    def name(self) -> str:
        """Name under which re-ranked scores stand, for example `rerank_k20_6_0.3`."""
        return f"rerank_k{self.k1}_{self.k2}_{self.lambda_:g}"

    @property
    def longest(self) -> int:
        """Length of the neighbour lists that are needed, the image itself included."""
        return max(self.k1 + 1, self.k2)

    @property
    def half(self) -> int:
        """Half of k1, a half rounded to even."""
        return round(self.k1 / 2)


class Reranker:
    """Re-ranked distances between images of one set.

    Queries and gallery together are the set in which neighbours are sought, so any split of it
    into queries and gallery can be asked for. Junk images must not be part of it.

    Where distances are not symmetric, those to an image decide and not those from it: for its list,
    its largest distance, and the distance that is mixed in. The authors' code does the same, as it
    divides columns by their maximum and transposes.

    Args:
        space: Queries and gallery together.
        params: Parameters of the paper.
        power: 1 (canonical), or 2 for codes that square the squared distance again.
        rounding: Precision to which weights and their means are rounded.
        queries: How many of the first images are queries, Q, where they come first.
        keep: Keep the distances [Q, N - Q] that the search for neighbours makes, so that they are
            not made again; it alters memory and time, and never a value.
    """

    def __init__(
        self,
        space: Space,
        params: RerankParams,
        power: int = 1,
        rounding: type[np.floating] = np.float32,
        queries: int = 0,
        keep: bool = False,
    ) -> None:
        self.space = space.transposed()
        self.params = params
        self.power = power
        self.queries = queries
        if params.longest > len(space):
            warnings.warn(
                f"re-ranking with lists of {params.longest} images (k1 {params.k1}, k2 "
                f"{params.k2}) among {len(space)}: clamped to {len(space)}",
                ReidWarning,
                stacklevel=2,
            )
        self._kept = np.empty((queries, len(space) - queries), np.float32) if keep else None
        neighbours = self.space.neighbours(params.longest, queries, self._kept)
        # images that are all alike have maximum 0; their distances stay 0
        largest = neighbours.row_maximum.astype(np.float64)
        self.scale = np.divide(1.0, largest, out=np.zeros(len(largest)), where=largest > 0)
        self.weights = self._weights(neighbours, rounding)

    def _weights(self, near: Neighbours, rounding: type[np.floating]) -> SparseRows:
        """Return the sparse rows whose overlap is the Jaccard distance."""
        lists = near.indices
        full = reciprocal_sets(lists, self.params.k1 + 1)
        half = reciprocal_sets(lists, self.params.half + 1)
        sets = expanded_sets(full, half)
        distances = self.space.pairs(sets.offsets, sets.columns, near)
        rows = weigh(sets, distances, self.scale, self.power)
        return mean_rows(rows.rounded(rounding), lists, self.params.k2).rounded(rounding)

    def _distances(
        self, query_rows: IntArray, gallery_rows: IntArray, block_size: int
    ) -> Iterator[FloatArray]:
        """Yield the distances d, not yet divided by the largest of the query."""
        split = np.arange(self.queries), np.arange(self.queries, len(self.space))
        if self._kept is not None and all(map(np.array_equal, (query_rows, gallery_rows), split)):
            for start in range(0, self.queries, block_size):
                yield self._kept[start : start + block_size].copy()
            return
        yield from self.space.blocks(query_rows, gallery_rows, block_size)

    def factors(self, query_rows: IntArray) -> FloatArray:
        """Return lambda divided by the largest distance (to the power) of each query [Q]."""
        factors = self.params.lambda_ * self.scale[query_rows] ** self.power
        return factors.astype(np.float32)

    def blocks(
        self, query_rows: IntArray, gallery_rows: IntArray, block_size: int = 512
    ) -> Iterator[FloatArray]:
        """Yield (1 - lambda) Jaccard + lambda d.

        Args:
            query_rows: Rows of the set that are queries [Q].
            gallery_rows: Rows of the set that are the gallery [G].
            block_size: Queries per block.

        Yields:
            [b, G] with b <= block_size, in the order of the queries.
        """
        sides = split_weights(self.weights, query_rows, gallery_rows)
        factors = self.factors(query_rows)
        row = 0
        for block in self._distances(query_rows, gallery_rows, block_size):
            if self.power != 1:
                np.power(block, self.power, out=block)
            mix_jaccard(block, factors, *sides, row, 1.0 - self.params.lambda_)
            yield block
            row += len(block)


def split_weights(
    weights: SparseRows, query_rows: IntArray, gallery_rows: IntArray
) -> tuple[SparseRows, SparseRows]:
    """Return the rows of the queries and the inverted index of the gallery."""
    width = len(weights.offsets) - 1
    return weights.take(query_rows), weights.take(gallery_rows).transposed(width)


def rerank_blocks(
    query_features: npt.NDArray[np.floating],
    gallery_features: npt.NDArray[np.floating],
    params: RerankParams,
    block_size: int = 512,
) -> Iterator[FloatArray]:
    """Yield re-ranked distances of `block_size` queries at a time to the whole gallery.

    Args:
        query_features: [Q, D], used as given; normalise them first for the usual distance.
        gallery_features: [G, D], without junk images.
        params: Parameters of the paper.
        block_size: Queries per block.
    """
    space = FeatureSpace(FeatureRows(np.concatenate([query_features, gallery_features])))
    rows = np.arange(len(space))
    split = len(query_features)
    return Reranker(space, params).blocks(rows[:split], rows[split:], block_size)
