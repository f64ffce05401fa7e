"""The search for near hashes against a comparison of everything with everything."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.validation.near import (
    COMPARISONS,
    RADIUS,
    Hashes,
    count_bits,
    find_nearest,
    says_something,
)

hashes = st.integers(0, 2**64 - 1)
changes = st.lists(st.integers(0, 63), max_size=5)


def differ(one: int, other: int) -> int:
    return (int(one) ^ int(other)).bit_count()


@st.composite
def families(draw: st.DrawFn) -> tuple[Hashes, Hashes]:
    """Hashes to look for and to look among, many of them a few bits from a common ancestor."""
    ancestors = draw(st.lists(hashes, min_size=1, max_size=3))

    def member() -> int:
        value = draw(st.sampled_from(ancestors))
        for bit in draw(changes):
            value ^= 1 << bit
        return value

    sizes = draw(st.tuples(st.integers(0, 8), st.integers(0, 8)))
    needles, haystack = ([member() for _ in range(size)] for size in sizes)
    return np.array(needles, np.uint64), np.array(haystack, np.uint64)


@settings(max_examples=80, deadline=None)
@given(families())
def test_the_nearest_is_found(family: tuple[Hashes, Hashes]) -> None:
    needles, haystack = family
    nearest = find_nearest(needles, haystack, COMPARISONS)
    assert not nearest.skipped.any()
    for needle, position, distance in zip(needles, nearest.position, nearest.distance, strict=True):
        least = min((differ(needle, other) for other in haystack), default=64)
        assert distance == min(least, RADIUS + 1)
        if least <= RADIUS:
            assert differ(needle, haystack[position]) == least
        else:
            assert position == -1


def test_every_way_to_spoil_three_bits_is_found() -> None:
    needle = np.array([0x0123456789ABCDEF], np.uint64)
    for bits in np.random.default_rng(0).integers(0, 64, (200, RADIUS)):
        spoilt = needle ^ np.bitwise_or.reduce(np.uint64(1) << bits.astype(np.uint64))
        assert find_nearest(needle, spoilt, COMPARISONS).position[0] == 0


def test_long_lists_are_compared_in_parts() -> None:
    ancestor = np.uint64(0xFFFF)
    low = (np.arange(2000, dtype=np.uint64) << np.uint64(40)) | ancestor
    nearest = find_nearest(low, low ^ np.uint64(1), 10**9)
    assert list(nearest.distance) == [1] * 2000
    assert list(nearest.position) == list(range(2000))


def test_crowds_are_left_out_and_said_so() -> None:
    crowd = np.arange(50, dtype=np.uint64)
    alone = np.uint64(0xF0F0F0F0F0F0F0F0)
    haystack = np.append(crowd, alone)
    nearest = find_nearest(np.append(crowd[:20], alone), haystack, 40)
    assert nearest.distance[-1] == 0
    assert list(nearest.skipped) == [True] * 20 + [False]


@settings(max_examples=50, deadline=None)
@given(st.lists(hashes, min_size=1, max_size=5))
def test_bits_are_counted(values: list[int]) -> None:
    found = count_bits(np.array(values, np.uint64))
    assert list(found) == [value.bit_count() for value in values]


def test_flat_images_say_nothing() -> None:
    values = [0, 2**7 - 1, 2**8 - 1, 2**56 - 1, 2**57 - 1, 2**64 - 1]
    found = says_something(np.array(values, np.uint64))
    assert list(found) == [False, False, True, True, False, False]
