"""Where distances between the images of a test set come from: features, or a matrix of all pairs.

Ranking asks for blocks of distances; re-ranking also asks for neighbours and for single pairs.
"""

import typing
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from reid.errors import EvaluationError
from reid.progress import Advance, silent
from reid.retrieval.approximate import approximate_neighbours
from reid.retrieval.distance import check_block_size, distance_blocks
from reid.retrieval.features import FeatureRows, FloatArray, IntArray
from reid.retrieval.neighbours import Neighbours, nearest_neighbours
from reid.retrieval.pair_distances import IndexArray, set_distances

Search = Literal["exact", "approximate"]
# rows of a matrix that are looked at at once
_ROWS = 256


@typing.runtime_checkable
class Space(typing.Protocol):
    """N images and the distances between them."""

    def __len__(self) -> int:
        """Return N."""
        ...

    def subset(self, rows: IntArray) -> "Space":
        """Return the space of some of the images, in the given order."""
        ...

    def transposed(self) -> "Space":
        """Return the space in which the distance from i to j is that from j to i."""
        ...

    def blocks(
        self, query_rows: IntArray, gallery_rows: IntArray, block_size: int
    ) -> Iterator[FloatArray]:
        """Yield distances [b, G], b <= block_size, in the order of the queries."""
        ...

    def neighbours(
        self, count: int, queries: int = 0, kept: FloatArray | None = None
    ) -> Neighbours:
        """Return the `count` nearest images of each image, itself included.

        Args:
            count: Length of the lists.
            queries: How many of the first images are queries, Q; alters no list.
            kept: Filled with the distances of the queries to the others [Q, N - Q].
        """
        ...

    def pairs(self, offsets: IntArray, columns: IndexArray, near: Neighbours) -> FloatArray:
        """Return the distances of some pairs (see `set_distances`)."""
        ...


class FeatureSpace:
    """Squared Euclidean distances between features.

    Args:
        features: N rows, used as given.
        device: Where matrix products run: `cpu` or a device of torch.
        advance: Called with the progress of a search for neighbours.
        search: `exact`, or `approximate` for sets of a million images (see
            `approximate_neighbours`), which runs on the CPU whatever the device. What is re-ranked
            by an approximate search must say so in its name.
        seed: Of an approximate search.

    Raises:
        EvaluationError: This machine has no such device, or there is no such search.
    """

    def __init__(
        self,
        features: FeatureRows,
        device: str = "cpu",
        advance: Advance = silent,
        search: Search = "exact",
        seed: int = 0,
    ) -> None:
        if search not in get_args(Search):
            raise EvaluationError(
                f"unknown search '{search}'",
                f"one of {', '.join(get_args(Search))}",
                "Correct the name.",
            )
        if device != "cpu":
            # torch takes seconds to import, and the CPU path does without it
            from reid.retrieval.device import check_device

            check_device(device)
        self.features = features
        self.device = device
        self.advance = advance
        self.search = search
        self.seed = seed

    def __len__(self) -> int:
        return len(self.features)

    def subset(self, rows: IntArray) -> "FeatureSpace":
        """Return the space of some of the images."""
        part = self.features.subset(rows)
        return FeatureSpace(part, self.device, self.advance, self.search, self.seed)

    def transposed(self) -> "FeatureSpace":
        """Return itself: these distances are symmetric."""
        return self

    def blocks(
        self, query_rows: IntArray, gallery_rows: IntArray, block_size: int
    ) -> Iterator[FloatArray]:
        """Yield distances [b, G] (see `distance_blocks`)."""
        sides = self.features.subset(query_rows), self.features.subset(gallery_rows)
        if self.device != "cpu":
            from reid.retrieval.device import device_blocks

            return device_blocks(*sides, self.device, block_size)
        return distance_blocks(*sides, block_size=block_size)

    def neighbours(
        self, count: int, queries: int = 0, kept: FloatArray | None = None
    ) -> Neighbours:
        """Return the nearest images, or most of them if the search is approximate."""
        if self.search == "approximate":
            _keep(self, queries, kept)
            return approximate_neighbours(self.features, count, self.seed, self.advance)
        if self.device == "cpu":
            return nearest_neighbours(self.features, count, queries, kept, self.advance)
        from reid.retrieval.device import device_neighbours

        _keep(self, queries, kept)
        return device_neighbours(self.features, count, self.device, self.advance)

    def pairs(self, offsets: IntArray, columns: IndexArray, near: Neighbours) -> FloatArray:
        """Return the distances of some pairs (see `set_distances`)."""
        lists = (near.indices, near.distances)
        return set_distances(self.features, offsets, columns, *lists)


class MatrixSpace:
    """Distances that were computed before, for example by a pair scorer.

    The matrix need not be symmetric: row i holds the distances of image i as a query, and gives its
    neighbours. Re-ranking works on the columns (see `Reranker`).

    Args:
        matrix: Distances [N, N], finite and not negative; may be mapped from a file.

    Raises:
        EvaluationError: Not a square matrix, or a negative or no finite number.
    """

    def __init__(self, matrix: npt.NDArray[np.floating]) -> None:
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise EvaluationError(
                f"distances of shape {matrix.shape}",
                "a square matrix: queries and gallery against queries and gallery",
                "Score all pairs, or do without re-ranking.",
            )
        for start in range(0, len(matrix), _ROWS):
            part = matrix[start : start + _ROWS]
            # NaN is not at least 0 either
            faulty = int(np.sum(~((part >= 0) & (part < np.inf))))
            if faulty:
                raise EvaluationError(
                    f"{faulty} distances that are negative, NaN or infinite "
                    f"in the {len(part)} rows from {start} on",
                    "finite distances of 0 or more",
                    "Turn scores into distances first, for example 1 - sigmoid(score).",
                )
        self._matrix = matrix
        self._rows: IntArray = np.arange(len(matrix))

    def __len__(self) -> int:
        return len(self._rows)

    def subset(self, rows: IntArray) -> "MatrixSpace":
        """Return the space of some of the images; nothing is copied."""
        part = object.__new__(MatrixSpace)
        part._matrix, part._rows = self._matrix, self._rows[rows]
        return part

    def transposed(self) -> "MatrixSpace":
        """Return the space of the transposed matrix; nothing is copied."""
        part = object.__new__(MatrixSpace)
        part._matrix, part._rows = self._matrix.T, self._rows
        return part

    def blocks(
        self, query_rows: IntArray, gallery_rows: IntArray, block_size: int
    ) -> Iterator[FloatArray]:
        """Yield distances [b, G], b <= block_size, in the order of the queries."""
        check_block_size(block_size)
        columns = self._rows[gallery_rows]
        for start in range(0, len(query_rows), block_size):
            rows = self._rows[query_rows[start : start + block_size]]
            # in the layout for which the kernels are compiled, which indexing does not give
            yield self._matrix[rows][:, columns].astype(np.float32, order="C")

    def neighbours(
        self, count: int, queries: int = 0, kept: FloatArray | None = None
    ) -> Neighbours:
        """Return the nearest images, ties by index."""
        _keep(self, queries, kept)
        total = len(self)
        count = min(count, total)
        indices = np.empty((total, count), np.int32)
        distances = np.empty((total, count), np.float32)
        row_maximum = np.empty(total, np.float32)
        everyone = np.arange(total)
        start = 0
        for block in self.blocks(everyone, everyone, _ROWS):
            part = slice(start, start + len(block))
            row_maximum[part] = block.max(axis=1)
            nearest = np.argsort(block, axis=1, kind="stable")[:, :count]
            indices[part] = nearest
            distances[part] = np.take_along_axis(block, nearest, axis=1)
            start += len(block)
        return Neighbours(indices, distances, row_maximum)

    def pairs(self, offsets: IntArray, columns: IndexArray, _near: Neighbours) -> FloatArray:
        """Return entries of the matrix, image after image."""
        owners = np.repeat(np.arange(len(self)), np.diff(offsets))
        found: FloatArray = self._matrix[self._rows[owners], self._rows[columns]].astype(np.float32)
        return found


def _keep(space: Space, queries: int, kept: FloatArray | None) -> None:
    """Fill `kept` with the distances of the first images to the others."""
    if kept is not None:
        everyone = np.arange(len(space))
        row = 0
        for block in space.blocks(everyone[:queries], everyone[queries:], _ROWS):
            kept[row : row + len(block)] = block
            row += len(block)
