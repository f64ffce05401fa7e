"""Count impostor pairs by distance, exactly, between any number of knots.

Every pair of a test set is looked at once, which at a hundred thousand images is a thousand million
pairs. A search over all knots for each of them is too slow. So a table cuts the range of the knots
into equal cells and holds the first knot of each: most cells hold none, and a pair there is done.
"""

import numpy as np
import numpy.typing as npt

from reid import compiled as machine
from reid.compiled import compiled, over_rows
from reid.retrieval.features import DoubleArray, IntArray
from reid.retrieval.labels import JUNK, Labels
from reid.retrieval.ranking import Block

Codes = npt.NDArray[np.int32]
Cells = npt.NDArray[np.uint32]
# cells for each knot, within bounds: few cells hold a knot, and the table stays in the cache
_CELLS_PER_KNOT = 16
_FEWEST_CELLS, _MOST_CELLS = 1 << 8, 1 << 20
# pairs of a row that are looked at together; their cells stay in the first-level cache
_PART = 2048
# knots of a cell that are compared with a distance at once
_AT_ONCE = 4
_NO_CAMERA = -1


class ImpostorCounter:
    """Counts impostor pairs that count for their query, block by block (a `BlockWatcher`).

    Counts are whole numbers, so neither block size nor number of threads alters them. Memory is 16
    bytes for each knot and thread, and at most 4 MB for the table.

    Args:
        labels: Persons, cameras and the exclusion rule.
        knots: Ascending distinct distances without NaN [K].
    """

    def __init__(self, labels: Labels, knots: DoubleArray) -> None:
        self._labels = _codes(labels)
        finite = knots[np.isfinite(knots)]
        lowest = float(finite[0]) if len(finite) else 0.0
        highest = float(finite[-1]) if len(finite) else 0.0
        size = _CELLS_PER_KNOT * len(knots)
        cells = min(max(1 << size.bit_length(), _FEWEST_CELLS), _MOST_CELLS)
        scale = (cells - 1) / (highest - lowest) if highest > lowest else 0.0
        self._grid = (lowest, scale)
        self._table = _first_knots(knots, lowest, scale, cells)
        # nothing is beyond the added ones, so that every search ends
        self._knots = np.append(knots, np.full(_AT_ONCE, np.inf))
        # slot k: between knots k - 1 and k, or at knot k; the last slot takes what does not count
        shares = machine.thread_count()
        self._between = np.zeros((shares, len(knots) + 2), np.int64)
        self._equal = np.zeros((shares, len(knots) + 2), np.int64)

    def add(self, first_query: int, block: Block) -> None:
        """Count a block [b, G] without NaN whose first row belongs to query `first_query`."""
        counts = (self._between, self._equal)
        search = (self._knots, self._table, *self._grid)
        over_rows(
            _count_shares, len(self._between), block, first_query, *self._labels, *search, *counts
        )

    @property
    def below(self) -> IntArray:
        """Impostor pairs that are nearer than each knot [K]."""
        between, equal = self._between.sum(axis=0), self._equal.sum(axis=0)
        below: IntArray = np.cumsum(between)[:-2] + np.cumsum(equal)[:-2] - equal[:-2]
        return below

    @property
    def equal(self) -> IntArray:
        """Impostor pairs at exactly the distance of each knot [K]."""
        equal: IntArray = self._equal.sum(axis=0)[:-2]
        return equal

    @property
    def total(self) -> int:
        """All impostor pairs."""
        return int(self._between[:, :-1].sum() + self._equal[:, :-1].sum())


def _codes(labels: Labels) -> tuple[Codes, Codes, Codes, Codes]:
    """Return persons and cameras of queries and gallery as small numbers.

    A junk image of the gallery has person -1. Where the exclusion rule leaves the pairs of one
    camera in, no query has a camera: pairs of one person are left out anyway.
    """
    query_persons, gallery_persons = _renumbered(labels.query_person_ids, labels.gallery_person_ids)
    gallery_persons[labels.gallery_person_ids == JUNK] = JUNK
    query_cameras, gallery_cameras = _renumbered(labels.query_camera_ids, labels.gallery_camera_ids)
    if labels.exclusion != "same_camera":
        query_cameras[:] = _NO_CAMERA
    return query_persons, query_cameras, gallery_persons, gallery_cameras


def _renumbered(query: IntArray, gallery: IntArray) -> tuple[Codes, Codes]:
    _, codes = np.unique(np.concatenate([query, gallery]), return_inverse=True)
    small = codes.astype(np.int32)
    return small[: len(query)].copy(), small[len(query) :].copy()


def _first_knots(knots: DoubleArray, lowest: float, scale: float, cells: int) -> Cells:
    """Return twice the number of knots in front of each cell, plus 1 if it holds one [cells + 1].

    The last entry is for pairs that do not count.
    """
    places = np.empty(len(knots), np.uint32)
    _fill_cells(knots, lowest, scale, cells, places)
    held = np.bincount(places, minlength=cells)
    table = 2 * (np.cumsum(held) - held) + (held > 0)
    return np.append(table, 2 * (len(knots) + 1)).astype(np.uint32)


@compiled
def _fill_cells(values: Block, lowest: float, scale: float, cells: int, places: Cells) -> None:
    """Find the cell of each value; a larger value is never in an earlier cell."""
    bottom, top = np.float64(0), np.float64(cells - 1)
    for place in range(len(values)):
        x = (np.float64(values[place]) - lowest) * scale
        # in this form NaN is in the first cell, not outside of the table
        x = x if x > bottom else bottom
        x = x if x < top else top
        places[place] = np.uint32(np.int32(x))


@compiled
def _leave_out(
    persons: Codes, cameras: Codes, person: int, camera: int, last: int, places: Cells
) -> None:
    """Move genuine pairs, junk and the camera that the rule leaves out to the cell `last`."""
    for place in range(len(persons)):
        out = (persons[place] == -1) | (persons[place] == person) | (cameras[place] == camera)
        places[place] = np.uint32(last) if out else places[place]


@compiled
def _count_shares(
    start: int,
    stop: int,
    block: Block,
    first_query: int,
    query_persons: Codes,
    query_cameras: Codes,
    gallery_persons: Codes,
    gallery_cameras: Codes,
    knots: DoubleArray,
    table: Cells,
    lowest: float,
    scale: float,
    between: IntArray,
    equal: IntArray,
) -> None:
    """Count the rows of shares `start` to `stop` of a block, each into its own row of counts."""
    shares, cells = len(between), len(table) - 1
    places, slots = np.empty(_PART, np.uint32), np.empty(_PART, np.uint32)
    distances = np.empty(_PART, np.float64)
    for share in range(start, stop):
        for row in range(len(block) * share // shares, len(block) * (share + 1) // shares):
            person = query_persons[first_query + row]
            camera = query_cameras[first_query + row]
            for left in range(0, block.shape[1], _PART):
                part = block[row, left : left + _PART]
                persons = gallery_persons[left : left + _PART]
                cameras = gallery_cameras[left : left + _PART]
                _fill_cells(part, lowest, scale, cells, places)
                _leave_out(persons, cameras, person, camera, cells, places)
                found = _count_clear(part, places, table, between[share], distances, slots)
                _count_near_knots(distances[:found], slots, knots, between[share], equal[share])


@compiled
def _count_clear(
    part: Block,
    places: Cells,
    table: Cells,
    between: IntArray,
    distances: DoubleArray,
    slots: Cells,
) -> np.int64:
    """Count the pairs whose cell holds no knot; list the others, and return how many."""
    found = np.int64(0)
    for place in range(len(part)):
        entry = table[places[place]]
        held = np.int64(entry & np.uint32(1))
        # without a branch, which could not be foreseen
        between[entry >> np.uint32(1)] += 1 - held
        distances[found] = part[place]
        slots[found] = entry >> np.uint32(1)
        found += held
    return found


@compiled
def _count_near_knots(
    distances: DoubleArray, slots: Cells, knots: DoubleArray, between: IntArray, equal: IntArray
) -> None:
    """Count pairs by the first knot that is not nearer, at or behind the given slot of each."""
    for place in range(len(distances)):
        d = distances[place]
        first = np.int64(slots[place])
        slot = first
        # few cells hold more knots; without a branch, which could not be foreseen
        for next_one in range(_AT_ONCE):
            slot += np.int64(knots[first + next_one] < d)
        if knots[slot] < d:
            slot = _first_not_below(knots, d, slot)
        if knots[slot] == d:
            equal[slot] += 1
        else:
            between[slot] += 1


@compiled
def _first_not_below(knots: DoubleArray, d: float, start: np.int64) -> np.int64:
    """Return the first knot from `start` on that is not below `d`."""
    low, high = start, np.int64(len(knots))
    while low < high:
        middle = (low + high) >> 1
        if knots[middle] < d:
            low = middle + 1
        else:
            high = middle
    return low
