import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid import compiled
from reid.errors import EvaluationError
from reid.retrieval.breakdown import (
    CameraPairs,
    CameraTable,
    GroupScore,
    by_group,
    occlusion_groups,
)
from reid.retrieval.labels import EXCLUSIONS, Exclusion, Labels
from reid.retrieval.metrics import average_precision, first_match_rank
from reid.retrieval.ranking import numbered, rank_blocks


def table_of(distances: np.ndarray, labels: Labels, block_size: int = 3) -> CameraTable:
    pairs = CameraPairs(labels)
    starts = range(0, len(distances), block_size)
    for row, block in numbered((distances[s : s + block_size] for s in starts), labels):
        pairs.add(row, block)
    return pairs.table()


def naive_scores(
    distances: np.ndarray, labels: Labels, camera: int, gallery: int
) -> tuple[list[float], list[bool]]:
    """Precision and hit of each query of `camera` with a match among the images of `gallery`."""
    precisions, hits = [], []
    for query in np.flatnonzero(labels.query_camera_ids == camera):
        kept = np.flatnonzero(labels.counted(query) & (labels.gallery_camera_ids == gallery))
        order = sorted(kept, key=lambda item: (distances[query, item], item))
        matches = labels.gallery_person_ids[order] == labels.query_person_ids[query]
        if matches.any() and labels.query_person_ids[query] != -1:
            ranks = np.flatnonzero(matches) + 1
            precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
            hits.append(bool(matches[0]))
    return precisions, hits


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, Labels]:
    """Ties, junk, distractors, one or many cameras, repeated rows, queries without a match."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    queries, gallery = draw(st.integers(1, 9)), draw(st.integers(1, 40))
    cameras, persons = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from([2, 5]))
    labels = Labels(
        generator.integers(1, persons + 1, queries),
        generator.integers(0, cameras + 1, queries),
        generator.integers(-1, persons, gallery),
        3 * generator.integers(0, cameras, gallery),
        draw(st.sampled_from(list(EXCLUSIONS))),
    )
    distances = generator.integers(0, draw(st.sampled_from([2, 6, 1000])), (queries, gallery))
    if draw(st.booleans()):
        distances[:, 1::2] = distances[:, ::2][:, : gallery // 2]
    return distances.astype(draw(st.sampled_from(["f4", "f8"]))), labels


@given(cases())
@settings(max_examples=60, deadline=None)
def test_camera_pairs_equal_a_ranking_of_each_alone(case: tuple[np.ndarray, Labels]) -> None:
    distances, labels = case
    made = table_of(distances, labels)
    assert made.query_cameras.tolist() == sorted(set(labels.query_camera_ids.tolist()))
    assert made.gallery_cameras.tolist() == sorted(set(labels.gallery_camera_ids.tolist()))
    for a, camera in enumerate(made.query_cameras):
        for b, gallery in enumerate(made.gallery_cameras):
            precisions, hits = naive_scores(distances, labels, camera, gallery)
            assert made.queries[a, b] == len(precisions)
            expected = (np.mean(precisions), np.mean(hits)) if hits else (np.nan, np.nan)
            found = (made.mAP[a, b], made.rank1[a, b])
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@given(cases())
@settings(max_examples=20, deadline=None)
def test_one_gallery_camera_gives_the_scores_of_the_ranking(
    case: tuple[np.ndarray, Labels],
) -> None:
    distances, labels = case
    alone = Labels(
        labels.query_person_ids,
        np.zeros(len(distances)),
        labels.gallery_person_ids,
        np.ones(distances.shape[1]),
        labels.exclusion,
    )
    made = table_of(distances, alone)
    ranking = rank_blocks([distances], alone)
    precision, first = average_precision(ranking), first_match_rank(ranking)
    scored = by_group(np.full(len(precision), "all"), precision, first)["all"]
    assert made.queries == [[scored.valid]]
    np.testing.assert_allclose([made.mAP[0, 0], made.rank1[0, 0]], [scored.mAP, scored.rank1])


@given(cases(), st.integers(1, 9), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_blocks_and_threads_change_nothing(
    case: tuple[np.ndarray, Labels], block_size: int, threads: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "thread_count", lambda: 1)
        expected = table_of(*case, 9)
        patch.setattr(compiled, "thread_count", lambda: threads)
        made = table_of(*case, block_size)
    for name in ("query_cameras", "gallery_cameras", "queries", "mAP", "rank1"):
        assert getattr(made, name).tobytes() == getattr(expected, name).tobytes()


@pytest.mark.parametrize(
    ("exclusion", "queries"),
    [("none", [[1, 1]]), ("same_person_and_camera", [[0, 1]]), ("same_camera", [[0, 1]])],
)
def test_the_rule_empties_the_camera_of_the_query(
    exclusion: Exclusion, queries: list[list[int]]
) -> None:
    labels = Labels([1], [4], [1, 2, 1, 2], [4, 4, 7, 7], exclusion)
    made = table_of(np.array([[0.1, 0.2, 0.4, 0.3]]), labels)
    assert made.queries.tolist() == queries
    record = json.loads(json.dumps(made.record(), allow_nan=False))
    home = 1.0 if exclusion == "none" else None
    assert record == {
        "query_cameras": [4],
        "gallery_cameras": [4, 7],
        "queries": queries,
        "mAP": [[home, 0.5]],
        "rank1": [[home, 0.0]],
    }


def test_distances_must_be_numbers() -> None:
    labels = Labels([1, 1], [0, 0], [2, 1], [1, 1])
    with pytest.raises(
        EvaluationError, match="distances of query 1 hold NaN; expected finite numbers"
    ):
        table_of(np.array([[0.0, 1.0], [np.nan, 1.0]]), labels)


def test_groups_are_scored_alone_and_sorted() -> None:
    groups = np.array(["rgb", "ir", "rgb", "none", "rgb"])
    precision = np.array([1.0, 0.25, 0.5, np.nan, np.nan])
    made = by_group(groups, precision, np.array([1.0, 4.0, 1.5, np.nan, np.nan]))
    assert list(made) == ["ir", "none", "rgb"]
    assert made["ir"] == GroupScore(1, 1, 0.25, 0.0)
    assert made["rgb"] == GroupScore(3, 2, 0.75, 0.5)
    assert made["none"].record() == {"queries": 1, "valid": 0, "mAP": None, "rank1": None}
    assert made["rgb"].record() == {"queries": 3, "valid": 2, "mAP": 0.75, "rank1": 0.5}


def test_groups_and_scores_must_fit() -> None:
    with pytest.raises(EvaluationError, match="groups of 1 queries, scores of 2 and 2"):
        by_group(np.array(["rgb"]), np.ones(2), np.ones(2))


def test_occlusion_groups_go_up_to_their_bound() -> None:
    shares = np.array([0, 0.01, 1 / 3, 0.34, 2 / 3, 0.67, 1, np.nan], np.float32)
    assert occlusion_groups(shares).tolist() == [
        "none",
        "occluded_00_33",
        "occluded_00_33",
        "occluded_33_67",
        "occluded_33_67",
        "occluded_67_100",
        "occluded_67_100",
        "unknown",
    ]


def test_occlusion_is_a_share() -> None:
    with pytest.raises(EvaluationError, match="occlusion 33 of query 1; expected a share from 0"):
        occlusion_groups(np.array([0.5, 33]))
