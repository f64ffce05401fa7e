"""Sort short lists inside compiled loops.

The sorts of numba do the same, at ten seconds of compilation for each type.
"""

from typing import Any

import numpy.typing as npt

from reid.compiled import compiled

Vector = npt.NDArray[Any]


@compiled
def sort_pairs(keys: Vector, items: Vector) -> None:
    """Sort by key and then by item, both in place, by heap sort.

    Args:
        keys: Numbers without NaN [n].
        items: Distinct integers, so that the order is unique [n].
    """
    size = len(keys)
    for root in range(size // 2 - 1, -1, -1):
        _sift(keys, items, root, size)
    for last in range(size - 1, 0, -1):
        keys[0], keys[last] = keys[last], keys[0]
        items[0], items[last] = items[last], items[0]
        _sift(keys, items, 0, last)


@compiled
def _sift(keys: Vector, items: Vector, root: int, size: int) -> None:
    """Let the pair at `root` sink until both its children are smaller."""
    key, item = keys[root], items[root]
    child = 2 * root + 1
    while child < size:
        right = child + 1
        if right < size and (
            keys[right] > keys[child]
            or (keys[right] == keys[child] and items[right] > items[child])
        ):
            child = right
        if keys[child] < key or (keys[child] == key and items[child] < item):
            break
        keys[root], items[root] = keys[child], items[child]
        root, child = child, 2 * child + 1
    keys[root], items[root] = key, item
