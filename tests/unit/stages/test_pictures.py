import numpy as np
import pytest

from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import PLAIN, EvaluationSettings, evaluate
from reid.retrieval.protocols import protocol_named
from reid.retrieval.reranking import RerankParams
from reid.stages.pictures import list_note, ranked_rows

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
SETTINGS = EvaluationSettings(RERANK)


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
    rules = protocol_named("market")
    found = evaluate(embeddings, rules, SETTINGS)
    row = ranked_rows(embeddings, found, rules, PLAIN, 1)[0]
    assert (row.path, row.person_id, row.average_precision) == ("0.jpg", 1, pytest.approx(1 / 3))
    states = ["junk", "junk", "distractor", "wrong", "match"]
    assert [hit.state for hit in row.hits] == states
    distances = [hit.distance for hit in row.hits]
    assert distances == sorted(distances)


def test_re_ranked_lists_hold_only_what_counts(embeddings: Embeddings) -> None:
    rules = protocol_named("market")
    found = evaluate(embeddings, rules, SETTINGS)
    for row in ranked_rows(embeddings, found, rules, RERANK.name, 2):
        assert all(hit.state != "junk" for hit in row.hits)


def test_queries_go_from_the_worst_to_the_best(embeddings: Embeddings) -> None:
    rules = protocol_named("market")
    found = evaluate(embeddings, rules, SETTINGS)
    precision = [row.average_precision for row in ranked_rows(embeddings, found, rules, PLAIN, 9)]
    assert len(precision) == 2
    assert precision == sorted(precision)


def looked_for(
    rows: list[tuple[int, int, int, str, str]], draws: list[list[int]] | None = None
) -> Embeddings:
    """Angle of each feature, person, camera, role and modality."""
    angles = np.radians([row[0] for row in rows])
    return Embeddings(
        features=np.stack([np.cos(angles), np.sin(angles)], axis=1),
        person_ids=np.array([row[1] for row in rows]),
        camera_ids=np.array([row[2] for row in rows]),
        roles=np.array([row[3] for row in rows]),
        paths=np.array([f"{number}.jpg" for number in range(len(rows))]),
        card={"dataset": "tiny"},
        modalities=np.array([row[4] for row in rows]),
        draws=np.array(draws) if draws else np.empty((0, 0), np.int64),
    )


def test_a_drawn_gallery_is_shown_as_the_first_trial_drew_it() -> None:
    rows = [
        (0, 1, 2, "query", "ir"),
        (1, 1, 1, "gallery", "rgb"),  # in the place of the query's camera: excluded
        (2, 1, 0, "gallery", "rgb"),  # not drawn in the first trial
        (3, 2, 4, "gallery", "rgb"),
        (4, 1, 3, "gallery", "rgb"),
        (5, 2, 1, "gallery", "rgb"),  # in that place too
    ]
    first = [-1, 0, 1, 0, 0, 0]
    other = [-1, 0, 0, 0, 0, 0]
    draws = [list(places) for places in zip(first, *[other] * 9, strict=True)]
    embeddings = looked_for(rows, draws)
    rules = protocol_named("sysu_all_single")
    found = evaluate(embeddings, rules, SETTINGS)
    (row,) = ranked_rows(embeddings, found, rules, PLAIN, 12)
    assert (row.path, row.modality) == ("0.jpg", "ir")
    shown = [(hit.path, hit.state, hit.modality) for hit in row.hits]
    assert shown == [("3.jpg", "wrong", "rgb"), ("4.jpg", "match", "rgb")]


@pytest.mark.parametrize(
    ("protocol", "note"),
    [
        ("market", ""),
        ("cuhk03_drawn", ""),  # draws alter the matching curve alone
        ("vehicleid", "gallery: draw 1 of 10; AP: mean of all draws"),
        (
            "sysu_all_single",
            "gallery: draw 1 of 10; AP: mean of all draws; "
            "ranks count images here, persons in the figures",
        ),
        (
            "llcm_full_gallery_nir_to_visible",
            "ranks count images here, persons in the figures",
        ),
    ],
)
def test_it_is_said_what_a_list_is_not(protocol: str, note: str) -> None:
    assert list_note(protocol_named(protocol)) == note


@pytest.mark.parametrize(
    ("protocol", "asks"), [("regdb_visible_to_thermal", "rgb"), ("regdb_thermal_to_visible", "ir")]
)
def test_a_pool_is_shown_by_modality(protocol: str, asks: str) -> None:
    rows = [
        (angle, person, int(look == "ir"), "pool", look)
        for angle, (person, look) in enumerate((p, m) for m in ("rgb", "ir") for p in (1, 2))
    ]
    embeddings = looked_for(rows)
    rules = protocol_named(protocol)
    found = evaluate(embeddings, rules, SETTINGS)
    lists = ranked_rows(embeddings, found, rules, PLAIN, 12)
    assert {row.modality for row in lists} == {asks}
    for row in lists:
        assert {hit.modality for hit in row.hits} == {"rgb", "ir"} - {asks}
        assert sorted(hit.state for hit in row.hits) == ["match", "wrong"]


@pytest.mark.parametrize("protocol", ["vehicleid", "cuhk03", "cuhk03_drawn"])
def test_a_pool_is_shown_as_it_is_split(protocol: str) -> None:
    """A person 0 who is looked for is nobody's distractor."""
    rows = [(7 * n, n // 4, n % 2, "pool", "rgb") for n in range(12)]
    embeddings = looked_for(rows)
    rules = protocol_named(protocol)
    found = evaluate(embeddings, rules, SETTINGS)
    for row in ranked_rows(embeddings, found, rules, PLAIN, 12):
        assert {hit.state for hit in row.hits} == {"match", "wrong"}
        assert row.path not in {hit.path for hit in row.hits}
        for hit in row.hits:
            assert (hit.state == "match") == (hit.person_id == row.person_id)
