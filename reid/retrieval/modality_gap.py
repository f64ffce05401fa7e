"""How far apart two spectra lie in a set of features: distances of pairs of images.

A feature that knows people and not spectra puts the visible and the infrared images of a person as
near each other as images of one spectrum. How much it does not is the gap.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reid.errors import EvaluationError
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.features import DoubleArray, IntArray
from reid.retrieval.labels import JUNK
from reid.retrieval.precision import Stored, as_float32

PAIRS = 20_000  # of each kind, at most
_DISTRACTOR = 0
_CHUNK = 1024  # pairs whose features are in memory at once

Block = tuple[IntArray, IntArray]  # rows each of which is a pair with each of the others


class Seen(NamedTuple):
    """Who is seen, where, and in which light.

    Attributes:
        person_ids: -1 for images that show nobody who is looked for [N].
        camera_ids: [N].
        infrared: Whether each image is infrared, otherwise visible [N].
    """

    person_ids: IntArray
    camera_ids: IntArray
    infrared: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, embeddings: Embeddings) -> "Seen":
        """Take the rows of embeddings; distractors count as nobody."""
        person_ids = embeddings.person_ids.copy()
        # some data sets number a person 0 who is looked for
        if not (person_ids[embeddings.roles != "gallery"] == _DISTRACTOR).any():
            person_ids[person_ids == _DISTRACTOR] = JUNK
        return cls(person_ids, embeddings.camera_ids, embeddings.modalities == "ir")

    @property
    def in_both(self) -> IntArray:
        """The people who are seen in both spectra, in ascending order."""
        known = self.person_ids != JUNK
        both: IntArray = np.intersect1d(
            self.person_ids[known & self.infrared], self.person_ids[known & ~self.infrared]
        )
        return both

    def take(self, rows: IntArray) -> "Seen":
        """Return the given rows."""
        return Seen(self.person_ids[rows], self.camera_ids[rows], self.infrared[rows])


def choose_images(seen: Seen, people: int, images: int, seed: int) -> IntArray:
    """Draw people who are seen in both spectra, and as many images of each, half in either light.

    Args:
        people: How many people, at most.
        images: How many images in all, at most; of nobody fewer than two, if people are few.
        seed: Of the draw.

    Returns:
        Rows, ascending.
    """
    generator = np.random.default_rng(seed)
    drawn = np.sort(generator.permutation(seen.in_both)[:people])
    share = max(1, images // (2 * max(1, len(drawn))))
    rows = [
        generator.permutation(np.flatnonzero((seen.person_ids == person) & side))[:share]
        for person in drawn.tolist()
        for side in (~seen.infrared, seen.infrared)
    ]
    return np.sort(np.concatenate(rows)) if rows else np.empty(0, np.int64)


class ModalityPairs(NamedTuple):
    """Pairs of rows, [n, 2] of each kind.

    Attributes:
        within: A person twice in one spectrum.
        across: A person in either spectrum.
        others: A person in visible and another one in infrared light.
        between_cameras: The pairs of one spectrum are of two cameras each; otherwise nobody is
            seen by two cameras of one spectrum, and any two images are a pair.
    """

    within: IntArray
    across: IntArray
    others: IntArray
    between_cameras: bool


def draw_pairs(seen: Seen, seed: int, limit: int = PAIRS) -> ModalityPairs | None:
    """Draw pairs of each kind, all of one kind with equal chance; all there are up to `limit`.

    Images of one camera are alike beyond the person, which the spectra have no part in. So a pair
    within a spectrum is of two cameras where possible.

    Returns:
        None where there is no pair of some kind.
    """
    generator = np.random.default_rng(seed)
    visible, infrared = (_by_person(seen, side) for side in (~seen.infrared, seen.infrared))
    across: list[Block] = []
    others: list[Block] = []
    for person in np.unique(seen.person_ids[seen.person_ids != JUNK]).tolist():
        own = visible[_place(seen, visible, person)]
        place = _place(seen, infrared, person)
        across.append((own, infrared[place]))
        others += [(own, infrared[: place.start]), (own, infrared[place.stop :])]
    sides = [side for both in across if all(len(rows) for rows in both) for side in both]
    within = [block for rows in sides for block in _between_cameras(rows, seen.camera_ids)]
    between_cameras = bool(within)
    if not between_cameras:
        within = [block for rows in sides for block in _any_two(rows)]
    kinds = [_draw(blocks, limit, generator) for blocks in (within, across, others)]
    if not all(map(len, kinds)):
        return None
    return ModalityPairs(kinds[0], kinds[1], kinds[2], between_cameras)


def _by_person(seen: Seen, side: npt.NDArray[np.bool_]) -> IntArray:
    rows = np.flatnonzero(side & (seen.person_ids != JUNK))
    return rows[np.argsort(seen.person_ids[rows], kind="stable")]


def _place(seen: Seen, rows: IntArray, person: int) -> slice:
    first, last = np.searchsorted(seen.person_ids[rows], [person, person + 1]).tolist()
    return slice(first, last)


def _between_cameras(rows: IntArray, camera_ids: IntArray) -> Iterator[Block]:
    cameras = camera_ids[rows]
    for one, other in combinations(np.unique(cameras).tolist(), 2):
        yield rows[cameras == one], rows[cameras == other]


def _any_two(rows: IntArray) -> Iterator[Block]:
    for place in range(len(rows) - 1):
        yield rows[place : place + 1], rows[place + 1 :]


def _draw(blocks: Sequence[Block], limit: int, generator: np.random.Generator) -> IntArray:
    """Number the pairs of all blocks, and draw among the numbers: [n, 2]."""
    ends = np.cumsum([len(one) * len(other) for one, other in blocks], dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    chosen = np.arange(total)
    if total > limit:
        chosen = np.sort(generator.choice(total, limit, replace=False))
    pairs = np.empty((len(chosen), 2), np.int64)
    numbers = np.searchsorted(ends, chosen, side="right")
    for number in np.unique(numbers).tolist():
        one, other = blocks[number]
        mine = numbers == number
        place = chosen[mine] - (ends[number] - len(one) * len(other))
        pairs[mine] = np.stack([one[place // len(other)], other[place % len(other)]], axis=1)
    return pairs


@dataclass(frozen=True, eq=False)
class ModalityGap:
    """Cosine distances of pairs, each from 0 to 2 (see `ModalityPairs`)."""

    within: DoubleArray
    across: DoubleArray
    others: DoubleArray

    @property
    def gap(self) -> float:
        """How much farther a person is on average across the spectra than within one."""
        return float(self.across.mean() - self.within.mean())

    @property
    def share(self) -> float | None:
        """The gap as a share of the way from oneself to others across the spectra.

        0 where there is no gap, and 1 where one's own images of the other spectrum are as far as
        those of others; None where others are no farther than oneself within a spectrum.
        """
        way = float(self.others.mean() - self.within.mean())
        return self.gap / way if way > 0 else None

    @property
    def auc(self) -> float:
        """The chance that, across the spectra, a person is nearer than another; 0.5 for a guess."""
        ordered = np.sort(self.others)
        below, up_to = (np.searchsorted(ordered, self.across, side) for side in ("left", "right"))
        return float(1 - (below + up_to).mean() / (2 * len(ordered)))

    def figures(self) -> dict[str, float | int | None]:
        """Return the numbers for a record."""
        share = self.share
        return {
            "within": round(float(self.within.mean()), 4),
            "across": round(float(self.across.mean()), 4),
            "others": round(float(self.others.mean()), 4),
            "gap": round(self.gap, 4),
            "share": None if share is None else round(share, 4),
            "auc": round(self.auc, 4),
            "pairs": len(self.within) + len(self.across) + len(self.others),
        }


def measure_gap(features: Stored, pairs: ModalityPairs) -> ModalityGap:
    """Measure the cosine distances of pairs, whatever the length of a feature.

    Args:
        features: [N, D] in a number format of `precision`; may be mapped from a file.

    Raises:
        EvaluationError: A feature of some pair is not finite.
    """
    kinds = (pairs.within, pairs.across, pairs.others)
    return ModalityGap(*(_distances(features, kind) for kind in kinds))


def _distances(features: Stored, pairs: IntArray) -> DoubleArray:
    found = np.empty(len(pairs))
    for start in range(0, len(pairs), _CHUNK):
        chunk = pairs[start : start + _CHUNK]
        one, other = (as_float32(features[side]).astype(np.float64) for side in chunk.T)
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        # a feature of zeros has no direction, and is as far from all
        products = (one * other).sum(axis=1)
        found[start : start + _CHUNK] = 1 - products / np.where(lengths == 0, 1.0, lengths)
    faulty = int((~np.isfinite(found)).sum())
    if faulty:
        raise EvaluationError(
            f"features of {faulty} of {len(found)} pairs are not finite",
            "finite numbers",
            "Embed with a model that gives finite features.",
        )
    return np.clip(found, 0.0, 2.0)
