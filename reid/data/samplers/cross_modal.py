"""P x K batches of both modalities: half of the pictures of every person are infrared.

Source: IDKL (CVPR 2024, arXiv 2403.11708), the sampler of its published code. Differs from it: the
draws depend on seed and epoch alone, the distributed form is a slice of the same global batch, and
a person who has too few pictures in one modality alone gets repeats there, where the published
code ends in an error.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from reid.data.samplers.identity import batch_share, deal_batches, pick, require_people
from reid.errors import DataError


class Person(NamedTuple):
    """The images of one person by modality; a person of a whole training set has both."""

    infrared: list[int]
    visible: list[int]


class Draws(NamedTuple):
    """What is left to chance.

    Attributes:
        choose: So many of some numbers, each at most once.
        repeat: So many of some numbers, with replacement.
        shuffle: Puts numbers into another order, in place.
    """

    choose: Callable[[Sequence[int], int], list[int]]
    repeat: Callable[[Sequence[int], int], list[int]]
    shuffle: Callable[[list[int]], None]


def cross_modal_batches(
    people: Sequence[Person], identities: int, images: int, draws: Draws
) -> Iterator[list[int]]:
    """Yield the batches of an epoch.

    Args:
        people: At least P of them.
        identities: P.
        images: K, even.
        draws: What is left to chance.
    """
    # people hand out their groups from the end
    groups = [alternating_groups(person, images, draws)[::-1] for person in people]
    return deal_batches(groups, identities, draws.choose)


def alternating_groups(person: Person, images: int, draws: Draws) -> list[list[int]]:
    """Return a person's groups of K images: infrared, visible, infrared, visible ...

    A modality with fewer than K / 2 images gives K / 2, drawn with replacement. Then both give as
    many as the smaller has, and what fills no group is left out.
    """
    half = images // 2
    sides = [side if len(side) >= half else draws.repeat(side, half) for side in person]
    smaller = min(len(side) for side in sides)
    sides = [list(side) if len(side) == smaller else draws.choose(side, smaller) for side in sides]
    for side in sides:
        draws.shuffle(side)
    dealt = [image for pair in zip(*sides, strict=True) for image in pair]
    return [dealt[i : i + images] for i in range(0, len(dealt) - images + 1, images)]


class CrossModalBatchSampler(Sampler[list[int]]):
    """Yield lists of image indices, one per batch of this process.

    A batch holds P people with K images each, of every person K / 2 infrared and K / 2 visible ones
    in turns. Batches take the next group of P people drawn at random, until fewer than P people
    have any; how many there are differs from epoch to epoch.

    Args:
        labels: Class of every image.
        modalities: Of every image 0 for visible, 1 for infrared.
        identities: P, over all processes.
        images: K, even.
        seed: Seed of the run; the epoch is added by `set_epoch`.
        rank: Number of this process.
        world_size: Number of processes; must divide P.

    Raises:
        DataError: Fewer than P people, or one of whom a modality has no image.
        ParamsError: `world_size` does not divide P.
    """

    def __init__(
        self,
        labels: Sequence[int],
        modalities: Sequence[int],
        identities: int,
        images: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._people = people_in_both(labels, modalities)
        require_people(len(self._people), identities)
        self._identities, self._images, self._seed = identities, images, seed
        self._slice = batch_share(identities, images, rank, world_size)
        self.set_epoch(0)

    @property
    def reported_length(self) -> int:
        """The published code's estimate of an epoch's images, from the infrared ones alone."""
        sizes = (max(len(person.infrared), self._images) for person in self._people)
        return sum(size - size % self._images for size in sizes)

    def set_epoch(self, epoch: int) -> None:
        """Draw the batches of an epoch."""
        generator = np.random.default_rng([self._seed, epoch])
        choose, repeat = partial(pick, generator), partial(pick, generator, replace=True)
        draws = Draws(choose, repeat, generator.shuffle)
        size = (self._identities, self._images)
        self._batches = list(cross_modal_batches(self._people, *size, draws))

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._batches:
            yield batch[self._slice]


def people_in_both(labels: Sequence[int], modalities: Sequence[int]) -> list[Person]:
    """Return the images of every person, in the order of their first infrared ones.

    Args:
        labels: Class of every image.
        modalities: Of every image 0 for visible, 1 for infrared.

    Raises:
        DataError: A modality has no image, of anybody or of one person.
    """
    found: dict[str, dict[int, list[int]]] = {"infrared": {}, "visible": {}}
    for index, (label, modality) in enumerate(zip(labels, modalities, strict=True)):
        side = found["infrared" if modality else "visible"]
        side.setdefault(label, []).append(index)
    for name, side in found.items():
        if not side:
            raise DataError(
                f"the training split has no {name} image",
                "infrared and visible ones, as sampler.name is cross_modal",
                "Train on a cross-modal dataset, or by a recipe with another sampler.name.",
            )
    infrared, visible = found["infrared"], found["visible"]
    _require_both(infrared, visible)
    return [Person(images, visible[label]) for label, images in infrared.items()]


def _require_both(infrared: dict[int, list[int]], visible: dict[int, list[int]]) -> None:
    alone = sorted(infrared.keys() ^ visible.keys())
    if alone:
        missing = "a visible" if alone[0] in infrared else "an infrared"
        raise DataError(
            f"{len(alone)} people of the training split have images of one modality only, the "
            f"first of class {alone[0]} without {missing} one",
            "infrared and visible ones of each, as sampler.name is cross_modal",
            "Leave these people out of the dataset, or take a recipe with another sampler.name.",
        )
