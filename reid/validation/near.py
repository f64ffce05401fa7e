"""Search for almost equal hashes: exact, without comparing everything with everything.

Two hashes of 64 bits that differ in at most 3 of them agree in at least two of five bands, for
three bits can spoil three bands only. So for each of the ten pairs of bands, hashes that agree on
both (about 26 bits) are compared, and no others.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

RADIUS = 3
"""Bits in which near hashes differ at most."""

FLAT_BITS = 8
"""A hash with fewer bits set, or fewer not set, is that of a flat image and says nothing."""

COMPARISONS = 20_000_000
"""Comparisons per pair of bands before the most crowded hashes are left out."""

_CHUNK = 1 << 20
_WIDTHS = (13, 13, 13, 13, 12)


class Nearest(NamedTuple):
    """The nearest hash for each of the hashes looked for; all [N].

    Attributes:
        position: Where it stands in the haystack; -1 if none is within `RADIUS`.
        distance: In how many bits it differs; `RADIUS` + 1 if none is near.
        skipped: Whether some comparisons were left out because too many hashes look alike.
    """

    position: NDArray[np.int64]
    distance: NDArray[np.int64]
    skipped: NDArray[np.bool_]


def find_nearest(needles: Hashes, haystack: Hashes, comparisons: int) -> Nearest:
    """Find for each needle the nearest hash of the haystack that differs in at most `RADIUS` bits.

    Args:
        needles: Hashes to look for [N], any number of equal ones.
        haystack: Hashes to look among [M].
        comparisons: Bound on the work, see `COMPARISONS`.
    """
    wanted, back = np.unique(needles, return_inverse=True)
    values, first = np.unique(haystack, return_index=True)
    # Distance and position in one number, so that one minimum finds both.
    best = np.full(len(wanted), (RADIUS + 1) << 32, np.int64)
    skipped = np.zeros(len(wanted), np.bool_)
    for mask in _band_masks():
        keys = values & mask
        order = np.argsort(keys, kind="stable")
        start = np.searchsorted(keys[order], wanted & mask, "left")
        count = np.searchsorted(keys[order], wanted & mask, "right") - start
        skipped |= _crowded(count, comparisons)
        count[_crowded(count, comparisons)] = 0
        for rows in _chunks(count):
            columns = order[_ranges(start[rows], count[rows])]
            owners = np.repeat(wanted[rows], count[rows])
            score = (count_bits(owners ^ values[columns]).astype(np.int64) << 32) | columns
            ends = np.cumsum(count[rows])
            lowest = np.minimum.reduceat(score, ends - count[rows])
            best[rows] = np.minimum(best[rows], lowest)
    distance = best >> 32
    near = distance <= RADIUS
    position = np.full(len(wanted), -1, np.int64)
    position[near] = first[best[near] & 0xFFFFFFFF]
    return Nearest(position[back], np.minimum(distance, RADIUS + 1)[back], skipped[back])


def count_bits(values: Hashes) -> Hashes:
    """Count the bits that are set in each number, by adding neighbours up."""
    one, two, four = (np.uint64(int(byte * 8, 16)) for byte in ("55", "33", "0f"))
    values = values - ((values >> np.uint64(1)) & one)
    values = (values & two) + ((values >> np.uint64(2)) & two)
    values = (values + (values >> np.uint64(4))) & four
    return (values * np.uint64(int("01" * 8, 16))) >> np.uint64(56)


def says_something(hashes: Hashes) -> NDArray[np.bool_]:
    """Tell which hashes are not those of flat images."""
    bits = count_bits(hashes)
    return (bits >= FLAT_BITS) & (bits <= 64 - FLAT_BITS)


def _band_masks() -> Iterator[np.uint64]:
    bands, low = [], 0
    for width in _WIDTHS:
        bands.append(((1 << width) - 1) << low)
        low += width
    for one, other in combinations(bands, 2):
        yield np.uint64(one | other)


def _crowded(count: NDArray[np.int64], comparisons: int) -> NDArray[np.bool_]:
    """Pick the hashes with most candidates, so that the others stay within the bound."""
    order = np.argsort(count, kind="stable")
    crowded = np.zeros(len(count), np.bool_)
    crowded[order[np.cumsum(count[order]) > comparisons]] = True
    return crowded


def _chunks(count: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Split the hashes that have candidates into parts of about `_CHUNK` comparisons."""
    rows = np.flatnonzero(count)
    part = np.cumsum(count[rows]) // _CHUNK
    yield from (chunk for chunk in np.split(rows, np.flatnonzero(np.diff(part)) + 1) if len(chunk))


def _ranges(start: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """Write the ranges start, start + 1, … of the given lengths behind one another."""
    ends = np.cumsum(count)
    numbers: NDArray[np.int64] = np.arange(ends[-1]) + np.repeat(start - (ends - count), count)
    return numbers
