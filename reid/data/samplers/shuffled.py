"""Every image once per epoch, in an order that seed and epoch alone decide."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from reid.errors import DataError, ParamsError


class BatchPlan(NamedTuple):
    """One step of one process.

    Attributes:
        epoch: Counted from 0.
        step: Number of the step in its epoch, from 0.
        indices: The images of this process.
        size: Images of the step over all processes.
        slots: Which of those are this process's.
    """

    epoch: int
    step: int
    indices: list[int]
    size: int
    slots: slice


class ShuffledBatchSampler(Sampler[BatchPlan]):
    """Yield the batches of this process; the last images that fill no batch are left out.

    The distributed form is a slice of the same global batch, so the number of processes does not
    change which images meet.

    Args:
        count: Number of images.
        batch: Images per step over all processes.
        seed: Seed of the run.
        epoch: Counted from 0.
        rank: Number of this process.
        world_size: Number of processes; must divide `batch`.

    Raises:
        DataError: Fewer images than a batch.
        ParamsError: `world_size` does not divide `batch`.
    """

    def __init__(
        self, count: int, batch: int, seed: int, epoch: int, rank: int = 0, world_size: int = 1
    ) -> None:
        if count < batch:
            raise DataError(
                f"{count} images for pretraining",
                f"at least {batch}, one batch",
                "Lower `batch` in the recipe.",
            )
        if batch % world_size:
            raise ParamsError(
                f"batch is {batch} with {world_size} processes",
                "a multiple of the number of processes",
                "Change `batch` in the recipe.",
            )
        self._count, self._batch, self._seed, self._epoch = count, batch, seed, epoch
        share = batch // world_size
        self._slots = slice(rank * share, (rank + 1) * share)

    def __len__(self) -> int:
        return self._count // self._batch

    def __iter__(self) -> Iterator[BatchPlan]:
        order = np.random.default_rng([self._seed, self._epoch]).permutation(self._count)
        for step in range(len(self)):
            images = order[step * self._batch : (step + 1) * self._batch]
            yield BatchPlan(
                self._epoch, step, images[self._slots].tolist(), self._batch, self._slots
            )
