import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid import compiled
from reid.errors import EvaluationError
from reid.retrieval import distance
from reid.retrieval.distance import distance_blocks, normalise, squared_distance


def features(rows: int, columns: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)


def together(query: np.ndarray, gallery: np.ndarray, **options: object) -> np.ndarray:
    return np.concatenate(list(distance_blocks(query, gallery, **options)))


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distance, "TILE", 8)


@pytest.mark.usefixtures("small_tiles")
def test_squared_euclidean_equals_the_sum_of_squared_gaps() -> None:
    query, gallery = features(19), features(45, seed=1)
    gaps = query[:, None].astype(float) - gallery[None]
    expected = (gaps**2).sum(axis=2)
    np.testing.assert_allclose(together(query, gallery), expected, rtol=1e-6)


@pytest.mark.usefixtures("small_tiles")
def test_cosine_is_one_minus_the_cosine() -> None:
    query, gallery = features(19), features(45, seed=1)
    expected = 1 - normalise(query).astype(float) @ normalise(gallery).T.astype(float)
    np.testing.assert_allclose(together(query, gallery, metric="cosine"), expected, atol=1e-6)


def test_cosine_of_a_row_of_zeros_is_one() -> None:
    query = np.zeros((1, 4), np.float32)
    np.testing.assert_array_equal(together(query, features(3, 4), metric="cosine"), 1.0)


def test_normalised_rows_have_length_one_and_zeros_stay() -> None:
    rows = np.vstack([features(5), np.zeros((1, 24), np.float32)])
    lengths = np.linalg.norm(normalise(rows), axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 1, 1, 1, 0], atol=1e-6)


def test_no_distance_is_negative() -> None:
    rows = normalise(np.repeat(features(3, 512), 20, axis=0))
    assert together(rows, rows).min() >= 0


@pytest.mark.usefixtures("small_tiles")
@given(block_size=st.integers(1, 40))
@settings(max_examples=12, deadline=None)
def test_block_size_and_threads_change_no_bit(block_size: int) -> None:
    query, gallery = features(37), features(51, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "thread_count", lambda: 1)
        expected = together(query, gallery, block_size=37)
        patch.setattr(compiled, "thread_count", lambda: 3)
        blocks = list(distance_blocks(query, gallery, block_size=block_size))
    assert max(len(block) for block in blocks) <= block_size
    np.testing.assert_array_equal(np.concatenate(blocks), expected)


def test_exact_distance_of_two_rows() -> None:
    assert squared_distance(np.float32([1, 2, 3]), np.float32([3, 2, 0])) == 4 + 0 + 9


@pytest.mark.parametrize(
    ("query", "gallery", "options", "message"),
    [
        (features(2), features(2, 5), {}, "24 columns, gallery features 5; expected equal sizes"),
        (features(2)[0], features(2), {}, r"query features have shape \(24,\)"),
        (features(2), features(2), {"metric": "manhattan"}, "unknown distance 'manhattan'"),
        (features(2), features(2), {"block_size": 0}, "block size 0; expected at least 1"),
        (features(2), features(2) * np.nan, {}, "gallery features hold NaN or infinity in 2 of 2"),
    ],
)
def test_errors(query: np.ndarray, gallery: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        together(query, gallery, **options)
