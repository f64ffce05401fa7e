"""k-reciprocal re-ranking (Zhong et al., CVPR 2017), exact, without a matrix of all pairs.

Agrees with the authors' Python code for a full ranking. Differs from the reference code: weights
and neighbourhoods are sparse, and final distances are made block by block. Known public variants
that give other numbers are in `reranking_variants`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reid.errors import ParamsError
from reid.retrieval.distance import (
    FloatArray,
    IntArray,
    check_features,
    distance_blocks,
    take_rows,
)
from reid.retrieval.jaccard import (
    SparseRows,
    add_jaccard,
    expanded_sets,
    mean_rows,
    reciprocal_sets,
    weigh,
)
from reid.retrieval.neighbours import Neighbours, nearest_neighbours


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
    def half(self) -> int:
        """Half of k1, a half rounded to even."""
        return round(self.k1 / 2)


class Reranker:
    """Re-ranked distances between images of one set.

    Queries and gallery together are the set in which neighbours are sought, so any split of it
    into queries and gallery can be asked for. Junk images must not be part of it.

    Args:
        features: Of queries and gallery together [N, D], used as given.
        params: Parameters of the paper.
        power: 1 (canonical), or 2 for codes that square the squared distance again.
        rounding: Precision to which weights and their means are rounded.

    Raises:
        EvaluationError: Features are not finite.
    """

    def __init__(
        self,
        features: npt.NDArray[np.floating],
        params: RerankParams,
        power: int = 1,
        rounding: type[np.floating] = np.float32,
    ) -> None:
        self.features = check_features(features, "image")
        self.params = params
        self.power = power
        longest = max(params.k1 + 1, params.k2)
        neighbours = nearest_neighbours(self.features, longest)
        # images that are all alike have maximum 0; their distances stay 0
        largest = neighbours.row_maximum.astype(np.float64)
        self.scale = np.divide(1.0, largest, out=np.zeros(len(largest)), where=largest > 0)
        self.weights = self._weights(neighbours, rounding)

    def _weights(self, neighbours: Neighbours, rounding: type[np.floating]) -> SparseRows:
        """Return the sparse rows whose overlap is the Jaccard distance."""
        full = reciprocal_sets(neighbours.indices, self.params.k1 + 1)
        half = reciprocal_sets(neighbours.indices, self.params.half + 1)
        rows = weigh(expanded_sets(full, half), self.features, self.scale, self.power)
        means = mean_rows(rows.rounded(rounding), neighbours.indices, self.params.k2)
        return means.rounded(rounding)

    def original_blocks(
        self, query_rows: IntArray, gallery_rows: IntArray, block_size: int
    ) -> Iterator[FloatArray]:
        """Yield the part lambda d, with d divided by the largest distance of the query."""
        scale = self.scale[query_rows].astype(np.float32)
        features = take_rows(self.features, query_rows), take_rows(self.features, gallery_rows)
        row = 0
        for block in distance_blocks(*features, "squared_euclidean", block_size):
            block *= scale[row : row + len(block), None]
            if self.power != 1:
                np.power(block, self.power, out=block)
            block *= np.float32(self.params.lambda_)
            yield block
            row += len(block)

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
        query, inverted = split_weights(self.weights, query_rows, gallery_rows)
        row = 0
        for block in self.original_blocks(query_rows, gallery_rows, block_size):
            add_jaccard(block, query, inverted, row, 1.0 - self.params.lambda_)
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
    together = np.concatenate([query_features, gallery_features])
    rows = np.arange(len(together))
    split = len(query_features)
    return Reranker(together, params).blocks(rows[:split], rows[split:], block_size)
