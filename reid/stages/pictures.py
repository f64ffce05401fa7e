"""Which queries to show, and what stands in their ranked lists."""

from collections.abc import Iterator

import numpy as np

from reid.report.ranked_lists import HITS_PER_ROW, RankedHit, RankedRow, State
from reid.retrieval.distance import distance_blocks
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import PLAIN, Evaluation
from reid.retrieval.features import DoubleArray, FeatureRows, IntArray
from reid.retrieval.labels import Labels
from reid.retrieval.protocols import Protocol

DISTRACTOR = 0


def ranked_rows(
    embeddings: Embeddings, evaluation: Evaluation, protocol: Protocol, setting: str, count: int
) -> list[RankedRow]:
    """Return the lists of `count` queries, from the worst to the best average precision.

    Where roles say what the gallery is, plain lists of features also hold what the protocol
    excludes, where it would have stood. All others hold only what counts: excluded images are not
    re-ranked, and of a gallery that is drawn or chosen by modality only the first trial's is to be
    seen.
    """
    scores, nearest = evaluation.scores[setting], evaluation.nearest[setting]
    precision = dict(zip(evaluation.query_paths, scores.average_precision, strict=True))
    found = np.array([precision[path] for path in embeddings.paths[nearest.query_rows]])
    order = np.argsort(found, kind="stable")[: int((~np.isnan(found)).sum())]
    chosen = order[np.linspace(0, len(order) - 1, min(count, len(order))).astype(int)]
    queries = nearest.query_rows[chosen]
    measured = not embeddings.card.get("scored_in_pairs")
    by_roles = protocol.gallery == "all" and protocol.query_modality is None
    if setting == PLAIN and by_roles and measured:
        lists = _whole_lists(embeddings, protocol, queries)
    else:
        lists = zip(nearest.gallery_rows[chosen], nearest.distances[chosen], strict=True)
    return [
        _row(embeddings, protocol, query, average, rows[rows >= 0], distances[rows >= 0])
        for query, average, (rows, distances) in zip(
            queries.tolist(), found[chosen].tolist(), lists, strict=True
        )
    ]


def list_note(protocol: Protocol) -> str:
    """Say in what the lists of a protocol are not what its figures are made of."""
    notes = []
    if protocol.trials > 1 and not protocol.single_shot:
        notes.append(f"gallery: draw 1 of {protocol.trials}; AP: mean of all draws")
    if protocol.counting == "persons":
        notes.append("ranks count images here, persons in the figures")
    return "; ".join(notes)


def _whole_lists(
    embeddings: Embeddings, protocol: Protocol, query_rows: IntArray
) -> Iterator[tuple[IntArray, DoubleArray]]:
    gallery_rows = np.flatnonzero(embeddings.roles == "gallery")
    features, unit = embeddings.features, protocol.normalise
    query = FeatureRows(features, "query", unit, query_rows)
    gallery = FeatureRows(features, "gallery", unit, gallery_rows, hold=False)
    for block in distance_blocks(query, gallery, block_size=len(query)):
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
            path=str(embeddings.paths[row]),
            person_id=int(embeddings.person_ids[row]),
            camera_id=int(embeddings.camera_ids[row]),
            distance=distance,
            state=state,
            modality=str(embeddings.modalities[row]),
        )
        for row, distance, state in zip(
            rows.tolist(),
            distances.tolist(),
            _states(embeddings, protocol, query, rows),
            strict=True,
        )
    )
    return RankedRow(
        path=str(embeddings.paths[query]),
        person_id=int(embeddings.person_ids[query]),
        camera_id=int(embeddings.camera_ids[query]),
        average_precision=precision,
        hits=hits,
        modality=str(embeddings.modalities[query]),
    )


def _states(
    embeddings: Embeddings, protocol: Protocol, query: int, rows: IntArray
) -> Iterator[State]:
    persons, own = embeddings.person_ids[rows], embeddings.person_ids[[query]]
    places = protocol.places_of(embeddings.camera_ids)
    labels = Labels(own, places[[query]], persons, places[rows], protocol.exclusion)
    # some data sets number a person 0 who is looked for
    nobody = not (embeddings.person_ids[embeddings.roles != "gallery"] == DISTRACTOR).any()
    for person, counted in zip(persons.tolist(), labels.counted(0).tolist(), strict=True):
        if not counted:
            yield "junk"
        elif person == own[0]:
            yield "match"
        else:
            yield "distractor" if nobody and person == DISTRACTOR else "wrong"
