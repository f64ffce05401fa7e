from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.samplers.cross_modal import CrossModalBatchSampler
from reid.errors import DataError, ParamsError

# of every person the infrared and the visible images
SIZES = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=4, max_size=8)


def images_of(sizes: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Labels and modalities, in an order that mixes both."""
    rows = [
        (label, modality)
        for label, (infrared, visible) in enumerate(sizes)
        for modality, count in ((1, infrared), (0, visible))
        for _ in range(count)
    ]
    order = np.random.default_rng(0).permutation(len(rows))
    return [rows[i][0] for i in order], [rows[i][1] for i in order]


def groups_of(sizes: tuple[int, int], k: int) -> int:
    """Groups of k images that a person gives in an epoch."""
    return max(min(sizes), k // 2) // (k // 2)


@settings(deadline=None, max_examples=40)
@given(SIZES, st.integers(2, 4), st.sampled_from([2, 4, 6]), st.integers(0, 99))
def test_every_batch_has_p_people_with_both_modalities_in_turns(
    sizes: list[tuple[int, int]], p: int, k: int, seed: int
) -> None:
    labels, modalities = images_of(sizes)
    sampler = CrossModalBatchSampler(labels, modalities, p, k, seed)
    seen: Counter[int] = Counter()
    for batch in sampler:
        assert [modalities[i] for i in batch] == [1, 0] * (p * k // 2)
        people = [labels[i] for i in batch[::k]]
        assert len(set(people)) == p
        assert [labels[i] for i in batch] == [person for person in people for _ in range(k)]
        seen.update(batch)
    for index, count in seen.items():
        size = sizes[labels[index]][1 - modalities[index]]
        assert count == 1 or size < k // 2


@settings(deadline=None, max_examples=20)
@given(SIZES, st.integers(0, 9))
def test_an_epoch_ends_when_fewer_than_p_people_are_left(
    sizes: list[tuple[int, int]], seed: int
) -> None:
    labels, modalities = images_of(sizes)
    groups = {label: groups_of(size, 4) for label, size in enumerate(sizes)}
    sampler = CrossModalBatchSampler(labels, modalities, 2, 4, seed)
    batches = list(sampler)
    assert len(batches) == len(sampler) > 0
    for batch in batches:
        for label in {labels[i] for i in batch}:
            groups[label] -= 1
    assert min(groups.values()) >= 0
    assert sum(left > 0 for left in groups.values()) < 2


@pytest.mark.parametrize("sizes", [(1, 9), (9, 1)])
def test_too_few_images_in_one_modality_come_again(sizes: tuple[int, int]) -> None:
    labels, modalities = images_of([sizes, sizes])
    (batch,) = CrossModalBatchSampler(labels, modalities, 2, 6, seed=0)
    for start in (0, 6):
        infrared, visible = batch[start : start + 6 : 2], batch[start + 1 : start + 6 : 2]
        few, many = (infrared, visible) if sizes[0] == 1 else (visible, infrared)
        assert (len(set(few)), len(set(many))) == (1, 3)


def test_which_images_of_the_larger_modality_come_differs_from_epoch_to_epoch() -> None:
    labels, modalities = images_of([(2, 9)] * 3)
    sampler = CrossModalBatchSampler(labels, modalities, 3, 4, seed=0)
    seen = set()
    for epoch in range(30):
        sampler.set_epoch(epoch)
        seen |= {index for batch in sampler for index in batch}
    assert seen == set(range(len(labels)))


def test_the_processes_share_one_global_batch() -> None:
    labels, modalities = images_of([(5, 4)] * 8)
    whole = list(CrossModalBatchSampler(labels, modalities, 4, 2, seed=3))
    parts = [list(CrossModalBatchSampler(labels, modalities, 4, 2, 3, rank, 2)) for rank in (0, 1)]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole


def test_the_draw_depends_on_seed_and_epoch_alone() -> None:
    labels, modalities = images_of([(6, 7)] * 6)
    sampler = CrossModalBatchSampler(labels, modalities, 3, 4, seed=1)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first
    assert list(CrossModalBatchSampler(labels, modalities, 3, 4, seed=2)) != first


def test_too_few_people() -> None:
    with pytest.raises(DataError, match="has 2 people; expected at least 4"):
        CrossModalBatchSampler([0, 0, 1, 1], [0, 1, 0, 1], 4, 2, seed=0)


def test_processes_must_divide_the_people() -> None:
    labels, modalities = images_of([(2, 2)] * 4)
    with pytest.raises(ParamsError, match="is 4 with 3 processes; expected a multiple"):
        CrossModalBatchSampler(labels, modalities, 4, 2, seed=0, world_size=3)


@pytest.mark.parametrize(("modality", "missing"), [(0, "an infrared"), (1, "a visible")])
def test_a_person_without_one_modality(modality: int, missing: str) -> None:
    labels, modalities = images_of([(2, 2)] * 4)
    labels, modalities = [*labels, 9, 7, 7], [*modalities, 1 - modality, modality, modality]
    found = f"2 people .* the first of class 7 without {missing} one; expected infrared and"
    with pytest.raises(DataError, match=f"^{found}.*Leave these people out") as raised:
        CrossModalBatchSampler(labels, modalities, 2, 2, seed=0)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("modality", "missing"), [(0, "infrared"), (1, "visible")])
def test_a_training_set_of_one_modality(modality: int, missing: str) -> None:
    found = f"the training split has no {missing} image; expected infrared and visible ones"
    with pytest.raises(DataError, match=f"^{found}.*sampler.name") as raised:
        CrossModalBatchSampler([0, 0, 1, 1], [modality] * 4, 2, 2, seed=0)
    assert "\n" not in str(raised.value)
