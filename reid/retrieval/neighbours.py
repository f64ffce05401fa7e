"""Exact nearest neighbours of every image among all, by upper-triangle tiles.

Each tile of distances is computed once and updates the lists of its rows and of its columns, so
half of the products are saved and the N x N matrix never exists. Single-precision products choose
somewhat more candidates than asked for; these are measured again in float64, because neighbours
that swap places at the end of a list alter re-ranked distances by more than any rounding does.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reid.retrieval.compiled import compiled, over_rows
from reid.retrieval.distance import (
    DoubleArray,
    FloatArray,
    check_features,
    finish_distances,
    padded_rows,
    squared_distance,
    squared_lengths,
)
from reid.retrieval.sorting import sort_pairs

IndexArray = npt.NDArray[np.int32]
TILE = 1024
# candidates beyond the list; rounding moves an image by a few places only
_SPARE = 8


@dataclass(frozen=True)
class Neighbours:
    """Nearest images of each image, itself included, by squared Euclidean distance.

    Args:
        indices: Nearest first, ties by index [N, k].
        distances: Squared Euclidean, measured in float64 and rounded once [N, k].
        row_maximum: Largest squared distance of each image to any other [N].
    """

    indices: IndexArray
    distances: FloatArray
    row_maximum: FloatArray


def nearest_neighbours(features: npt.NDArray[np.floating], count: int) -> Neighbours:
    """Find the `count` nearest rows of each row.

    Args:
        features: [N, D], used as given.
        count: Length of the lists; at most N are returned.

    Raises:
        EvaluationError: Features are not finite.
    """
    matrix = check_features(features, "image")
    total = len(matrix)
    lengths = squared_lengths(matrix)
    candidates = min(count + _SPARE, total)
    indices = np.full((total, candidates), np.iinfo(np.int32).max, np.int32)
    distances = np.full((total, candidates), np.inf, np.float32)
    found = Neighbours(indices, distances, np.zeros(total, np.float32))
    for row in range(0, total, TILE):
        rows = padded_rows(matrix, row, TILE)
        for column in range(row, total, TILE):
            # a copy, because BLAS takes another route for a matrix times its own transpose
            columns = padded_rows(matrix, column, TILE).copy()
            tile = (rows @ columns.T)[: total - row, : total - column]
            _update(found, tile, row, column, lengths)
    over_rows(_measure_again, total, matrix, indices, distances)
    return Neighbours(
        np.ascontiguousarray(indices[:, :count]),
        np.ascontiguousarray(distances[:, :count]),
        found.row_maximum,
    )


def _update(
    found: Neighbours, tile: FloatArray, row: int, column: int, lengths: DoubleArray
) -> None:
    """Let one tile of inner products update the lists of its rows and columns."""
    height, width = tile.shape
    row_lengths, column_lengths = lengths[row : row + height], lengths[column : column + width]
    over_rows(finish_distances, height, tile, row_lengths, column_lengths, 1.0)
    lists = (found.indices, found.distances, found.row_maximum)
    if row == column:
        _make_symmetric(tile)
    else:
        over_rows(_update_columns, width, tile, row, column, *lists)
    over_rows(_update_rows, height, tile, row, column, *lists)


@compiled
def _make_symmetric(tile: FloatArray) -> None:
    """Copy the upper triangle to the lower one; an image is at distance 0 from itself."""
    for row in range(len(tile)):
        tile[row, row] = 0.0
        for column in range(row):
            tile[row, column] = tile[column, row]


@compiled
def _update_rows(
    start: int,
    stop: int,
    tile: FloatArray,
    row: int,
    column: int,
    indices: IndexArray,
    distances: FloatArray,
    row_maximum: FloatArray,
) -> None:
    for r in range(start, stop):
        image = row + r
        worst, largest = distances[image, -1], row_maximum[image]
        for c in range(tile.shape[1]):
            d = tile[r, c]
            largest = max(largest, d)
            if d <= worst:
                worst = _insert(d, column + c, distances[image], indices[image])
        row_maximum[image] = largest


@compiled
def _update_columns(
    start: int,
    stop: int,
    tile: FloatArray,
    row: int,
    column: int,
    indices: IndexArray,
    distances: FloatArray,
    row_maximum: FloatArray,
) -> None:
    # row by row, as the tile lies in memory
    worst = distances[column + start : column + stop, -1].copy()
    largest = row_maximum[column + start : column + stop]
    for r in range(tile.shape[0]):
        for c in range(start, stop):
            d = tile[r, c]
            largest[c - start] = max(largest[c - start], d)
            if d <= worst[c - start]:
                image = column + c
                worst[c - start] = _insert(d, row + r, distances[image], indices[image])


@compiled
def _measure_again(
    start: int, stop: int, features: FloatArray, indices: IndexArray, distances: FloatArray
) -> None:
    """Sort candidates by exact distance, rounded to float32, and then by index."""
    for image in range(start, stop):
        for place, other in enumerate(indices[image]):
            distances[image, place] = squared_distance(features[image], features[other])
        sort_pairs(distances[image], indices[image])


@compiled
def _insert(d: float, image: int, distances: FloatArray, indices: IndexArray) -> float:
    """Insert into a list in order of distance, then index; return the new worst distance."""
    place = len(distances)
    while place > 0 and (
        d < distances[place - 1] or (d == distances[place - 1] and image < indices[place - 1])
    ):
        place -= 1
        if place + 1 < len(distances):
            distances[place + 1] = distances[place]
            indices[place + 1] = indices[place]
    if place < len(distances):
        distances[place] = d
        indices[place] = image
    worst: float = distances[-1]
    return worst
