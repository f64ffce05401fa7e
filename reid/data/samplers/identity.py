"""P x K batches: P people with K images each.

Source: TransReID (arXiv 2102.04378), its random identity sampler. Differs from the published code:
the draw depends on seed and epoch alone, and the distributed form is a slice of the same global
batch, so the number of processes does not change which images meet in a batch.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
from torch.utils.data import Sampler

from reid.errors import DataError, ParamsError

Chunk = TypeVar("Chunk", bound=Iterable[int])


class IdentityBatchSampler(Sampler[list[int]]):
    """Yield lists of image indices, one per batch of this process.

    In an epoch each person's images are shuffled and cut into chunks of K (a person with fewer
    than K images gives one chunk drawn with replacement; a last incomplete chunk is dropped).
    Batches take the next chunk of P people drawn at random, until fewer than P people have any.

    Args:
        labels: Class of every image.
        identities: P, over all processes.
        images: K.
        seed: Seed of the run; the epoch is added by `set_epoch`.
        rank: Number of this process.
        world_size: Number of processes; must divide P.

    Raises:
        DataError: Fewer than P people.
        ParamsError: `world_size` does not divide P.
    """

    def __init__(
        self,
        labels: Sequence[int],
        identities: int,
        images: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._members = _indices_by_label(np.asarray(labels))
        require_people(len(self._members), identities)
        self._identities, self._images, self._seed = identities, images, seed
        self._slice = batch_share(identities, images, rank, world_size)
        self.set_epoch(0)

    @property
    def reported_length(self) -> int:
        """Images that an epoch would yield if no chunk were left over; an upper bound."""
        sizes = (max(len(members), self._images) for members in self._members)
        return sum(size - size % self._images for size in sizes)

    def set_epoch(self, epoch: int) -> None:
        """Draw the batches of an epoch."""
        generator = np.random.default_rng([self._seed, epoch])
        self._batches = list(self._draw(generator))

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._batches:
            yield batch[self._slice]

    def _draw(self, generator: np.random.Generator) -> Iterator[list[int]]:
        chunks = [self._chunks(members, generator) for members in self._members]
        return deal_batches(chunks, self._identities, partial(pick, generator))

    def _chunks(self, members: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
        k = self._images
        if len(members) < k:
            return [generator.choice(members, k, replace=True)]
        shuffled = generator.permutation(members)
        return [shuffled[i : i + k] for i in range(0, len(shuffled) - k + 1, k)]


def pick(
    generator: np.random.Generator, numbers: Sequence[int], count: int, replace: bool = False
) -> list[int]:
    """Draw so many of some numbers, each at most once or with replacement."""
    return [numbers[i] for i in generator.choice(len(numbers), count, replace=replace)]


def deal_batches(
    chunks: Sequence[list[Chunk]],
    identities: int,
    choose: Callable[[list[int], int], Iterable[int]],
) -> Iterator[list[int]]:
    """Yield batches of the last chunks of P people, until fewer than P people have any left.

    Args:
        chunks: Of each person the images that go into one batch; they are used up from the end.
        identities: P.
        choose: So many of some people, each at most once.
    """
    left = list(range(len(chunks)))
    while len(left) >= identities:
        yield [int(i) for person in choose(left, identities) for i in chunks[person].pop()]
        left = [person for person in left if chunks[person]]


def require_people(found: int, identities: int) -> None:
    """Raise a `DataError` where the training images show fewer people than a batch has."""
    if found < identities:
        raise DataError(
            f"the training split has {found} people",
            f"at least {identities}, the identities of a batch",
            "Lower sampler.identities in the recipe.",
        )


def batch_share(identities: int, images: int, rank: int, world_size: int) -> slice:
    """Return which images of a batch of P people with K images each belong to a process.

    Raises:
        ParamsError: `world_size` does not divide P.
    """
    if identities % world_size:
        raise ParamsError(
            f"sampler.identities is {identities} with {world_size} processes",
            "a multiple of the number of processes",
            "Train with other --devices and --nodes, or change sampler.identities in the recipe.",
        )
    share = identities // world_size * images
    return slice(rank * share, (rank + 1) * share)


def _indices_by_label(labels: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(labels, kind="stable")
    _, starts = np.unique(labels[order], return_index=True)
    return np.split(order, starts[1:])
