"""Where is a run good, and where not? Scores by pair of cameras and by group of queries."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reid.compiled import compiled, over_rows
from reid.errors import EvaluationError
from reid.retrieval.features import DoubleArray, IntArray
from reid.retrieval.labels import EXCLUSIONS, JUNK, Labels, SamePerson, excluded
from reid.retrieval.ranking import Block, refuse
from reid.retrieval.sorting import sort_pairs

UNKNOWN = "unknown"
# shares of a person that are hidden, up to and including the bound
_OCCLUSION_BOUNDS = (0.0, 1 / 3, 2 / 3, 1.0)
_OCCLUSION_NAMES = ("none", "occluded_00_33", "occluded_33_67", "occluded_67_100")


@dataclass(frozen=True, eq=False)
class CameraTable:
    """Scores of each pair of cameras, with the gallery of one camera alone.

    Args:
        query_cameras: Ascending camera ids of queries [A].
        gallery_cameras: Ascending camera ids of the gallery [B].
        queries: Queries of camera a with a match in camera b [A, B].
        mAP: Mean average precision over these, NaN where there is none [A, B].
        rank1: Share of these whose nearest image is a match, NaN where there is none [A, B].
    """

    query_cameras: IntArray
    gallery_cameras: IntArray
    queries: IntArray
    mAP: DoubleArray  # noqa: N815 - the name in every paper
    rank1: DoubleArray

    def record(self) -> dict[str, Any]:
        """Return the table as JSON, null where there is no query."""
        return {
            "query_cameras": self.query_cameras.tolist(),
            "gallery_cameras": self.gallery_cameras.tolist(),
            "queries": self.queries.tolist(),
            "mAP": [[_number(value) for value in row] for row in self.mAP],
            "rank1": [[_number(value) for value in row] for row in self.rank1],
        }


class CameraPairs:
    """Ranks each query against each camera of the gallery alone (a `BlockWatcher`).

    Junk and the exclusion rule hold as in the whole ranking, and ties go by gallery index. Memory
    is 16 bytes for each query and gallery camera.

    Args:
        labels: Persons, cameras and the exclusion rule.
        query_cameras: By which queries are grouped, where that differs from the cameras of the
            exclusion rule [Q].
    """

    def __init__(self, labels: Labels, query_cameras: IntArray | None = None) -> None:
        self._labels = labels
        self._query_cameras = labels.query_camera_ids if query_cameras is None else query_cameras
        self._cameras, codes = np.unique(labels.gallery_camera_ids, return_inverse=True)
        codes = np.where(labels.gallery_person_ids == JUNK, -1, codes).astype(np.int32)
        same = SamePerson.of(labels)
        persons = (labels.query_person_ids, labels.gallery_person_ids)
        # of each query the code of its own camera, -1 if the gallery has none of it
        own = np.full(len(labels.query_camera_ids), -1, np.int32)
        for code, camera in enumerate(self._cameras):
            own[labels.query_camera_ids == camera] = code
        rule = EXCLUSIONS[labels.exclusion]
        self._constants = (same.order, same.first, same.last, *persons, own, codes, rule)
        shape = (len(own), len(self._cameras))
        self._precision, self._first_rank = np.full(shape, np.nan), np.full(shape, np.nan)

    def add(self, first_query: int, block: Block) -> None:
        """Rank a block [b, G] whose first row belongs to query `first_query`.

        Raises:
            EvaluationError: It holds NaN.
        """
        faults = np.zeros(len(block), np.bool_)
        kept = (self._precision, self._first_rank, faults)
        over_rows(_rank_by_camera, len(block), block, first_query, *self._constants, *kept)
        refuse(faults, first_query, "NaN")

    def table(self) -> CameraTable:
        """Average over the queries of each camera."""
        cameras = np.unique(self._query_cameras)
        mine = [self._query_cameras == camera for camera in cameras]
        shape = (len(cameras), len(self._cameras))
        valid = ~np.isnan(self._precision)
        queries = np.array([valid[m].sum(axis=0) for m in mine], np.int64).reshape(shape)
        return CameraTable(
            cameras,
            self._cameras,
            queries,
            _ratio([np.nansum(self._precision[m], axis=0) for m in mine], queries),
            _ratio([(self._first_rank[m] == 1).sum(axis=0) for m in mine], queries),
        )


@dataclass(frozen=True)
class GroupScore:
    """Scores of a group of queries against the whole gallery.

    Args:
        queries: All of the group.
        valid: Those with a match.
        mAP: Mean average precision over these, NaN where there is none.
        rank1: Share of these whose first match has rank 1, NaN where there is none.
    """

    queries: int
    valid: int
    mAP: float  # noqa: N815
    rank1: float

    def record(self) -> dict[str, Any]:
        """Return the scores as JSON, null where there is no valid query."""
        return {
            "queries": self.queries,
            "valid": self.valid,
            "mAP": _number(self.mAP),
            "rank1": _number(self.rank1),
        }


def by_group(
    groups: npt.NDArray[np.str_], average_precision: DoubleArray, first_match_rank: DoubleArray
) -> dict[str, GroupScore]:
    """Score each group of queries, in order of name.

    Args:
        groups: Name of the group of each query [Q].
        average_precision: NaN where invalid [Q].
        first_match_rank: NaN where invalid; if it is a mean over trials, only a query with rank 1
            in all of them is a hit [Q].

    Raises:
        EvaluationError: The three are not of one length.
    """
    if not len(groups) == len(average_precision) == len(first_match_rank):
        raise EvaluationError(
            f"groups of {len(groups)} queries, scores of {len(average_precision)} and "
            f"{len(first_match_rank)}",
            "one of each per query",
            "Pass vectors of equal length.",
        )
    scores = {}
    for name in sorted(set(groups.tolist())):
        mine = groups == name
        valid = mine & ~np.isnan(average_precision)
        count = int(valid.sum())
        precision = float(average_precision[valid].mean()) if count else np.nan
        hits = float((first_match_rank[valid] == 1).mean()) if count else np.nan
        scores[str(name)] = GroupScore(int(mine.sum()), count, precision, hits)
    return scores


def occlusion_groups(occlusions: npt.NDArray[np.floating]) -> npt.NDArray[np.str_]:
    """Name the group of each query by the share of the person that is hidden: [Q].

    Args:
        occlusions: From 0 to 1, NaN where not known [Q].

    Returns:
        `none`, `occluded_00_33` up to a third, `occluded_33_67`, `occluded_67_100` or `unknown`.

    Raises:
        EvaluationError: A share is outside of 0 to 1.
    """
    # in the precision in which shares are stored, so that a third is up to a third
    shares = np.asarray(occlusions, np.float32)
    outside = (shares < 0) | (shares > 1)
    if outside.any():
        raise EvaluationError(
            f"occlusion {shares[outside][0]:g} of query {int(outside.argmax())}",
            "a share from 0 to 1, or NaN where it is not known",
            "Correct the manifest.",
        )
    # NaN sorts behind all bounds
    places = np.searchsorted(np.array(_OCCLUSION_BOUNDS, np.float32), shares, side="left")
    return np.array([*_OCCLUSION_NAMES, UNKNOWN])[places]


def _ratio(sums: list[npt.NDArray[Any]], counts: IntArray) -> DoubleArray:
    """Return sums [A][B] divided by counts [A, B], NaN where there is none."""
    ratios = np.full(counts.shape, np.nan)
    np.divide(np.array(sums).reshape(counts.shape), counts, out=ratios, where=counts > 0)
    return ratios


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


@compiled
def _rank_by_camera(
    start: int,
    stop: int,
    block: Block,
    first_query: int,
    order: IntArray,
    first: IntArray,
    last: IntArray,
    query_persons: IntArray,
    gallery_persons: IntArray,
    own_cameras: npt.NDArray[np.int32],
    cameras: npt.NDArray[np.int32],
    exclusion: int,
    precision: DoubleArray,
    first_rank: DoubleArray,
    faults: npt.NDArray[np.bool_],
) -> None:
    """Fill precision and first rank of rows `start` to `stop` of a block, one pass over each row.

    Matches are held camera after camera, each in order of distance. A camera whose images of the
    query's person are all left out has no match, so the rule is not looked at again.
    """
    count = precision.shape[1]
    for row in range(start, stop):
        query = first_query + row
        person, own = query_persons[query], own_cameras[query]
        items = order[first[query] : last[query]]
        ends, matches, distances = _matches(block[row], items, cameras, own, exclusion, count)
        before = np.zeros(len(matches), np.int64)
        farthest = np.full(count, -np.inf)
        for camera in range(count):
            left, right = ends[camera], ends[camera + 1]
            if left < right:
                sort_pairs(distances[left:right], matches[left:right])
                farthest[camera] = distances[right - 1]
        for item in range(block.shape[1]):
            d = block[row, item]
            camera = cameras[item]
            if camera < 0 or not d <= farthest[camera]:
                faults[row] |= d != d
                continue
            if gallery_persons[item] != person:
                right = ends[camera + 1]
                slot = _first_behind(d, item, distances, matches, ends[camera], right)
                if slot < right:
                    before[slot] += 1
        for camera in range(count):
            left, right = ends[camera], ends[camera + 1]
            if left < right:
                scores = _score(before[left:right])
                precision[query, camera], first_rank[query, camera] = scores


@compiled
def _matches(
    distances: Block,
    items: IntArray,
    cameras: npt.NDArray[np.int32],
    own_camera: int,
    exclusion: int,
    count: int,
) -> tuple[IntArray, IntArray, DoubleArray]:
    """Return where the matches of each camera end, their gallery indices and their distances."""
    ends = np.zeros(count + 1, np.int64)
    for item in items:
        if not excluded(exclusion, True, cameras[item] == own_camera):
            ends[cameras[item] + 1] += 1
    ends = np.cumsum(ends)
    filled = ends[:-1].copy()
    matches, found = np.empty(ends[-1], np.int64), np.empty(ends[-1], np.float64)
    for item in items:
        camera = cameras[item]
        if not excluded(exclusion, True, camera == own_camera):
            matches[filled[camera]] = item
            found[filled[camera]] = distances[item]
            filled[camera] += 1
    return ends, matches, found


@compiled
def _first_behind(
    d: float, item: int, distances: DoubleArray, matches: IntArray, low: int, high: int
) -> int:
    """Return the first match from `low` to `high` that a non-match at distance `d` precedes."""
    while low < high:
        middle = (low + high) // 2
        if d < distances[middle] or (d == distances[middle] and item < matches[middle]):
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def _score(before: IntArray) -> tuple[float, float]:
    """Return average precision and rank of the first of matches with so many others between."""
    total, passed = 0.0, 0
    for match in range(len(before)):
        passed += before[match]
        total += (match + 1) / (passed + match + 1)
    return total / len(before), before[0] + 1.0
