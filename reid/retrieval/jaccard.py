"""Jaccard distance of k-reciprocal neighbourhoods, kept sparse throughout.

Zhong et al., Re-ranking person re-identification with k-reciprocal encoding, CVPR 2017. Every
image gets a sparse row of weights over the images in its neighbourhood; the overlap of two rows is
found through an inverted index, so only pairs with a common neighbour cost anything.
"""

from dataclasses import dataclass

import numpy as np

from reid.compiled import compiled, over_rows
from reid.retrieval.features import DoubleArray, FloatArray, IntArray
from reid.retrieval.pair_distances import IndexArray
from reid.retrieval.sorting import sort_pairs


@dataclass(frozen=True)
class SparseRows:
    """Rows of which only the non-zero entries are held, in ascending order of column.

    Args:
        offsets: Start of each row, and the end of the last [N + 1].
        columns: Column of each entry.
        values: Value of each entry.
    """

    offsets: IntArray
    columns: IndexArray
    values: FloatArray

    def take(self, rows: IntArray) -> "SparseRows":
        """Return the given rows in the given order."""
        offsets = np.concatenate([[0], np.cumsum(np.diff(self.offsets)[rows])]).astype(np.int64)
        columns = np.empty(offsets[-1], self.columns.dtype)
        values = np.empty(offsets[-1], self.values.dtype)
        source = (self.offsets, self.columns, self.values)
        over_rows(_copy_rows, len(rows), rows, *source, offsets, columns, values)
        return SparseRows(offsets, columns, values)

    def transposed(self, width: int) -> "SparseRows":
        """Return the inverted index: for each of `width` columns its rows and values."""
        counts = np.bincount(self.columns, minlength=width)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        owners, values = np.empty_like(self.columns), np.empty_like(self.values)
        source = (self.offsets, self.columns, self.values)
        _transpose(*source, offsets[:-1].copy(), owners, values)
        return SparseRows(offsets, owners, values)

    def rounded(self, precision: type[np.floating]) -> "SparseRows":
        """Return the rows with values rounded to a precision, still held as float32."""
        values = self.values.astype(precision, copy=False).astype(np.float32, copy=False)
        return SparseRows(self.offsets, self.columns, values)


def reciprocal_sets(neighbours: IndexArray, size: int) -> IndexArray:
    """Keep of each list the members that have the image in their own list.

    Args:
        neighbours: Nearest first [N, >= size].
        size: Length of the lists to use, the image itself included.

    Returns:
        Members in order of distance, then -1 to the end of the row [N, size].
    """
    lists = np.ascontiguousarray(neighbours[:, :size])
    members = np.full(lists.shape, -1, np.int32)
    over_rows(_keep_reciprocal, len(lists), lists, members)
    return members


def expanded_sets(full: IndexArray, half: IndexArray) -> SparseRows:
    """Add to each set the half sets of those members that overlap it by more than two thirds.

    Args:
        full: Reciprocal sets of the full list length [N, k], -1 behind the last member.
        half: Reciprocal sets of half the list length [N, h].

    Returns:
        Rows of the sets, values still 0. The overlap is taken with the set before expansion.
    """
    offsets = np.zeros(len(full) + 1, np.int64)
    nothing = np.empty(0, np.int32)
    over_rows(_expand, len(full), full, half, offsets[1:], offsets, nothing)
    np.cumsum(offsets, out=offsets)
    columns = np.empty(offsets[-1], np.int32)
    over_rows(_expand, len(full), full, half, nothing.astype(np.int64), offsets, columns)
    return SparseRows(offsets, columns, np.zeros(len(columns), np.float32))


def weigh(sets: SparseRows, distances: FloatArray, scale: DoubleArray, power: int) -> SparseRows:
    """Give each member the weight exp(-(scale d)^power), and each row the sum 1.

    Args:
        sets: Members of each image's neighbourhood [N rows].
        distances: Of each member to the image, d, entry by entry.
        scale: Factor on the distances of each row [N].
        power: 1, or 2 for codes that square the squared distance again.
    """
    values = np.empty(len(sets.columns), np.float32)
    over_rows(_weigh_rows, len(scale), sets.offsets, distances, scale, power, values)
    return SparseRows(sets.offsets, sets.columns, values)


def mean_rows(rows: SparseRows, neighbours: IndexArray, count: int) -> SparseRows:
    """Replace each row by the mean of the rows of its first `count` neighbours (itself included).

    Args:
        rows: Weights [N rows].
        neighbours: Nearest first [N, k]; a list shorter than `count` is used whole.
        count: Rows to average, k2 of the paper; 1 changes nothing.
    """
    if count <= 1:
        return rows
    lists = np.ascontiguousarray(neighbours[:, :count])
    offsets = np.zeros(len(lists) + 1, np.int64)
    nothing, no_values = np.empty(0, np.int32), np.empty(0, np.float32)
    source = (rows.offsets, rows.columns, rows.values)
    over_rows(_average, len(lists), lists, *source, offsets[1:], offsets, nothing, no_values)
    np.cumsum(offsets, out=offsets)
    columns, values = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.float32)
    none = np.empty(0, np.int64)
    over_rows(_average, len(lists), lists, *source, none, offsets, columns, values)
    return SparseRows(offsets, columns, values)


def mix_jaccard(
    block: FloatArray,
    factors: FloatArray,
    query: SparseRows,
    gallery: SparseRows,
    first_query: int,
    weight: float,
) -> None:
    """Turn a block of distances d into `factor` d plus `weight` times the Jaccard distance.

    The Jaccard distance is 1 - m / (2 - m), with m the sum over columns of the smaller of both
    values.

    Args:
        block: [b, G], changed in place.
        factors: On the distances of each query [Q].
        query: Weights of all queries [Q rows].
        gallery: Inverted index of the gallery rows (`SparseRows.transposed`).
        first_query: Row of `query` that belongs to the first row of the block.
        weight: Factor on the Jaccard distance.
    """
    rows = (query.offsets, query.columns, query.values)
    index = (gallery.offsets, gallery.columns, gallery.values)
    over_rows(_mix_rows, len(block), block, factors, first_query, *rows, *index, weight)


@compiled
def _copy_rows(
    start: int,
    stop: int,
    rows: IntArray,
    offsets: IntArray,
    columns: IndexArray,
    values: FloatArray,
    new_offsets: IntArray,
    new_columns: IndexArray,
    new_values: FloatArray,
) -> None:
    for place in range(start, stop):
        first, target = offsets[rows[place]], new_offsets[place]
        for entry in range(offsets[rows[place] + 1] - first):
            new_columns[target + entry] = columns[first + entry]
            new_values[target + entry] = values[first + entry]


@compiled
def _transpose(
    offsets: IntArray,
    columns: IndexArray,
    values: FloatArray,
    free: IntArray,
    owners: IndexArray,
    new_values: FloatArray,
) -> None:
    """Deal the entries out by column; `free` is the next free place of each column."""
    for row in range(len(offsets) - 1):
        for entry in range(offsets[row], offsets[row + 1]):
            place = free[columns[entry]]
            owners[place] = row
            new_values[place] = values[entry]
            free[columns[entry]] += 1


@compiled
def _keep_reciprocal(start: int, stop: int, lists: IndexArray, members: IndexArray) -> None:
    size = lists.shape[1]
    for image in range(start, stop):
        kept = 0
        for place in range(size):
            other = lists[image, place]
            for back in range(size):
                if lists[other, back] == image:
                    members[image, kept] = other
                    kept += 1
                    break


@compiled
def _expand(
    start: int,
    stop: int,
    full: IndexArray,
    half: IndexArray,
    sizes: IntArray,
    offsets: IntArray,
    columns: IndexArray,
) -> None:
    """Count the members of each expanded set into `sizes`, or write them to `columns`."""
    counting = len(sizes) > 0
    original = np.full(len(full), -1, np.int32)
    added = np.full(len(full), -1, np.int32)
    members = np.empty(len(full), np.int32)
    for image in range(start, stop):
        size = 0
        for member in full[image]:
            if member < 0:
                break
            original[member] = image
            added[member] = image
            members[size] = member
            size += 1
        for candidate in full[image]:
            if candidate < 0:
                break
            common, length = 0, 0
            for member in half[candidate]:
                if member < 0:
                    break
                length += 1
                common += original[member] == image
            # more than two thirds, in integers
            if 3 * common <= 2 * length:
                continue
            for member in half[candidate][:length]:
                if added[member] != image:
                    added[member] = image
                    members[size] = member
                    size += 1
        if counting:
            sizes[image] = size
        else:
            sort_pairs(members[:size], members[:size].copy())
            for place in range(size):
                columns[offsets[image] + place] = members[place]


@compiled
def _weigh_rows(
    start: int,
    stop: int,
    offsets: IntArray,
    distances: FloatArray,
    scale: DoubleArray,
    power: int,
    values: FloatArray,
) -> None:
    for image in range(start, stop):
        first, last = offsets[image], offsets[image + 1]
        weights = np.empty(last - first, np.float64)
        total = 0.0
        for entry in range(first, last):
            d = scale[image] * distances[entry]
            weight = np.exp(-d if power == 1 else -(d**power))
            weights[entry - first] = weight
            total += weight
        for entry in range(first, last):
            values[entry] = weights[entry - first] / total


@compiled
def _average(
    start: int,
    stop: int,
    lists: IndexArray,
    offsets: IntArray,
    columns: IndexArray,
    values: FloatArray,
    sizes: IntArray,
    new_offsets: IntArray,
    new_columns: IndexArray,
    new_values: FloatArray,
) -> None:
    """Count the entries of each mean row into `sizes`, or write them."""
    counting = len(sizes) > 0
    seen = np.full(len(lists), -1, np.int32)
    sums = np.zeros(len(lists), np.float64)
    touched = np.empty(len(lists), np.int32)
    for image in range(start, stop):
        size = 0
        for neighbour in lists[image]:
            for entry in range(offsets[neighbour], offsets[neighbour + 1]):
                column = columns[entry]
                if seen[column] != image:
                    seen[column] = image
                    sums[column] = 0.0
                    touched[size] = column
                    size += 1
                sums[column] += values[entry]
        if counting:
            sizes[image] = size
            continue
        sort_pairs(touched[:size], touched[:size].copy())
        for place in range(size):
            column = touched[place]
            new_columns[new_offsets[image] + place] = column
            new_values[new_offsets[image] + place] = sums[column] / lists.shape[1]


@compiled
def _mix_rows(
    start: int,
    stop: int,
    block: FloatArray,
    factors: FloatArray,
    first_query: int,
    offsets: IntArray,
    columns: IndexArray,
    values: FloatArray,
    gallery_offsets: IntArray,
    gallery_rows: IndexArray,
    gallery_values: FloatArray,
    weight: float,
) -> None:
    overlap = np.empty(block.shape[1], np.float64)
    for row in range(start, stop):
        overlap[:] = 0.0
        query = first_query + row
        for entry in range(offsets[query], offsets[query + 1]):
            column, value = columns[entry], values[entry]
            for place in range(gallery_offsets[column], gallery_offsets[column + 1]):
                overlap[gallery_rows[place]] += min(value, gallery_values[place])
        factor = factors[query]
        for item in range(block.shape[1]):
            m = overlap[item]
            block[row, item] = factor * block[row, item] + weight * (1.0 - m / (2.0 - m))
