"""Which queries to show, and what stands in their ranked lists."""

from collections.abc import Iterator

import numpy as np

from reid.report.ranked_lists import HITS_PER_ROW, RankedHit, RankedRow, State
from reid.retrieval.distance import DoubleArray, IntArray, distance_blocks, normalise
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import PLAIN, Evaluation
from reid.retrieval.labels import JUNK
from reid.retrieval.precision import as_float32
from reid.retrieval.protocols import Protocol, protocol_named

DISTRACTOR = 0


def ranked_rows(
    embeddings: Embeddings, evaluation: Evaluation, setting: str, count: int
) -> list[RankedRow]:
    """Return the lists of `count` queries, from the worst to the best average precision.

    Plain lists also hold what the protocol excludes, where it would have stood; re-ranked lists
    hold only what counts, for excluded images are not re-ranked.
    """
    protocol = protocol_named(evaluation.protocol)
    scores, nearest = evaluation.scores[setting], evaluation.nearest[setting]
    precision = dict(zip(evaluation.query_paths, scores.average_precision, strict=True))
    found = np.array([precision[path] for path in embeddings.paths[nearest.query_rows]])
    order = np.argsort(found, kind="stable")[: int((~np.isnan(found)).sum())]
    chosen = order[np.linspace(0, len(order) - 1, min(count, len(order))).astype(int)]
    if setting == PLAIN and protocol.gallery == "all":
        lists = _whole_lists(embeddings, protocol, nearest.query_rows[chosen])
    else:
        lists = zip(nearest.gallery_rows[chosen], nearest.distances[chosen], strict=True)
    return [
        _row(embeddings, protocol, int(nearest.query_rows[place]), float(found[place]), *hits)
        for place, hits in zip(chosen, lists, strict=True)
    ]


def _whole_lists(
    embeddings: Embeddings, protocol: Protocol, query_rows: IntArray
) -> Iterator[tuple[IntArray, DoubleArray]]:
    gallery_rows = np.flatnonzero(~embeddings.is_query)
    query = as_float32(embeddings.features[query_rows])
    gallery = as_float32(embeddings.features[gallery_rows])
    if protocol.normalise:
        query, gallery = normalise(query), normalise(gallery)
    for block in distance_blocks(query, gallery, "squared_euclidean", len(query)):
        for distances in block:
            first = np.argsort(distances, kind="stable")[:HITS_PER_ROW]
            yield gallery_rows[first], distances[first].astype(np.float64)


def _row(
    embeddings: Embeddings,
    protocol: Protocol,
    query: int,
    precision: float,
    rows: IntArray,
    distances: DoubleArray,
) -> RankedRow:
    hits = tuple(
        RankedHit(
            str(embeddings.paths[row]),
            int(embeddings.person_ids[row]),
            int(embeddings.camera_ids[row]),
            float(distance),
            _state(embeddings, protocol, query, int(row)),
        )
        for row, distance in zip(rows, distances, strict=True)
        if row >= 0
    )
    person, camera = int(embeddings.person_ids[query]), int(embeddings.camera_ids[query])
    return RankedRow(str(embeddings.paths[query]), person, camera, precision, hits)


def _state(embeddings: Embeddings, protocol: Protocol, query: int, row: int) -> State:
    person = embeddings.person_ids[row]
    same_person = person == embeddings.person_ids[query]
    same_camera = embeddings.camera_ids[row] == embeddings.camera_ids[query]
    if person == JUNK or (
        protocol.exclusion == "same_person_and_camera" and same_person and same_camera
    ):
        return "junk"
    if same_person:
        return "match"
    return "distractor" if person == DISTRACTOR else "wrong"
