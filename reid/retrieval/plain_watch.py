"""What else plain distances tell as they pass: pairs, cameras and groups of queries."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from reid.retrieval.breakdown import (
    CameraPairs,
    CameraTable,
    GroupScore,
    by_group,
    occlusion_groups,
)
from reid.retrieval.features import FloatArray
from reid.retrieval.labels import Labels
from reid.retrieval.ranking import BlockWatcher
from reid.retrieval.scoring import Scores, Source
from reid.retrieval.testset import Split, TestSet
from reid.retrieval.verification import GenuinePairs, PairStatistics


@dataclass(frozen=True, eq=False)
class Breakdown:
    """Where plain distances are right and wrong; of the first trial but for the groups.

    Args:
        pairs: All pairs by distance; None if they were not counted, or if there are none of
            different persons.
        cameras: Scores of each pair of cameras; None for a mean over files.
        groups: Scores of groups of queries, by `modality` and by `occlusion`; a division into one
            group alone is left out.
        members: Group of each query, by `camera`, `modality` and `occlusion`; likewise [Q].
    """

    pairs: PairStatistics | None = None
    cameras: CameraTable | None = None
    groups: dict[str, dict[str, GroupScore]] = field(default_factory=dict)
    members: dict[str, npt.NDArray[np.str_]] = field(default_factory=dict)

    def figures(self) -> dict[str, float]:
        """Return the figures of verification by the names of the metrics."""
        return self.pairs.roc.figures() if self.pairs else {}

    def record(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        groups = {
            name: {group: score.record() for group, score in scores.items()}
            for name, scores in self.groups.items()
        }
        return {
            "verification": self.pairs and self.pairs.record(),
            "camera_pairs": self.cameras and self.cameras.record(),
            "groups": groups,
        }


class PlainWatch:
    """Sees the blocks of the first trial.

    Args:
        test: The test set.
        pairs: Whether pairs are to be counted.
    """

    def __init__(self, test: TestSet, pairs: bool) -> None:
        self._test = test
        self._wants_pairs = pairs
        self._seen: tuple[Split, Labels, CameraPairs, GenuinePairs] | None = None

    def __call__(self, labels: Labels, split: Split) -> Sequence[BlockWatcher]:
        """Return what is to see the blocks of a trial."""
        own_cameras = self._test.camera_ids[split.query_rows]
        cameras, pairs = CameraPairs(labels, own_cameras), GenuinePairs(labels)
        self._seen = (split, labels, cameras, pairs)
        return (cameras, pairs) if self._wants_pairs else (cameras,)

    def statistics(self, source: Source, block_size: int) -> PairStatistics | None:
        """Count all pairs of the first trial in a second pass over its distances."""
        if self._seen is None or not self._wants_pairs:
            return None
        split, labels, _, pairs = self._seen
        if not _has_impostors(labels):
            return None
        return pairs.statistics(source.blocks(split.query_rows, split.gallery_rows, block_size))

    def breakdown(
        self, pairs: PairStatistics | None, scores: Scores, occlusions: FloatArray
    ) -> Breakdown:
        """Put together what was seen.

        Args:
            pairs: From `statistics`.
            scores: Of the plain distances.
            occlusions: Of all rows of the test set [N].
        """
        rows = scores.query_rows
        divisions = {
            "camera": self._test.camera_ids[rows].astype(np.str_),
            "modality": self._test.modalities[rows],
            "occlusion": occlusion_groups(occlusions[rows]),
        }
        members = {name: values for name, values in divisions.items() if len(set(values)) > 1}
        found = (scores.average_precision, scores.first_match_rank)
        # how cameras fare is told by the table of their pairs
        groups = {
            name: by_group(values, *found) for name, values in members.items() if name != "camera"
        }
        return Breakdown(pairs, self._seen[2].table() if self._seen else None, groups, members)


def _has_impostors(labels: Labels) -> bool:
    """Tell whether an image of another person counts for any query."""
    return any(
        bool((labels.counted(query) & (labels.gallery_person_ids != person)).any())
        for query, person in enumerate(labels.query_person_ids)
    )
