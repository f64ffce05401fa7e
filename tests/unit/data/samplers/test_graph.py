from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.samplers.graph import GraphBatchSampler, ImageCycles, IntArray, nearest_classes
from reid.errors import DataError, ParamsError

SIZES = st.lists(st.integers(1, 9), min_size=4, max_size=8)


def labels_of(sizes: list[int]) -> list[int]:
    return [label for label, size in enumerate(sizes) for _ in range(size)]


def next_ones(chosen: Sequence[int], count: int) -> IntArray:
    """Say that the nearest are those that follow, round and round."""
    total = len(chosen)
    return (np.arange(total)[:, None] + 1 + np.arange(count)) % total


def sampler(labels: list[int], p: int, k: int, seed: int = 3, **more: int) -> GraphBatchSampler:
    made = GraphBatchSampler(labels, p, k, seed, next_ones, **more)
    made.set_epoch(0)
    return made


def test_the_nearest_are_others_and_equals_keep_their_order() -> None:
    distances = np.array([[0, 3, 1, 1], [9, 7, 5, 8]], np.float32)
    found = nearest_classes(distances, np.array([0, 3]), 3)
    assert found.tolist() == [[2, 3, 1], [2, 1, 0]]
    assert distances[0, 0] == 0


@settings(deadline=None, max_examples=30)
@given(SIZES, st.integers(2, 4), st.integers(1, 4), st.integers(0, 99))
def test_a_batch_has_the_nearest_and_its_own_person_last(
    sizes: list[int], p: int, k: int, seed: int
) -> None:
    labels = labels_of(sizes)
    made = sampler(labels, p, k, seed)
    batches = list(made)
    assert len(batches) == len(made) == len(sizes)
    assert sorted(labels[batch[-1]] for batch in batches) == list(range(len(sizes)))
    for batch in batches:
        people = [labels[index] for index in batch[::k]]
        assert [labels[index] for index in batch] == [x for x in people for _ in range(k)]
        assert people == [(people[-1] + 1 + step) % len(sizes) for step in range(p - 1)] + [
            people[-1]
        ]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.lists(st.integers(1, 7), min_size=1, max_size=8))
def test_every_image_of_a_class_comes_before_one_comes_again(size: int, counts: list[int]) -> None:
    shuffle = np.random.default_rng(0).shuffle
    cycles = ImageCycles([list(range(size))], shuffle)
    dealt = [image for count in counts for image in cycles.deal(0, count, shuffle)]
    assert len(dealt) == sum(counts)
    for start in range(0, len(dealt), size):
        assert len(set(dealt[start : start + size])) == len(dealt[start : start + size])


def test_a_class_goes_on_where_the_last_epoch_ended() -> None:
    made = sampler(labels_of([12] * 4), 2, 3)
    seen = Counter(index for batch in made for index in batch)
    made.set_epoch(1)
    seen.update(index for batch in made for index in batch)
    assert seen == Counter(range(48))


def test_a_state_gives_the_epochs_that_would_have_followed() -> None:
    labels = labels_of([5, 3, 7, 2, 4])
    whole = sampler(labels, 3, 2)
    whole.set_epoch(1)
    state = {key: [*values] for key, values in whole.state_dict().items()}
    resumed = GraphBatchSampler(labels, 3, 2, 3, next_ones)
    resumed.load_state_dict(state)
    for epoch in (2, 3):
        whole.set_epoch(epoch)
        resumed.set_epoch(epoch)
        assert list(resumed) == list(whole)


def test_an_epoch_that_is_asked_for_again_is_the_same() -> None:
    made = sampler(labels_of([5, 3, 7, 2]), 2, 2)
    batches = list(made)
    made.set_epoch(0)
    assert list(made) == batches
    made.set_epoch(1)
    assert list(made) != batches
    other = sampler(labels_of([5, 3, 7, 2]), 2, 2, seed=4)
    assert list(other) != batches


def test_the_processes_share_one_global_batch() -> None:
    labels = labels_of([5] * 8)
    whole = list(sampler(labels, 4, 2))
    parts = [list(sampler(labels, 4, 2, rank=rank, world_size=2)) for rank in (0, 1)]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole


def test_fewer_classes_may_lead_a_batch() -> None:
    asked = []

    def nearest(chosen: Sequence[int], count: int) -> IntArray:
        asked.append([labels[index] for index in chosen])
        return next_ones(chosen, count)

    labels = labels_of([3] * 9)
    made = GraphBatchSampler(labels, 2, 2, 0, nearest, max_classes=4)
    assert len(made) == 4
    for epoch in range(6):
        made.set_epoch(epoch)
        leaders = sorted(labels[batch[-1]] for batch in made)
        assert leaders == asked[-1] == sorted(set(leaders))
        assert len(leaders) == 4
        assert {labels[index] for batch in made for index in batch} == set(leaders)
    assert {label for labels in asked for label in labels} == set(range(9))


def test_too_few_people() -> None:
    with pytest.raises(DataError, match="has 2 people; expected at least 4"):
        sampler([0, 0, 1, 1], 4, 2)


def test_processes_must_divide_the_people() -> None:
    with pytest.raises(ParamsError, match="is 4 with 3 processes; expected a multiple"):
        sampler(labels_of([4] * 4), 4, 2, world_size=3)
