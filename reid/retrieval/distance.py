"""Distances between feature rows, block by block.

A matrix product may round differently when its shape changes. Here every product has one shape,
given by the sizes of the two sets alone, on a grid that starts at row 0. So a distance does not
depend on the block size in which it is asked for.
"""

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from reid.errors import EvaluationError
from reid.retrieval.compiled import compiled, compiled_reduction, over_rows

Metric = Literal["squared_euclidean", "cosine"]
FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# a tile of products stays in the second-level cache, and is large enough for BLAS
TILE_ROWS = 256
TILE_COLUMNS = 2048


def normalise(features: npt.NDArray[np.floating]) -> FloatArray:
    """Scale each row of `features` [N, D] to length 1; a row of zeros stays."""
    lengths = np.sqrt(squared_lengths(features))
    lengths[lengths == 0] = 1.0
    return np.asarray(features / lengths[:, None].astype(np.float32), dtype=np.float32)


def squared_lengths(features: npt.NDArray[np.floating]) -> DoubleArray:
    """Return the squared length of each row of `features` [N, D], summed in float64: [N]."""
    lengths: DoubleArray = np.einsum("nd,nd->n", features, features, dtype=np.float64)
    return lengths


def check_features(features: npt.NDArray[np.floating], what: str) -> FloatArray:
    """Return `features` as a contiguous float32 matrix [N, D].

    Raises:
        EvaluationError: Not a matrix, or some value is not finite.
    """
    if features.ndim != 2:
        raise EvaluationError(
            f"{what} features have shape {features.shape}",
            "a matrix of one row per image",
            "Flatten the features of each image.",
        )
    matrix = np.ascontiguousarray(features, dtype=np.float32)
    finite = np.isfinite(squared_lengths(matrix))
    if not finite.all():
        raise EvaluationError(
            f"{what} features hold NaN or infinity in {int((~finite).sum())} of {len(matrix)} rows",
            "finite numbers",
            "Embed again with a model that gives finite features.",
        )
    return matrix


def check_metric(metric: str) -> None:
    """Raise `EvaluationError` for an unknown name of a distance."""
    if metric not in get_args(Metric):
        raise EvaluationError(
            f"unknown distance '{metric}'",
            f"one of {', '.join(get_args(Metric))}",
            "Correct the name.",
        )


def distance_blocks(
    query: npt.NDArray[np.floating],
    gallery: npt.NDArray[np.floating],
    metric: Metric = "squared_euclidean",
    block_size: int = 512,
) -> Iterator[FloatArray]:
    """Yield the distances of `block_size` queries at a time to the whole gallery.

    Args:
        query: [Q, D], used as given (see `normalise`).
        gallery: [G, D].
        metric: `squared_euclidean` or `cosine` (1 - cosine); both are clamped at 0.
        block_size: Rows of a block; alters memory, never a value.

    Yields:
        [b, G] with b <= block_size, in the order of the queries.

    Raises:
        EvaluationError: Features do not fit each other or are not finite, or an unknown metric.
    """
    check_metric(metric)
    check_block_size(block_size)
    query, gallery = check_features(query, "query"), check_features(gallery, "gallery")
    if query.shape[1] != gallery.shape[1]:
        raise EvaluationError(
            f"query features have {query.shape[1]} columns, gallery features {gallery.shape[1]}",
            "equal sizes",
            "Embed both with the same model.",
        )
    query_lengths, gallery_lengths = squared_lengths(query), squared_lengths(gallery)
    scale = 1.0
    if metric == "cosine":
        # |q - g|^2 = |q|^2 + |g|^2 - 2 qg; half of it on rows of length 1 is 1 - cosine
        scale = 0.5
        query, gallery = normalise(query), normalise(gallery)
        query_lengths[:], gallery_lengths[:] = 1.0, 1.0
    for start in range(0, len(query), block_size):
        stop = min(start + block_size, len(query))
        block = _products(query, gallery, start, stop)
        lengths = query_lengths[start:stop]
        over_rows(finish_distances, len(block), block, lengths, gallery_lengths, scale)
        yield block


def _products(query: FloatArray, gallery: FloatArray, start: int, stop: int) -> FloatArray:
    """Return the inner products of queries `start` to `stop` with the gallery."""
    block = np.empty((stop - start, len(gallery)), np.float32)
    for row in range(start - start % TILE_ROWS, stop, TILE_ROWS):
        rows = padded_rows(query, row, TILE_ROWS)
        first, last = max(start, row), min(stop, row + TILE_ROWS)
        for column in range(0, len(gallery), TILE_COLUMNS):
            part = block[first - start : last - start, column : column + TILE_COLUMNS]
            products = rows @ padded_rows(gallery, column, TILE_COLUMNS).T
            part[:] = products[first - row : last - row, : part.shape[1]]
    return block


def take_rows(features: FloatArray, rows: IntArray) -> FloatArray:
    """Return rows of `features` [N, D]; without a copy where they are consecutive."""
    if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
        return features[rows[0] : rows[0] + len(rows)]
    return features[rows]


def check_block_size(block_size: int) -> None:
    """Raise `EvaluationError` unless `block_size` is at least 1."""
    if block_size < 1:
        raise EvaluationError(f"block size {block_size}", "at least 1", "Raise it.")


def padded_rows(features: FloatArray, start: int, size: int) -> FloatArray:
    """Return rows `start` to `start + size`, filled up with zeros to a size fixed by the set.

    Args:
        features: [N, D].
        start: A multiple of `size`.
        size: Rows of a tile; a set that is smaller has one tile of its own size.
    """
    size = min(size, len(features))
    rows = features[start : start + size]
    if len(rows) == size:
        return rows
    padded = np.zeros((size, features.shape[1]), np.float32)
    padded[: len(rows)] = rows
    return padded


@compiled
def finish_distances(
    start: int,
    stop: int,
    products: FloatArray,
    row_lengths: DoubleArray,
    column_lengths: DoubleArray,
    scale: float,
) -> None:
    """Turn inner products into `scale` times squared Euclidean distances, at least 0, in place.

    Args:
        start: First row to change.
        stop: Row after the last one.
        products: [R, C].
        row_lengths: Squared lengths [R].
        column_lengths: Squared lengths [C].
        scale: Factor on the squared distance.
    """
    for row in range(start, stop):
        for column in range(len(column_lengths)):
            squared = row_lengths[row] + column_lengths[column] - 2.0 * products[row, column]
            products[row, column] = np.float32(max(scale * squared, 0.0))


@compiled_reduction
def squared_distance(first: FloatArray, second: FloatArray) -> float:
    """Return the squared Euclidean distance of two rows [D], summed in float64."""
    total = 0.0
    for place in range(len(first)):
        gap = np.float64(first[place]) - np.float64(second[place])
        total += gap * gap
    return total
