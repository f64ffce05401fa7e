from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid import compiled
from reid.errors import EvaluationError
from reid.retrieval.labels import EXCLUSIONS, Labels, excluded, match_counts
from reid.retrieval.metrics import average_precision
from reid.retrieval.ranking import Ranking, rank_blocks, rank_matches


@dataclass(frozen=True)
class Scene:
    distances: np.ndarray
    labels: Labels


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Few distinct distances, so that ties abound; junk, distractors, shared cameras."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    queries, gallery = draw(st.integers(1, 9)), draw(st.integers(1, 40))
    labels = Labels(
        generator.integers(1, 5, queries),
        generator.integers(0, 3, queries),
        generator.integers(-1, 5, gallery),
        generator.integers(0, 3, gallery),
        exclusion=draw(st.sampled_from(list(EXCLUSIONS))),
    )
    levels = draw(st.sampled_from([2, 6, 1000]))
    return Scene(generator.integers(0, levels, (queries, gallery)).astype(np.float32), labels)


def naive_order(scene: Scene, query: int, ties: str = "index") -> list[tuple[int, bool]]:
    """Gallery indices that count, in order, each with whether it is a match."""
    labels, kept = scene.labels, []
    for item in range(len(labels.gallery_person_ids)):
        person = labels.gallery_person_ids[item]
        match = person == labels.query_person_ids[query]
        same_camera = labels.gallery_camera_ids[item] == labels.query_camera_ids[query]
        if person == -1 or excluded(EXCLUSIONS[labels.exclusion], match, same_camera):
            continue
        first = {"index": 0, "favour": not match, "against": match}[ties]
        kept.append((scene.distances[query, item], first, item, bool(match)))
    return [(item, match) for _, _, item, match in sorted(kept)]


def naive_ranks(scene: Scene, query: int, ties: str = "index") -> list[int]:
    order = naive_order(scene, query, ties)
    return [rank for rank, (_, match) in enumerate(order, start=1) if match]


def in_blocks(distances: np.ndarray, size: int) -> list[np.ndarray]:
    return [distances[start : start + size] for start in range(0, len(distances), size)]


@given(scenes(), st.integers(1, 9), st.sampled_from(["index", "favour", "against"]))
@settings(max_examples=60, deadline=None)
def test_ranks_equal_a_double_loop(scene: Scene, block_size: int, ties: str) -> None:
    ranking = rank_blocks(in_blocks(scene.distances, block_size), scene.labels, ties)
    for query in range(len(scene.distances)):
        assert ranking.ranks_of(query).tolist() == naive_ranks(scene, query, ties)
    np.testing.assert_array_equal(ranking.match_counts, match_counts(scene.labels))


@given(scenes(), st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_nearest_lists_equal_a_double_loop(scene: Scene, top: int) -> None:
    ranking = rank_blocks([scene.distances], scene.labels, top=top)
    for query in range(len(scene.distances)):
        expected = [item for item, _ in naive_order(scene, query)][:top]
        padding = [-1] * (top - len(expected))
        assert ranking.top_indices[query].tolist() == expected + padding
        shown = ranking.top_distances[query, : len(expected)]
        np.testing.assert_array_equal(shown, scene.distances[query, expected])
        assert np.isinf(ranking.top_distances[query, len(expected) :]).all()


@given(scenes())
@settings(max_examples=20, deadline=None)
def test_ties_by_index_lie_between_best_and_worst(scene: Scene) -> None:
    made = {
        t: rank_blocks([scene.distances], scene.labels, t) for t in ("favour", "index", "against")
    }
    best, middle, worst = (np.nan_to_num(average_precision(r)) for r in made.values())
    assert (best >= middle).all()
    assert (middle >= worst).all()


def test_a_margin_makes_near_distances_tie() -> None:
    labels = Labels([1], [0], [2, 1], [1, 1])
    near = [np.array([[0.50, 0.51]])]
    assert rank_blocks(near, labels, "favour").match_ranks.tolist() == [2]
    assert rank_blocks(near, labels, "favour", tie_margin=0.02).match_ranks.tolist() == [1]


def test_double_precision_is_not_shortened() -> None:
    labels = Labels([1], [0], [2, 1], [1, 1])
    assert rank_blocks([np.array([[1.0, 1.0 - 1e-12]])], labels).match_ranks.tolist() == [1]


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("block_size", [1, 5, 64])
def test_features_rank_alike_for_any_block_size_and_threads(
    monkeypatch: pytest.MonkeyPatch, threads: int, block_size: int
) -> None:
    monkeypatch.setattr(compiled, "thread_count", lambda: threads)
    generator = np.random.default_rng(3)
    query, gallery = (generator.normal(size=(n, 8)).astype(np.float32) for n in (23, 90))
    persons, cameras = generator.integers(0, 9, 113), generator.integers(0, 3, 113)
    labels = Labels(persons[:23], cameras[:23], persons[23:], cameras[23:])
    expected = rank_matches(query, gallery, labels, block_size=23, top=4)
    made = rank_matches(query, gallery, labels, block_size=block_size, top=4)
    for name in Ranking.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(made, name), getattr(expected, name))


def test_a_junk_query_has_no_match() -> None:
    labels = Labels([-1], [0], [-1, 2], [1, 1])
    assert not rank_blocks([np.zeros((1, 2))], labels).valid.any()


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (
            [np.zeros((2, 2))],
            r"shape \(2, 2\) after 0 queries; expected rows of 2 queries against 3",
        ),
        ([np.zeros((1, 3))], "distances of 1 queries; expected 2"),
        ([np.zeros((2, 3)), np.zeros((1, 3))], r"shape \(1, 3\) after 2 queries"),
        ([np.array([[0, 0, 0], [0, np.nan, 0]])], "distances of query 1 hold NaN"),
    ],
)
def test_blocks_that_do_not_fit(blocks: list[np.ndarray], message: str) -> None:
    labels = Labels([1, 2], [0, 0], [1, 2, 3], [1, 1, 1])
    with pytest.raises(EvaluationError, match=message):
        rank_blocks(blocks, labels)


def test_labels_that_do_not_fit() -> None:
    with pytest.raises(EvaluationError, match=r"gallery: person ids of shape \(2,\), camera ids"):
        Labels([1], [0], [1, 2], [0])
