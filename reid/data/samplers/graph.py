"""Batches of people whom the network of the moment takes for one another.

Source: graph sampling for person re-identification (arXiv 2104.01546), as TransMatcher (arXiv
2105.14432) trains with it. Differs from the published code: the draws depend on seed and epoch
alone, the length is known from the start, and what orders the people is given from outside.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from reid.data.samplers.identity import batch_share, require_people

IntArray = npt.NDArray[np.int64]
Shuffle = Callable[[list[int]], None]
"""Puts a list into another order, in place."""
Nearest = Callable[[Sequence[int], int], IntArray]
"""Of C images, the numbers in 0..C-1 of those nearest to each, nearest first: [C, count]."""


class ImageCycles:
    """The images of every class, dealt round and round; a class is shuffled when it has run out.

    Args:
        members: Images of every class.
        shuffle: Used once per class here.

    Attributes:
        images: Images of every class in the order in which they are dealt.
        pointers: Place of the next image of every class.
    """

    def __init__(self, members: Sequence[Sequence[int]], shuffle: Shuffle) -> None:
        self.images = [list(images) for images in members]
        self.pointers = [0] * len(self.images)
        for images in self.images:
            shuffle(images)

    def deal(self, number: int, count: int, shuffle: Shuffle) -> list[int]:
        """Return the next images of a class; one with fewer than `count` repeats some."""
        images, dealt = self.images[number], []
        for _ in range(count):
            dealt.append(images[self.pointers[number]])
            self.pointers[number] += 1
            if self.pointers[number] == len(images):
                shuffle(images)
                self.pointers[number] = 0
        return dealt


def nearest_classes(distances: npt.NDArray[np.floating], anchors: IntArray, count: int) -> IntArray:
    """Return the classes nearest to each of some classes, without itself.

    Args:
        distances: From B classes to all [B, C].
        anchors: Which classes the rows are [B].
        count: Less than C.

    Returns:
        [B, count], nearest first; of equals the lower number.
    """
    others = distances.copy()
    others[np.arange(len(anchors)), anchors] = np.inf
    return np.argsort(others, axis=1, kind="stable")[:, :count]


def graph_batches(
    cycles: ImageCycles, classes: IntArray, neighbours: IntArray, images: int, shuffle: Shuffle
) -> list[list[int]]:
    """Return one batch per class: its neighbours, and itself at the end, with K images each.

    Args:
        cycles: Images are taken from here, in the order of the batches.
        classes: The C classes that lead a batch.
        neighbours: Of each its neighbours, as places in `classes` [C, P - 1].
        images: K.
    """
    people = np.column_stack([classes[neighbours], classes])
    return [
        [image for number in batch for image in cycles.deal(number, images, shuffle)]
        for batch in people.tolist()
    ]


class GraphBatchSampler(Sampler[list[int]]):
    """Yield one batch per class: P - 1 other classes nearest to it, and itself, K images each.

    In an epoch one image of each class is drawn, and their distances decide who is near whom. The
    images of a class are dealt from a shuffled list that goes on from epoch to epoch, which is the
    state of `state_dict`. An epoch is as long as there are classes, however many images they have.

    Args:
        labels: Class of every image.
        identities: P, over all processes.
        images: K.
        seed: Seed of the run; the epoch is added by `set_epoch`.
        nearest: Compares the drawn images; the same on every process.
        rank: Number of this process.
        world_size: Number of processes; must divide P.
        max_classes: Classes that are drawn, compared and lead a batch in an epoch; null for all.

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
        nearest: Nearest,
        rank: int = 0,
        world_size: int = 1,
        max_classes: int | None = None,
    ) -> None:
        members = _members(labels)
        require_people(len(members), identities)
        self._slice = batch_share(identities, images, rank, world_size)
        self._identities, self._images, self._seed = identities, images, seed
        self._nearest = nearest
        self._scored = min(len(members), max_classes or len(members))
        self._cycles = ImageCycles(members, np.random.default_rng([seed, 0]).shuffle)
        self._batches: list[list[int]] = []
        self._epoch: int | None = None

    def set_epoch(self, epoch: int) -> None:
        """Draw the batches of an epoch; once only, should it be asked for again."""
        if epoch == self._epoch:
            return
        generator = np.random.default_rng([self._seed, epoch + 1])
        total = len(self._cycles.images)
        classes = np.sort(generator.choice(total, self._scored, replace=False))
        chosen = [int(generator.choice(self._cycles.images[number])) for number in classes]
        neighbours = self._nearest(chosen, self._identities - 1)
        batches = graph_batches(self._cycles, classes, neighbours, self._images, generator.shuffle)
        self._batches = [batches[i] for i in generator.permutation(len(batches))]
        self._epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        """Return what the epochs so far have left behind: plain lists."""
        return {"images": self._cycles.images, "pointers": self._cycles.pointers}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of a sampler with the same labels."""
        self._cycles.images = [list(images) for images in state["images"]]
        self._cycles.pointers = list(state["pointers"])
        self._epoch = None

    def __len__(self) -> int:
        return self._scored

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._batches:
            yield batch[self._slice]


def _members(labels: Sequence[int]) -> list[list[int]]:
    """Return the images of every class; classes in the order in which they first appear."""
    members: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    return list(members.values())
