import numpy as np
import pytest

from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import PLAIN, evaluate
from reid.retrieval.protocols import protocol_named
from reid.retrieval.reranking import RerankParams
from reid.stages.pictures import ranked_rows

# angle of each feature, person, camera, role: the query at 0 degrees sees them in this order
ROWS = [
    (0, 1, 0, "query"),
    (200, 2, 0, "query"),
    (1, 1, 0, "gallery"),  # same person and camera: excluded
    (2, -1, 1, "gallery"),  # junk
    (3, 0, 1, "gallery"),  # distractor
    (4, 2, 1, "gallery"),  # somebody else
    (5, 1, 1, "gallery"),  # the match
]
RERANK = RerankParams(2, 1, 0.3)


@pytest.fixture
def embeddings() -> Embeddings:
    angles = np.radians([row[0] for row in ROWS])
    return Embeddings(
        features=np.stack([np.cos(angles), np.sin(angles)], axis=1),
        person_ids=np.array([row[1] for row in ROWS]),
        camera_ids=np.array([row[2] for row in ROWS]),
        roles=np.array([row[3] for row in ROWS]),
        paths=np.array([f"{number}.jpg" for number in range(len(ROWS))]),
        card={"dataset": "tiny"},
    )


def test_plain_lists_mark_what_the_protocol_excludes(embeddings: Embeddings) -> None:
    found = evaluate(embeddings, protocol_named("market"), RERANK)
    row = ranked_rows(embeddings, found, PLAIN, 1)[0]
    assert (row.path, row.person_id, row.average_precision) == ("0.jpg", 1, pytest.approx(1 / 3))
    states = ["junk", "junk", "distractor", "wrong", "match"]
    assert [hit.state for hit in row.hits] == states
    distances = [hit.distance for hit in row.hits]
    assert distances == sorted(distances)


def test_re_ranked_lists_hold_only_what_counts(embeddings: Embeddings) -> None:
    found = evaluate(embeddings, protocol_named("market"), RERANK)
    for row in ranked_rows(embeddings, found, RERANK.name, 2):
        assert all(hit.state != "junk" for hit in row.hits)


def test_queries_go_from_the_worst_to_the_best(embeddings: Embeddings) -> None:
    found = evaluate(embeddings, protocol_named("market"), RERANK)
    precision = [row.average_precision for row in ranked_rows(embeddings, found, PLAIN, 9)]
    assert len(precision) == 2
    assert precision == sorted(precision)
