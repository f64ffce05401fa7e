import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.retrieval.sorting import sort_pairs


@given(st.lists(st.integers(-5, 5), max_size=40), st.randoms())
@settings(max_examples=60, deadline=None)
def test_sorts_by_key_and_then_item(values: list[int], random: object) -> None:
    items = list(range(len(values)))
    random.shuffle(items)
    keys, places = np.array(values, np.float64), np.array(items, np.int64)
    expected = sorted(zip(keys.tolist(), items, strict=True))
    sort_pairs(keys, places)
    assert list(zip(keys.tolist(), places.tolist(), strict=True)) == expected
