"""Where the matches of a query stand among the gallery images that count, without sorting.

The images that do not count are moved to infinity. Then the rank of a match is one more than the
number of nearer images, which takes one pass of comparisons over the row, many at a time. A query
with many matches is counted the other way round: each image is placed among the sorted matches.
"""

import numpy as np
import numpy.typing as npt

from reid.compiled import compiled
from reid.retrieval.features import DoubleArray, FloatArray, IntArray
from reid.retrieval.labels import excluded
from reid.retrieval.sorting import sort_pairs

# matches from which on placing the images is cheaper than a pass for each match
MANY = 64
# images that are compared at once with the end of the list of nearest images
_CHUNK = 64


@compiled
def rank_rows(
    start: int,
    stop: int,
    block: FloatArray,
    first_query: int,
    ties: int,
    tie_margin: float,
    order: IntArray,
    first: IntArray,
    last: IntArray,
    junk: IntArray,
    query_cameras: IntArray,
    gallery_cameras: IntArray,
    exclusion: int,
    offsets: IntArray,
    ranks: IntArray,
    top_indices: IntArray,
    top_distances: DoubleArray,
    faults: npt.NDArray[np.bool_],
) -> None:
    """Fill ranks and lists of nearest images for rows `start` to `stop` of a block.

    Args:
        start, stop: First row, and the one after the last.
        block: Distances [b, G].
        first_query: Number of the query in row 0.
        ties: Equal distances stand for a match (-1), in order of index (0) or against it (1).
        tie_margin: Distances this close count as equal.
        order: Gallery indices grouped by person [G]; `first` and `last` enclose each query's [Q].
        junk: Gallery indices that never count, ascending.
        query_cameras, gallery_cameras: [Q] and [G].
        exclusion: A value of `EXCLUSIONS`.
        offsets: Start of each query in `ranks` [Q + 1].
        ranks: Written: ascending ranks of the matches, query after query.
        top_indices, top_distances: Written: nearest images that count, how near [Q, K].
        faults: Written: whether a row holds a number that is not finite [b].
    """
    kept = np.empty(block.shape[1], block.dtype)
    for row in range(start, stop):
        query = first_query + row
        camera = query_cameras[query]
        faults[row] = _copy(block[row], kept)
        kept[junk] = np.inf
        if exclusion == 2:
            _hide_camera(kept, gallery_cameras, camera)
        matches = np.empty(offsets[query + 1] - offsets[query], np.int64)
        same = order[first[query] : last[query]]
        _part_matches(kept, same, gallery_cameras, camera, exclusion, matches)
        distances = np.empty(len(matches), np.float64)
        for place in range(len(matches)):
            distances[place] = kept[matches[place]] + ties * tie_margin
        if top_indices.shape[1] > 0:
            _keep_nearest(kept, top_distances[query], top_indices[query])
        kept[matches] = np.inf
        sort_pairs(distances, matches)
        mine = ranks[offsets[query] : offsets[query + 1]]
        if len(matches) < MANY:
            _count_for_each(kept, distances, matches, ties, mine)
        else:
            _place_each(kept, distances, matches, ties, mine)


@compiled
def _copy(row: FloatArray, kept: FloatArray) -> bool:
    """Copy a row; tell whether it holds NaN or infinity."""
    faults = 0
    for item in range(len(row)):
        kept[item] = row[item]
        faults += not abs(row[item]) < np.inf
    return faults > 0


@compiled
def _part_matches(
    kept: FloatArray,
    same: IntArray,
    cameras: IntArray,
    camera: int,
    exclusion: int,
    matches: IntArray,
) -> None:
    """List the images of the person that count, and hide the others."""
    count = 0
    for item in same:
        if excluded(exclusion, True, cameras[item] == camera):
            kept[item] = np.inf
        else:
            matches[count] = item
            count += 1


@compiled
def _hide_camera(kept: FloatArray, cameras: IntArray, camera: int) -> None:
    for item in range(len(kept)):
        if cameras[item] == camera:
            kept[item] = np.inf


@compiled
def _count_for_each(
    kept: FloatArray, distances: DoubleArray, matches: IntArray, ties: int, ranks: IntArray
) -> None:
    for place in range(len(matches)):
        # images before this place stand in front at an equal distance
        turn = matches[place]
        if ties != 0:
            turn = len(kept) if ties > 0 else 0
        # equal for a distance of the row, and compared without a conversion
        limit: np.floating = kept.dtype.type(distances[place])
        before = _count_not_farther(kept[:turn], limit) + _count_nearer(kept[turn:], limit)
        ranks[place] = before + place + 1


@compiled
def _count_nearer(distances: FloatArray, limit: np.floating) -> int:
    count = 0
    for item in range(len(distances)):
        count += distances[item] < limit
    return count


@compiled
def _count_not_farther(distances: FloatArray, limit: np.floating) -> int:
    count = 0
    for item in range(len(distances)):
        count += distances[item] <= limit
    return count


@compiled
def _place_each(
    kept: FloatArray, distances: DoubleArray, matches: IntArray, ties: int, ranks: IntArray
) -> None:
    ranks[:] = 0
    farthest = distances[-1]
    for item in range(len(kept)):
        d = np.float64(kept[item])
        if d <= farthest:
            place = _first_after(d, item, distances, matches, ties)
            if place < len(ranks):
                ranks[place] += 1
    passed = 0
    for place in range(len(ranks)):
        passed += ranks[place]
        ranks[place] = passed + place + 1


@compiled
def _first_after(d: float, item: int, distances: DoubleArray, matches: IntArray, ties: int) -> int:
    """Return the place of the first match that another image at distance `d` precedes."""
    low, high = 0, len(matches)
    while low < high:
        middle = (low + high) // 2
        precedes = d < distances[middle]
        if d == distances[middle]:
            precedes = ties > 0 or (ties == 0 and item < matches[middle])
        if precedes:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def _keep_nearest(kept: FloatArray, distances: DoubleArray, indices: IntArray) -> None:
    """Fill a list of the nearest images, ties by index; the list starts out infinite."""
    worst = kept.dtype.type(distances[-1])
    for chunk in range(0, len(kept), _CHUNK):
        part = kept[chunk : chunk + _CHUNK]
        if _count_nearer(part, worst) == 0:
            continue
        for place in range(len(part)):
            if part[place] < worst:
                worst = kept.dtype.type(_insert(part[place], chunk + place, distances, indices))


@compiled
def _insert(d: float, item: int, distances: DoubleArray, indices: IntArray) -> float:
    """Insert into an ascending list behind equal distances; return the new worst distance."""
    place = len(distances) - 1
    while place > 0 and distances[place - 1] > d:
        distances[place] = distances[place - 1]
        indices[place] = indices[place - 1]
        place -= 1
    distances[place] = d
    indices[place] = item
    worst: float = distances[-1]
    return worst
