"""Rank of the first match among persons: each other person counts once, at its nearest image.

The matching curve of SYSU-MM01 and LLCM. Differs from the reference code: a gallery in which the
exclusion rule leaves few persons needs no special case, and junk is left out.
"""

import numpy as np
import numpy.typing as npt

from reid.compiled import compiled, over_rows
from reid.retrieval.features import DoubleArray, FloatArray, IntArray
from reid.retrieval.labels import Labels, SamePerson, excluded
from reid.retrieval.ranking import Block


class PersonRanks:
    """Ranks persons in blocks of distances as they come.

    Equal distances stand in order of gallery index. All images of person 0 count as one person.

    Args:
        labels: Persons, cameras and the exclusion rule.

    Attributes:
        ranks: 1 + persons with an image that counts before the first match; NaN for a query
            without a match [Q].
    """

    def __init__(self, labels: Labels) -> None:
        same = SamePerson.of(labels)
        names, groups = np.unique(labels.gallery_person_ids, return_inverse=True)
        matches = (same.order, same.first, same.last)
        self._constants = (*matches, *labels.as_arguments(), groups, len(names))
        self.ranks: DoubleArray = np.full(len(labels.query_person_ids), np.nan)

    def add(self, first_query: int, block: Block) -> None:
        """Rank a block [b, G] whose first row belongs to query `first_query`."""
        over_rows(_rank_persons, len(block), block, first_query, *self._constants, self.ranks)


@compiled
def _rank_persons(
    start: int,
    stop: int,
    block: FloatArray,
    first_query: int,
    order: IntArray,
    first: IntArray,
    last: IntArray,
    query_persons: IntArray,
    query_cameras: IntArray,
    gallery_persons: IntArray,
    gallery_cameras: IntArray,
    exclusion: int,
    groups: npt.NDArray[np.intp],
    group_count: int,
    ranks: DoubleArray,
) -> None:
    seen = np.full(group_count, -1, np.int64)
    for row in range(start, stop):
        query = first_query + row
        person, camera = query_persons[query], query_cameras[query]
        match, nearest = -1, np.inf
        for place in range(first[query], last[query]):
            item = order[place]
            if excluded(exclusion, True, gallery_cameras[item] == camera):
                continue
            if match < 0 or block[row, item] < nearest:
                match, nearest = item, block[row, item]
        if match < 0:
            continue
        passed = 0
        for item in range(block.shape[1]):
            d = block[row, item]
            if not (d < nearest or (d == nearest and item < match)):
                continue
            other = gallery_persons[item]
            if other == -1 or other == person or seen[groups[item]] == query:
                continue
            if not excluded(exclusion, False, gallery_cameras[item] == camera):
                seen[groups[item]] = query
                passed += 1
        ranks[query] = passed + 1
