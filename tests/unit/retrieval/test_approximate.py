import numpy as np
import pytest

from reid import compiled
from reid.errors import EvaluationError
from reid.progress import silent
from reid.retrieval import approximate
from reid.retrieval.approximate import approximate_neighbours
from reid.retrieval.features import FeatureRows
from reid.retrieval.neighbours import Neighbours, nearest_neighbours
from reid.retrieval.reranking import Reranker, RerankParams
from reid.retrieval.space import FeatureSpace


def clustered(rows: int, width: int = 16, hold: bool = True, seed: int = 0) -> FeatureRows:
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(rows // 20 + 1, width))
    noise = generator.normal(size=(rows, width))
    stored = centres[generator.integers(0, len(centres), rows)] + 0.5 * noise
    return FeatureRows(stored.astype(np.float32), unit=True, hold=hold)


def same(first: Neighbours, second: Neighbours) -> None:
    np.testing.assert_array_equal(first.indices, second.indices)
    np.testing.assert_array_equal(first.distances, second.distances)
    np.testing.assert_array_equal(first.row_maximum, second.row_maximum)


def recall(made: Neighbours, exact: Neighbours) -> float:
    pairs = zip(made.indices, exact.indices, strict=True)
    return float(np.mean([len(np.intersect1d(*lists)) / len(lists[0]) for lists in pairs]))


@pytest.fixture(scope="module")
def many() -> tuple[FeatureRows, Neighbours]:
    """Features, and their exact neighbours."""
    features = clustered(2500)
    return features, nearest_neighbours(features, 21)


def test_all_lists_give_the_exact_neighbours(many: tuple[FeatureRows, Neighbours]) -> None:
    features, exact = many
    made = approximate_neighbours(features, 21, probes=10**6)
    np.testing.assert_array_equal(made.indices, exact.indices)
    np.testing.assert_allclose(made.distances, exact.distances, atol=2e-6)
    # the sample is as large as the set
    np.testing.assert_allclose(made.row_maximum, exact.row_maximum, atol=2e-6)


def test_few_lists_give_most_of_the_neighbours(many: tuple[FeatureRows, Neighbours]) -> None:
    features, exact = many
    made = [recall(approximate_neighbours(features, 21, probes=n), exact) for n in (1, 4, 16)]
    assert made == sorted(made)
    assert made[0] < 0.9
    assert made[-1] > 0.98


def test_every_image_leads_its_own_list(many: tuple[FeatureRows, Neighbours]) -> None:
    made = approximate_neighbours(many[0], 5, probes=1)
    np.testing.assert_array_equal(made.indices[:, 0], np.arange(2500))
    assert not made.distances[:, 0].any()
    assert (np.diff(made.distances, axis=1) >= 0).all()
    assert all(len(set(row)) == 5 for row in made.indices.tolist())


def test_what_one_image_finds_counts_for_the_other() -> None:
    indices = np.array([[0, 1], [1, 2], [2, 3], [3, 0]], np.int32)
    distances = np.array([[0, 1], [0, 3], [0, 5], [0, 2]], np.float32)
    approximate._tell_others(indices.copy(), distances.copy(), indices, distances)
    assert indices.tolist() == [[0, 1], [1, 0], [2, 1], [3, 0]]
    assert distances.tolist() == [[0, 1], [0, 1], [0, 3], [0, 2]]


def test_largest_distances_are_those_to_a_sample(
    many: tuple[FeatureRows, Neighbours], monkeypatch: pytest.MonkeyPatch
) -> None:
    features, exact = many
    monkeypatch.setattr(approximate, "_SAMPLE", 250)
    made = approximate_neighbours(features, 21, probes=2)
    assert (made.row_maximum >= made.distances[:, -1]).all()
    assert (made.row_maximum <= exact.row_maximum + 2e-6).all()
    share = (made.row_maximum / exact.row_maximum).mean()
    assert 0.9 < share < 0.999


@pytest.mark.parametrize("rows", [1, 2, 9, 85])
def test_small_sets(rows: int) -> None:
    features = clustered(rows)
    made, exact = approximate_neighbours(features, 21), nearest_neighbours(features, 21)
    np.testing.assert_array_equal(made.indices, exact.indices)
    np.testing.assert_allclose(made.row_maximum, exact.row_maximum, atol=2e-6)


def test_images_that_are_all_alike() -> None:
    features = FeatureRows(np.ones((200, 4), np.float32))
    made = approximate_neighbours(features, 5, probes=1)
    assert not made.distances.any()
    assert not made.row_maximum.any()
    # as in the exact search: ties by index
    assert made.indices.tolist() == [[0, 1, 2, 3, 4]] * 200


def test_lists_that_hold_too_few_are_not_the_end() -> None:
    # one list holds two images alone, far from all others
    stored = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    stored[[7, 12]] = [[1000, 0, 0, 0], [1000, 0, 0, 1]]
    made = approximate_neighbours(FeatureRows(stored), 9, probes=1)
    assert made.indices[7, :2].tolist() == [7, 12]
    assert made.indices.min() >= 0
    assert all(len(set(row)) == 9 for row in made.indices.tolist())


@pytest.mark.parametrize(("threads", "hold"), [(1, True), (2, True), (3, False)])
def test_threads_and_holding_change_no_bit(
    monkeypatch: pytest.MonkeyPatch, threads: int, hold: bool
) -> None:
    monkeypatch.setattr(approximate, "_ROWS", 128)
    monkeypatch.setattr(compiled, "thread_count", lambda: 2)
    expected = approximate_neighbours(clustered(900), 21, 5, probes=2)
    monkeypatch.setattr(compiled, "thread_count", lambda: threads)
    same(approximate_neighbours(clustered(900, hold=hold), 21, 5, probes=2), expected)


def test_the_seed_decides_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "_SAMPLE", 50)
    features = clustered(900)
    first, again, other = (approximate_neighbours(features, 21, n, probes=1) for n in (5, 5, 6))
    same(first, again)
    assert (first.indices != other.indices).any()
    assert (first.row_maximum != other.row_maximum).any()


def test_progress_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "_ROWS", 400)
    monkeypatch.setattr(compiled, "thread_count", lambda: 1)
    told: list[tuple[int, int]] = []
    approximate_neighbours(clustered(900), 5, 0, lambda done, total: told.append((done, total)))
    assert told == [(400, 900), (800, 900), (900, 900)]


def test_a_space_searches_approximately_where_that_is_asked_for() -> None:
    features, rows = clustered(900), np.arange(900)
    space = FeatureSpace(features, search="approximate", seed=5)
    kept = np.empty((70, 830), np.float32)
    same(space.neighbours(9, 70, kept), approximate_neighbours(features, 9, 5))
    blocks = np.concatenate(list(space.blocks(rows[:70], rows[70:], 64)))
    np.testing.assert_array_equal(kept, blocks)
    part = space.subset(rows[100:600])
    expected = approximate_neighbours(features.subset(rows[100:600]), 9, 5)
    same(part.neighbours(9), expected)


def test_nothing_searches_approximately_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Neighbours:
        raise AssertionError

    monkeypatch.setattr("reid.retrieval.space.approximate_neighbours", refuse)
    same(FeatureSpace(clustered(300)).neighbours(9), nearest_neighbours(clustered(300), 9))


def test_reranked_distances_are_nearly_the_exact_ones() -> None:
    features, rows, params = clustered(1500), np.arange(1500), RerankParams()
    made, exact = (
        np.concatenate(list(Reranker(space, params).blocks(rows[:100], rows[100:])))
        for space in (FeatureSpace(features, search="approximate"), FeatureSpace(features))
    )
    assert np.abs(made - exact).mean() < 1e-3


def test_unknown_searches() -> None:
    with pytest.raises(EvaluationError, match="unknown search 'quick'; expected one of exact, app"):
        FeatureSpace(clustered(5), "cpu", silent, "quick")  # type: ignore[arg-type]
