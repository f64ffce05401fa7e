"""On which groups of queries one model is better or worse than another one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from reid.retrieval.bootstrap import paired_bootstrap
from reid.retrieval.evaluate import PLAIN
from reid.retrieval.result import QueryScores, Result

_NORMAL_97_5 = 1.96  # quantile of the normal distribution


@dataclass(frozen=True)
class Loss:
    """Difference of two models in plain mAP on a group of queries, first minus second.

    Args:
        group: Such as `camera 3`, `occlusion occluded_33_67` or `cameras 1 to 4`.
        queries: Valid ones in it.
        high: Upper end of the 95 % interval.
    """

    group: str
    queries: int
    difference: float
    high: float


def group_losses(
    first: Result, second: Result, test: str, *, seed: int, queries: int
) -> Iterator[Loss]:
    """Compare two results on every group of at least so many valid queries.

    Both must have scored the same queries in the same order.

    Args:
        test: `<dataset>/<protocol>`.
        seed: Of the paired bootstrap over the queries of a group.
    """
    mine, its = (result.queries[test, PLAIN] for result in (first, second))
    yield from _query_groups(mine, its, seed, queries)
    my_pairs, its_pairs = (
        result.breakdowns[test].get("camera_pairs") for result in (first, second)
    )
    if my_pairs and its_pairs:
        yield from _camera_pairs(my_pairs, its_pairs, queries)


def _query_groups(mine: QueryScores, its: QueryScores, seed: int, least: int) -> Iterator[Loss]:
    for division, groups in mine.groups.items():
        for group in sorted(set(groups.tolist())):
            chosen = groups == group
            count = int((chosen & mine.valid).sum())
            if count >= least:
                scores = mine.average_precision[chosen], its.average_precision[chosen]
                gap = paired_bootstrap(*scores, seed)
                yield Loss(f"{division} {group}", count, gap.difference, gap.high)


def _camera_pairs(mine: dict[str, Any], its: dict[str, Any], least: int) -> Iterator[Loss]:
    """Compare the means of pairs of cameras, of which no score of each query is kept.

    Scores within 0 and 1 with mean m have a variance of at most m (1 - m), and two models agree on
    what is hard, so that the true interval is narrower than this one.
    """
    for row, query_camera in enumerate(mine["query_cameras"]):
        for column, gallery_camera in enumerate(mine["gallery_cameras"]):
            count = mine["queries"][row][column]
            if count < max(least, 1):
                continue
            means = np.array([mine["mAP"][row][column], its["mAP"][row][column]])
            error = np.sqrt((means * (1 - means)).sum() / count)
            difference = float(means[0] - means[1])
            name = f"cameras {query_camera} to {gallery_camera}"
            yield Loss(name, count, difference, difference + _NORMAL_97_5 * float(error))
