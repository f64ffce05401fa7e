from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid import compiled
from reid.retrieval.labels import EXCLUSIONS, Labels
from reid.retrieval.person_ranks import PersonRanks
from reid.retrieval.ranking import numbered


@dataclass(frozen=True)
class Scene:
    distances: np.ndarray
    labels: Labels


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Few distinct distances, so that ties abound; junk, distractors, shared cameras."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    queries, gallery = draw(st.integers(1, 9)), draw(st.integers(1, 40))
    cameras = draw(st.sampled_from([1, 3]))
    labels = Labels(
        generator.integers(-1, 6, queries),
        generator.integers(0, cameras, queries),
        generator.integers(-1, 6, gallery),
        generator.integers(0, cameras, gallery),
        exclusion=draw(st.sampled_from(list(EXCLUSIONS))),
    )
    levels = draw(st.sampled_from([1, 6, 1000]))
    return Scene(generator.integers(0, levels, (queries, gallery)).astype(np.float32), labels)


def naive_rank(scene: Scene, query: int) -> float:
    """Sort what counts, keep the first image of each person, find the query's person."""
    labels = scene.labels
    person, camera = labels.query_person_ids[query], labels.query_camera_ids[query]
    if person == -1:
        return np.nan
    seen: list[int] = []
    for item in sorted(range(scene.distances.shape[1]), key=lambda i: scene.distances[query, i]):
        other, there = labels.gallery_person_ids[item], labels.gallery_camera_ids[item]
        left_out = {
            "none": False,
            "same_person_and_camera": other == person and there == camera,
            "same_camera": there == camera,
        }[labels.exclusion]
        if other != -1 and not left_out and other not in seen:
            seen.append(int(other))
    return 1.0 + seen.index(person) if person in seen else np.nan


def ranks_of(scene: Scene, block_size: int) -> np.ndarray:
    counter = PersonRanks(scene.labels)
    starts = range(0, len(scene.distances), block_size)
    blocks = [scene.distances[start : start + block_size] for start in starts]
    for row, block in numbered(blocks, scene.labels):
        counter.add(row, block)
    return counter.ranks


@given(scenes(), st.integers(1, 9))
@settings(max_examples=100, deadline=None)
def test_ranks_equal_a_double_loop(scene: Scene, block_size: int) -> None:
    expected = [naive_rank(scene, query) for query in range(len(scene.distances))]
    np.testing.assert_array_equal(ranks_of(scene, block_size), expected)


@given(scenes(), st.integers(1, 9), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_blocks_and_threads_change_no_bit(scene: Scene, block_size: int, threads: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "thread_count", lambda: threads)
        made = ranks_of(scene, block_size).tobytes()
    assert made == ranks_of(scene, 9).tobytes()


def test_by_hand() -> None:
    #           nearest                          first match
    gallery = [5, 5, 0, 0, -1, 8, 5, 9, 7, 7, 4]
    labels = Labels([7], [0], gallery, [1] * 11, exclusion="none")
    counter = PersonRanks(labels)
    counter.add(0, np.arange(11, dtype=np.float32)[None])
    # before person 7 stand 5, the distractors as one, 8 and 9
    assert counter.ranks.tolist() == [5.0]
