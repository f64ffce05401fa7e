import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.retrieval.labels import Exclusion, Labels
from reid.retrieval.metrics import cumulative_matching
from reid.retrieval.single_shot import DrawnCurves, ExpectedCurves, drawn_ranks, expected_curves

RULES: tuple[Exclusion, ...] = ("none", "same_person_and_camera")


def labels_of(
    generator: np.random.Generator,
    queries: int,
    gallery: int,
    exclusion: Exclusion = "same_person_and_camera",
) -> Labels:
    return Labels(
        generator.integers(1, 4, queries),
        generator.integers(0, 2, queries),
        generator.integers(-1, 4, gallery),
        generator.integers(0, 2, gallery),
        exclusion,
    )


def every_draw(distances: np.ndarray, query: int, labels: Labels) -> list[int]:
    """Rank of the match in each possible gallery of one image per person."""
    person, camera = labels.query_person_ids[query], labels.query_camera_ids[query]
    images: dict[int, list[int]] = {}
    for item, other in enumerate(labels.gallery_person_ids.tolist()):
        excluded = labels.exclusion != "none" and (
            other == person and labels.gallery_camera_ids[item] == camera
        )
        if other != -1 and not excluded:
            images.setdefault(other, []).append(item)
    if person not in images:
        return []
    ranks = []
    for chosen in itertools.product(*images.values()):
        own = chosen[list(images).index(person)]
        before = [i for i in chosen if (distances[i], i) < (distances[own], own)]
        ranks.append(1 + len(before))
    return ranks


@given(st.integers(0, 9999), st.integers(1, 12), st.sampled_from(RULES))
@settings(max_examples=40, deadline=None)
def test_expectation_equals_the_mean_over_every_draw(
    seed: int, gallery: int, exclusion: Exclusion
) -> None:
    generator = np.random.default_rng(seed)
    labels = labels_of(generator, 3, gallery, exclusion)
    distances = generator.integers(0, 5, (3, gallery)).astype(np.float32)
    curves = expected_curves(distances, 0, labels, 6)
    for query in range(3):
        ranks = every_draw(distances[query], query, labels)
        if not ranks:
            assert np.isnan(curves[query]).all()
            continue
        expected = [np.mean([rank <= r for rank in ranks]) for r in range(1, 7)]
        np.testing.assert_allclose(curves[query], expected, atol=1e-12)


def test_many_draws_approach_the_expectation() -> None:
    generator = np.random.default_rng(5)
    labels = labels_of(generator, 4, 30)
    distances = generator.random((4, 30)).astype(np.float32)
    ranks = drawn_ranks(distances, 0, labels, draws=4000, seed=0)
    drawn = np.stack([(ranks <= r).mean(axis=1) for r in range(1, 6)], axis=1)
    np.testing.assert_allclose(drawn, expected_curves(distances, 0, labels, 5), atol=0.04)


def test_draws_depend_on_seed_and_query_alone() -> None:
    generator = np.random.default_rng(6)
    labels = labels_of(generator, 5, 30)
    distances = generator.random((5, 30)).astype(np.float32)
    whole = drawn_ranks(distances, 0, labels, draws=20, seed=1)
    np.testing.assert_array_equal(drawn_ranks(distances[3:], 3, labels, 20, seed=1), whole[3:])
    assert not np.array_equal(drawn_ranks(distances, 0, labels, 20, seed=2), whole)


def test_a_query_without_a_match_has_no_rank() -> None:
    labels = Labels([9], [0], [1, 2], [1, 1])
    assert np.isnan(drawn_ranks(np.zeros((1, 2)), 0, labels, 3, seed=0)).all()


def test_curves_gathered_block_by_block() -> None:
    generator = np.random.default_rng(7)
    labels = labels_of(generator, 9, 20)
    distances = generator.random((9, 20)).astype(np.float32)
    expected, drawn = ExpectedCurves(labels, 4), DrawnCurves(labels, 3, 0, 4)
    for row in (0, 2, 4, 6, 8):
        for gathered in (expected, drawn):
            gathered.add(row, distances[row : row + 2])
    whole = np.nanmean(expected_curves(distances, 0, labels, 4), axis=0)
    np.testing.assert_array_equal(expected.curves(), whole[None])
    ranks = drawn_ranks(distances, 0, labels, 3, 0)
    np.testing.assert_array_equal(drawn.curves(), [cumulative_matching(r, 4) for r in ranks.T])
