from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.samplers.shuffled import ShuffledBatchSampler
from reid.errors import DataError, ParamsError


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(1, 3), st.integers(0, 20), st.integers(0, 3))
def test_processes_share_the_batches_of_one(share: int, world: int, more: int, epoch: int) -> None:
    batch = share * world
    count = batch + more
    whole = list(ShuffledBatchSampler(count, batch, 5, epoch))
    parts = [list(ShuffledBatchSampler(count, batch, 5, epoch, r, world)) for r in range(world)]
    assert len(whole) == count // batch
    for plan, *shares in zip(whole, *parts, strict=True):
        assert plan.indices == list(chain.from_iterable(part.indices for part in shares))
        for part in shares:
            assert plan.indices[part.slots] == part.indices
            assert (part.step, part.epoch, part.size) == (plan.step, epoch, batch)
    seen = list(chain.from_iterable(plan.indices for plan in whole))
    assert len(set(seen)) == len(seen) == count - count % batch


def test_epochs_and_seeds_differ() -> None:
    first, other_epoch, other_seed = (
        next(iter(ShuffledBatchSampler(50, 10, seed, epoch))).indices
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    )
    assert first != other_epoch
    assert first != other_seed


def test_too_few_images() -> None:
    with pytest.raises(
        DataError, match=r"3 images for pretraining; expected at least 4, one batch"
    ):
        ShuffledBatchSampler(3, 4, 0, 0)


def test_processes_must_divide_the_batch() -> None:
    with pytest.raises(ParamsError, match="batch is 4 with 3 processes"):
        ShuffledBatchSampler(9, 4, 0, 0, 0, 3)
