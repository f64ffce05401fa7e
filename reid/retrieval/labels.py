"""Who and where in a test set, and which gallery images count for a query."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from reid.compiled import compiled
from reid.errors import EvaluationError
from reid.retrieval.features import IntArray

Exclusion = Literal["none", "same_person_and_camera", "same_camera"]
JUNK = -1
# the rules as the kernels know them
EXCLUSIONS: dict[Exclusion, int] = {"none": 0, "same_person_and_camera": 1, "same_camera": 2}


@dataclass(frozen=True)
class Labels:
    """Who and where: of all queries and of all gallery images.

    A gallery image counts for a query unless it is junk (person -1) or the exclusion rule leaves it
    out: because it shows the same person in the same camera, or because it is from the same camera,
    whoever it shows. Person 0 has no special treatment: a distractor is a negative because no query
    has that number.

    Args:
        query_person_ids: [Q].
        query_camera_ids: [Q].
        gallery_person_ids: [G].
        gallery_camera_ids: [G].
        exclusion: `none`, `same_person_and_camera` or `same_camera`.
    """

    query_person_ids: IntArray
    query_camera_ids: IntArray
    gallery_person_ids: IntArray
    gallery_camera_ids: IntArray
    exclusion: Exclusion = "same_person_and_camera"

    def __post_init__(self) -> None:
        for side in ("query", "gallery"):
            persons = np.ascontiguousarray(getattr(self, f"{side}_person_ids"), np.int64)
            cameras = np.ascontiguousarray(getattr(self, f"{side}_camera_ids"), np.int64)
            if persons.shape != cameras.shape or persons.ndim != 1:
                raise EvaluationError(
                    f"{side}: person ids of shape {persons.shape}, camera ids {cameras.shape}",
                    "one of each per image",
                    "Pass vectors of equal length.",
                )
            object.__setattr__(self, f"{side}_person_ids", persons)
            object.__setattr__(self, f"{side}_camera_ids", cameras)

    def counted(self, query: int) -> npt.NDArray[np.bool_]:
        """Return whether each gallery image counts for a query [G]."""
        counted: npt.NDArray[np.bool_] = self.gallery_person_ids != JUNK
        if self.exclusion == "none":
            return counted
        left_out = self.gallery_camera_ids == self.query_camera_ids[query]
        if self.exclusion == "same_person_and_camera":
            left_out &= self.gallery_person_ids == self.query_person_ids[query]
        counted &= ~left_out
        return counted

    def as_arguments(self) -> tuple[Any, ...]:
        """Return the fields in the order in which the kernels take them."""
        return (
            self.query_person_ids,
            self.query_camera_ids,
            self.gallery_person_ids,
            self.gallery_camera_ids,
            EXCLUSIONS[self.exclusion],
        )


@dataclass(frozen=True)
class SamePerson:
    """Gallery images of each query's person, in ascending order, as slices of one vector.

    Args:
        order: Gallery indices grouped by person [G].
        first: Start of the slice of each query [Q].
        last: End of the slice of each query [Q].
    """

    order: IntArray
    first: IntArray
    last: IntArray

    @classmethod
    def of(cls, labels: Labels) -> "SamePerson":
        """Group the gallery by person."""
        order = np.argsort(labels.gallery_person_ids, kind="stable").astype(np.int64)
        grouped = labels.gallery_person_ids[order]
        wanted = labels.query_person_ids
        first = np.searchsorted(grouped, wanted, side="left").astype(np.int64)
        last = np.searchsorted(grouped, wanted, side="right").astype(np.int64)
        last[wanted == JUNK] = first[wanted == JUNK]
        return cls(order, first, last)


def match_counts(labels: Labels) -> IntArray:
    """Count the matches of each query that count for it: [Q]."""
    same = SamePerson.of(labels)
    counts = np.zeros(len(same.first), np.int64)
    cameras = (labels.query_camera_ids, labels.gallery_camera_ids, EXCLUSIONS[labels.exclusion])
    _count_matches(same.order, same.first, same.last, *cameras, counts)
    return counts


@compiled
def excluded(exclusion: int, same_person: bool, same_camera: bool) -> bool:
    """Tell whether the rule (a value of `EXCLUSIONS`) leaves a gallery image out."""
    return same_camera and (exclusion == 2 or (exclusion == 1 and same_person))


@compiled
def _count_matches(
    order: IntArray,
    first: IntArray,
    last: IntArray,
    query_cameras: IntArray,
    gallery_cameras: IntArray,
    exclusion: int,
    counts: IntArray,
) -> None:
    for query in range(len(first)):
        for place in range(first[query], last[query]):
            same_camera = gallery_cameras[order[place]] == query_cameras[query]
            if not excluded(exclusion, True, same_camera):
                counts[query] += 1
