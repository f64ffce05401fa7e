"""Exact nearest neighbours of every image among all, by upper-triangle tiles.

Each tile of distances is computed once and updates the lists of its rows and of its columns, so
half of the products are saved and the N x N matrix never exists. Single-precision products choose
somewhat more candidates than asked for. Near ties among them are measured again in float64, because
neighbours that swap places alter re-ranked distances by more than any rounding does.

What a list holds depends on distances and indices alone and not on the order of the tiles, so
threads may take them as they come.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock

import numpy as np
import numpy.typing as npt

from reid.compiled import compiled, compiled_reduction, over_rows, over_tasks
from reid.progress import Advance, silent
from reid.retrieval.distance import tile_buffer, tile_distances, tile_starts
from reid.retrieval.features import FeatureRows, FloatArray, IntArray
from reid.retrieval.pair_distances import IndexArray, sparse_distances
from reid.retrieval.sorting import sort_pairs

# candidates beyond the list; rounding moves an image by a few places only
SPARE = 8
# share of two squared lengths by which a distance may be rounded, with room to spare: products of
# some thousand numbers stay below a tenth of it
_ROUNDING = 4e-6
# columns that are compared at once with the ends of the lists
_CHUNK = 32


@dataclass(frozen=True)
class Neighbours:
    """Nearest images of each image, itself included, by squared Euclidean distance.

    Args:
        indices: Nearest first, ties by index [N, k].
        distances: Squared Euclidean [N, k].
        row_maximum: Largest squared distance of each image to any other [N].
    """

    indices: IndexArray
    distances: FloatArray
    row_maximum: FloatArray


def nearest_neighbours(
    features: npt.NDArray[np.floating] | FeatureRows,
    count: int,
    queries: int = 0,
    kept: FloatArray | None = None,
    advance: Advance = silent,
) -> Neighbours:
    """Find the `count` nearest rows of each row.

    Args:
        features: N rows, used as given.
        count: Length of the lists; at most N are returned.
        queries: How many of the first rows are a set of their own, Q; alters no list.
        kept: Room for the distances of the queries to the others [Q, N - Q], equal in every bit to
            those of `distance_blocks`.
        advance: Called with the tiles done, and all.

    Raises:
        EvaluationError: Features are not finite.
    """
    rows = features if isinstance(features, FeatureRows) else FeatureRows(features)
    found = Candidates(len(rows), min(count + SPARE, len(rows)))
    sides = _sides(rows, queries)
    tasks = _triangle([start for side in sides for start in side.starts])
    locks = {start: Lock() for start, _ in tasks}
    done: list[int] = []

    def work(tiles: Iterator[tuple[int, int]]) -> None:
        rooms: dict[tuple[int, int], FloatArray] = {}
        for row, column in tiles:
            mine, others = (sides[-1 if start >= queries else 0] for start in (row, column))
            tile = mine.distances(row, others, column, rooms)
            with ExitStack() as held:
                for start in sorted({row, column}):
                    held.enter_context(locks[start])
                found.add(tile, row, column)
            if kept is not None and row < queries <= column:
                here = column - queries
                kept[row : row + len(tile), here : here + tile.shape[1]] = tile
            done.append(row)
            advance(len(done), len(tasks))

    over_tasks(work, tasks)
    return refined(rows, *found.sorted(), found.row_maximum, count)


@dataclass(frozen=True)
class _Side:
    """Consecutive rows that are cut into tiles from their first row on.

    Args:
        rows: The rows.
        first: Number of the first of them among all.
    """

    rows: FeatureRows
    first: int

    @property
    def starts(self) -> list[int]:
        """First rows of the tiles, as numbers among all."""
        return [self.first + start for start in tile_starts(self.rows)]

    def distances(
        self, row: int, others: "_Side", column: int, rooms: dict[tuple[int, int], FloatArray]
    ) -> FloatArray:
        """Return the tile that starts at two rows, by their numbers among all."""
        sides = self.first, others.first
        if sides not in rooms:
            rooms[sides] = tile_buffer(self.rows, others.rows)
        room = rooms[sides]
        return tile_distances(self.rows, row - sides[0], others.rows, column - sides[1], room)


def _sides(rows: FeatureRows, queries: int) -> list[_Side]:
    bounds = [0, queries, len(rows)] if 0 < queries < len(rows) else [0, len(rows)]
    return [_Side(rows.subset(np.arange(first, last)), first) for first, last in pairwise(bounds)]


def _triangle(starts: list[int]) -> list[tuple[int, int]]:
    """Pair tiles, diagonal by diagonal, so that pairs that follow one another share no list."""
    count = len(starts)
    return [
        (starts[place], starts[place + gap]) for gap in range(count) for place in range(count - gap)
    ]


class Candidates:
    """The nearest images found so far of each image, as heaps with the farthest at the root.

    A heap holds one number for each image: the bits of its distance, which order like the
    distance, and behind them its index.

    Args:
        total: Number of images N.
        count: Length of the lists k.

    Attributes:
        keys: [N, k].
        worst: Distance that an image must not exceed to enter each heap [N].
        row_maximum: Largest distance seen of each image [N].
    """

    def __init__(self, total: int, count: int) -> None:
        infinite = np.float32(np.inf)
        nothing = (int(infinite.view(np.int32)) << 32) | np.iinfo(np.int32).max
        self.keys: IntArray = np.full((total, count), nothing, np.int64)
        self.worst: FloatArray = np.full(total, infinite, np.float32)
        self.row_maximum: FloatArray = np.zeros(total, np.float32)

    def sorted(self) -> tuple[IndexArray, FloatArray]:
        """Return the images of each heap, nearest first, and their distances [N, k]."""
        self.keys.sort(axis=1)
        bits = (self.keys >> 32).astype(np.int32)
        return (self.keys & 0xFFFFFFFF).astype(np.int32), bits.view(np.float32)

    def add(self, tile: FloatArray, row: int, column: int) -> None:
        """Let a tile of distances enter the lists of its rows and columns.

        Args:
            tile: [R, C].
            row: Number of the image in its first row.
            column: Number of the image in its first column, not before `row`.
        """
        if row == column:
            _make_symmetric(tile)
            self._bound(tile, row)
        _update_lists(tile, row, column, self.keys, self.worst, self.row_maximum)

    def _bound(self, tile: FloatArray, row: int) -> None:
        """Let no image enter that the first tile keeps out; it saves half of the entries."""
        count = self.keys.shape[1]
        if count < len(tile):
            nearest = np.partition(tile, count - 1, axis=1)[:, count - 1]
            self.worst[row : row + len(tile)] = nearest


def refined(
    features: FeatureRows,
    indices: IndexArray,
    distances: FloatArray,
    row_maximum: FloatArray,
    count: int,
) -> Neighbours:
    """Decide near ties in float64, and keep the nearest images, ties by index.

    Args:
        features: N rows.
        indices: Images near each image, nearest first in single precision [N, k].
        distances: Their distances in single precision [N, k].
        row_maximum: See `Neighbours` [N].
        count: Length of the lists to keep.
    """
    slack = _ROUNDING * (features.lengths + features.lengths.max(initial=0.0))
    close = np.diff(distances, axis=1) <= slack[:, None]
    unclear = np.zeros(distances.shape, np.bool_)
    unclear[:, 1:] |= close
    unclear[:, :-1] |= close
    offsets = np.concatenate([[0], np.cumsum(unclear.sum(axis=1))])
    distances[unclear] = sparse_distances(features, offsets, indices[unclear])
    over_rows(_sort_rows, len(distances), distances, indices)
    return Neighbours(
        np.ascontiguousarray(indices[:, :count]),
        np.ascontiguousarray(distances[:, :count]),
        row_maximum,
    )


@compiled
def _make_symmetric(tile: FloatArray) -> None:
    """Copy the upper triangle to the lower one; an image is at distance 0 from itself."""
    for row in range(len(tile)):
        tile[row, row] = 0.0
        for column in range(row):
            tile[row, column] = tile[column, row]


@compiled
def _update_lists(
    tile: FloatArray,
    row: int,
    column: int,
    keys: IntArray,
    worst: FloatArray,
    row_maximum: FloatArray,
) -> None:
    width = tile.shape[1]
    largest = row_maximum[column : column + width]
    ends = worst[column : column + width]
    if row == column:
        # every pair comes twice, and the rows alone take it
        ends = np.full(width, -1, np.float32)
    root = np.empty(1, np.int32)
    buffer = (root, root.view(np.float32))
    for r in range(len(tile)):
        image, mine = row + r, tile[r]
        end = worst[image]
        bits = mine.view(np.int32)
        _raise_to(largest, mine)
        root[0] = _largest(bits)
        row_maximum[image] = max(row_maximum[image], buffer[1][0])
        for first in range(0, width, _CHUNK):
            last = min(first + _CHUNK, width)
            if not _count_entering(mine, end, ends, np.uint64(first), np.uint64(last)):
                continue
            for c in range(first, last):
                if mine[c] <= end:
                    end = _enter(keys, image, bits[c], column + c, end, *buffer)
                if mine[c] <= ends[c]:
                    ends[c] = _enter(keys, column + c, bits[c], image, ends[c], *buffer)
        worst[image] = end


@compiled
def _enter(
    keys: IntArray,
    image: int,
    bits: int,
    other: int,
    worst: float,
    root: IndexArray,
    distance: FloatArray,
) -> float:
    """Put an image in the place of a heap's root if it is nearer; return the distance to beat.

    `root` and `distance` are two views of one number, its bits and its value.
    """
    key = (np.int64(bits) << 32) | other
    if key >= keys[image, 0]:
        return worst
    size, place, child = keys.shape[1], 0, 1
    while child < size:
        if child + 1 < size and keys[image, child + 1] > keys[image, child]:
            child += 1
        if keys[image, child] < key:
            break
        keys[image, place] = keys[image, child]
        place, child = child, 2 * child + 1
    keys[image, place] = key
    root[0] = keys[image, 0] >> 32
    nearest: float = min(worst, distance[0])
    return nearest


# The following loops are short so that each becomes vector instructions.


@compiled_reduction
def _raise_to(largest: FloatArray, distances: FloatArray) -> None:
    for place in range(len(largest)):
        most, d = largest[place], distances[place]
        largest[place] = most if most > d else d


@compiled_reduction
def _largest(bits: IndexArray) -> int:
    """Return the largest of the bits of distances, which order like the distances."""
    most = np.int32(0)
    for place in range(len(bits)):
        most = bits[place] if bits[place] > most else most
    return int(most)


@compiled_reduction
def _count_entering(
    distances: FloatArray, end: float, ends: FloatArray, first: np.uint64, last: np.uint64
) -> int:
    """Count distances that enter the list of the row or of their column.

    Places are unsigned: a signed one might count from the end, which is tested each time.
    """
    count = 0
    for place in range(first, last):
        count += (distances[place] <= end) | (distances[place] <= ends[place])
    return count


@compiled
def _sort_rows(start: int, stop: int, distances: FloatArray, indices: IndexArray) -> None:
    for image in range(start, stop):
        sort_pairs(distances[image], indices[image])
