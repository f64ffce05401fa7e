"""How much the images of one person differ, against a double loop."""

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.validation.spread import FEWEST, label_spread


def mean_difference(hashes: list[int]) -> float:
    pairs = [(one ^ other).bit_count() for one, other in combinations(hashes, 2)]
    return sum(pairs) / len(pairs)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=FEWEST, max_size=6),
    st.lists(st.integers(0, 2**64 - 1), min_size=FEWEST, max_size=6),
)
def test_spread_equals_a_double_loop(make_manifest: Any, one: list[int], two: list[int]) -> None:
    strangers = mean_difference(one + two)
    rows = [{"split": "train", "pid": 1, "phash64": value} for value in one]
    rows += [{"split": "pretrain", "pid": 2, "phash64": value} for value in two]
    table = label_spread(make_manifest(rows).frame)
    if strangers == 0:
        assert table.empty
        return
    expected = sorted([mean_difference(one) / strangers, mean_difference(two) / strangers])
    assert list(table["spread"]) == pytest.approx(expected[::-1])


def test_the_largest_spread_comes_first(make_manifest: Any) -> None:
    rows = [{"split": "train", "pid": 1, "phash64": 0}] * 4
    rows += [{"split": "train", "pid": 2, "phash64": value} for value in (0, 0, 255, 255)]
    rows += [{"split": "train", "pid": 3, "phash64": value} for value in (1, 2, 4)]
    rows += [{"split": "query", "pid": 4, "phash64": 2**64 - 1}] * 4
    rows += [{"split": "train", "pid": 5, "flag": "broken"}]
    table = label_spread(make_manifest(rows).frame)
    assert table["subject"].str.split(":").str[1].tolist() == ["2", "1"]
    # Among 11 images three bits are set in 3 of them, and five in 2: of 110 ordered pairs
    # 2 * 3 * 8 differ in each of the three, and 2 * 2 * 9 in each of the five.
    strangers = (3 * 48 + 5 * 36) / 110
    first = "person toy:2: 5.3 of 64 bits differ between 4 images, 2.9 between strangers"
    assert table["subject"][0] == first
    assert list(table["spread"]) == pytest.approx([8 * 2 * 2 * 2 / 12 / strangers, 0])


def test_without_labels_there_is_no_spread(make_manifest: Any) -> None:
    rows = [{"split": "pretrain", "pid": None, "phash64": n} for n in range(5)]
    assert label_spread(make_manifest(rows).frame).empty
