"""Distances between feature rows, block by block.

A matrix product may round differently when its shape changes. Here every product has one shape,
given by the sizes of the two sets alone, on a grid that starts at row 0, and runs on one thread.
So a distance depends neither on the block size in which it is asked for nor on the number of
threads.
"""

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from reid.compiled import compiled, compiled_reduction, over_tasks
from reid.errors import EvaluationError
from reid.retrieval.features import DoubleArray, FeatureRows, FloatArray

Metric = Literal["squared_euclidean", "cosine"]
Features = npt.NDArray[np.floating] | FeatureRows

# rows and columns of a tile, which stays in the cache of a core and is large enough for BLAS
TILE = 512


def normalise(features: npt.NDArray[np.floating]) -> FloatArray:
    """Scale each row of `features` [N, D] to length 1; a row of zeros stays."""
    rows = FeatureRows(features, unit=True)
    return rows.take(slice(0, len(rows)))


def check_metric(metric: str) -> None:
    """Raise `EvaluationError` for an unknown name of a distance."""
    if metric not in get_args(Metric):
        raise EvaluationError(
            f"unknown distance '{metric}'",
            f"one of {', '.join(get_args(Metric))}",
            "Correct the name.",
        )


def check_block_size(block_size: int) -> None:
    """Raise `EvaluationError` unless `block_size` is at least 1."""
    if block_size < 1:
        raise EvaluationError(f"block size {block_size}", "at least 1", "Raise it.")


def distance_blocks(
    query: Features,
    gallery: Features,
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
    unit = metric == "cosine"
    mine, theirs = _as_rows(query, "query", unit), _as_rows(gallery, "gallery", unit)
    if mine.width != theirs.width:
        raise EvaluationError(
            f"query features have {mine.width} columns, gallery features {theirs.width}",
            "equal sizes",
            "Embed both with the same model.",
        )
    # |q - g|^2 = |q|^2 + |g|^2 - 2 qg; half of it on rows of length 1 is 1 - cosine
    scale = 1.0
    if unit:
        scale = 0.5
        mine.lengths = np.ones(len(mine))
        theirs.lengths = np.ones(len(theirs))
    for start in range(0, len(mine), block_size):
        yield _block(mine, theirs, start, min(start + block_size, len(mine)), scale)


def _as_rows(features: Features, what: str, unit: bool) -> FeatureRows:
    if isinstance(features, FeatureRows):
        return features
    return FeatureRows(features, what, unit)


def _block(
    query: FeatureRows, gallery: FeatureRows, start: int, stop: int, scale: float
) -> FloatArray:
    """Return the distances of queries `start` to `stop` to the gallery."""
    block = np.empty((stop - start, len(gallery)), np.float32)
    rows = [row for row in tile_starts(query) if start < row + TILE and row < stop]
    tasks = [(row, column) for column in tile_starts(gallery) for row in rows]

    def fill(tiles: Iterator[tuple[int, int]]) -> None:
        products = tile_buffer(query, gallery)
        for row, column in tiles:
            tile = tile_distances(query, row, gallery, column, products, scale)
            first, last = max(start, row), min(stop, row + TILE)
            target = block[first - start : last - start, column : column + TILE]
            target[:] = tile[first - row : last - row]

    over_tasks(fill, tasks)
    return block


def tile_starts(features: FeatureRows) -> range:
    """Return the first rows of the tiles of a set."""
    return range(0, len(features), TILE)


def tile_buffer(first: FeatureRows, second: FeatureRows) -> FloatArray:
    """Return room for the products of a tile; its shape follows from the sizes of the sets."""
    return np.empty((min(TILE, len(first)), min(TILE, len(second))), np.float32)


def tile_distances(
    first: FeatureRows,
    row: int,
    second: FeatureRows,
    column: int,
    products: FloatArray,
    scale: float = 1.0,
) -> FloatArray:
    """Return the distances of one tile of two sets.

    Args:
        first: Set of the rows.
        row: First row of the tile, a multiple of `TILE`.
        second: Set of the columns.
        column: First column of the tile, a multiple of `TILE`.
        products: Room from `tile_buffer`, written over.
        scale: Factor on the squared distances.

    Returns:
        [R, C] of at most `TILE` each; a part of `products`.
    """
    mine, others = _padded_rows(first, row), _padded_rows(second, column)
    if np.may_share_memory(mine, others):
        # BLAS takes another route for a matrix times its own transpose
        others = others.copy()
    np.matmul(mine, others.T, out=products)
    lengths = first.lengths[row : row + TILE]
    other_lengths = second.lengths[column : column + TILE]
    tile = products[: len(lengths), : len(other_lengths)]
    _finish(tile, lengths, other_lengths, scale)
    return tile


def _padded_rows(features: FeatureRows, start: int) -> FloatArray:
    """Return the rows of a tile, filled up with zeros to the size that every tile has."""
    size = min(TILE, len(features))
    rows = features.take(slice(start, start + size))
    if len(rows) == size:
        return rows
    padded = np.zeros((size, features.width), np.float32)
    padded[: len(rows)] = rows
    return padded


@compiled
def _finish(
    products: FloatArray, lengths: DoubleArray, other_lengths: DoubleArray, scale: float
) -> None:
    """Turn inner products [R, C] into `scale` times squared distances, at least 0, in place.

    In float64, because the distances of like images are small beside the lengths.
    """
    for row in range(len(lengths)):
        _finish_row(products[row], lengths[row], other_lengths, scale)


@compiled
def _finish_row(products: FloatArray, length: float, lengths: DoubleArray, scale: float) -> None:
    for place in range(len(lengths)):
        d = scale * (length + lengths[place] - 2.0 * products[place])
        products[place] = np.float32(d if d > 0 else 0.0)


@compiled_reduction
def squared_distance(first: FloatArray, second: FloatArray) -> float:
    """Return the squared Euclidean distance of two rows [D], summed in float64."""
    total = 0.0
    for place in range(len(first)):
        gap = np.float64(first[place]) - np.float64(second[place])
        total += gap * gap
    return total
