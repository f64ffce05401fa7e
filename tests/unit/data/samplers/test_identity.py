from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.samplers.identity import IdentityBatchSampler
from reid.errors import DataError, ParamsError

SIZES = st.lists(st.integers(1, 9), min_size=4, max_size=10)


def labels_of(sizes: list[int]) -> list[int]:
    return [label for label, size in enumerate(sizes) for _ in range(size)]


@settings(deadline=None, max_examples=40)
@given(SIZES, st.integers(2, 4), st.integers(2, 4), st.integers(0, 99))
def test_every_batch_has_p_people_with_k_images(
    sizes: list[int], p: int, k: int, seed: int
) -> None:
    labels = labels_of(sizes)
    sampler = IdentityBatchSampler(labels, p, k, seed)
    seen: Counter[int] = Counter()
    for batch in sampler:
        assert Counter(Counter(labels[i] for i in batch).values()) == {k: p}
        seen.update(batch)
    assert sum(seen.values()) <= sampler.reported_length
    rich = {label for label, size in enumerate(sizes) if size >= k}
    assert all(count == 1 for index, count in seen.items() if labels[index] in rich)


@settings(deadline=None, max_examples=20)
@given(SIZES, st.integers(0, 9))
def test_an_epoch_ends_when_fewer_than_p_people_are_left(sizes: list[int], seed: int) -> None:
    labels = labels_of(sizes)
    chunks = {label: max(1, size // 2) for label, size in enumerate(sizes)}
    for batch in IdentityBatchSampler(labels, 2, 2, seed):
        for label in {labels[i] for i in batch}:
            chunks[label] -= 1
    assert sum(left > 0 for left in chunks.values()) < 2


def test_the_processes_share_one_global_batch() -> None:
    labels = labels_of([5] * 8)
    whole = list(IdentityBatchSampler(labels, 4, 2, seed=3))
    parts = [list(IdentityBatchSampler(labels, 4, 2, 3, rank, 2)) for rank in (0, 1)]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole


def test_the_draw_depends_on_seed_and_epoch_alone() -> None:
    labels = labels_of([6] * 6)
    sampler = IdentityBatchSampler(labels, 3, 2, seed=1)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first
    assert list(IdentityBatchSampler(labels, 3, 2, seed=2)) != first


def test_too_few_people() -> None:
    with pytest.raises(DataError, match="has 2 people; expected at least 4"):
        IdentityBatchSampler([0, 0, 1, 1], 4, 2, seed=0)


def test_processes_must_divide_the_people() -> None:
    with pytest.raises(ParamsError, match="is 4 with 3 processes; expected a multiple"):
        IdentityBatchSampler(labels_of([4] * 4), 4, 2, seed=0, world_size=3)
