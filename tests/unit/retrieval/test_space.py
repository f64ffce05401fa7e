import numpy as np
import pytest

from reid import compiled
from reid.errors import EvaluationError
from reid.retrieval import space
from reid.retrieval.features import FeatureRows
from reid.retrieval.jaccard import SparseRows
from reid.retrieval.reranking import Reranker, RerankParams
from reid.retrieval.space import FeatureSpace, MatrixSpace, Space


def features(rows: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 6)).astype(np.float32)


def squared(rows: np.ndarray) -> np.ndarray:
    return ((rows[:, None].astype(np.float64) - rows[None]) ** 2).sum(axis=2)


def lopsided(rows: int = 40, seed: int = 0) -> np.ndarray:
    """Clustered distances of which no two are alike, in either direction."""
    noise = np.random.default_rng(seed).uniform(0.5, 2, (rows, rows))
    return (squared(features(rows, seed)) * noise + 0.1 * noise).astype(np.float32)


def together(source: Space, query: list[int], gallery: list[int], size: int = 3) -> np.ndarray:
    return np.concatenate(list(source.blocks(np.array(query), np.array(gallery), size)))


@pytest.fixture(params=["features", "matrix"])
def both(request: pytest.FixtureRequest) -> tuple[Space, np.ndarray]:
    """A space, and the matrix of its distances."""
    if request.param == "matrix":
        matrix = lopsided()
        return MatrixSpace(matrix), matrix
    rows = features()
    return FeatureSpace(FeatureRows(rows)), squared(rows)


def test_blocks_are_parts_of_the_matrix(both: tuple[Space, np.ndarray]) -> None:
    source, matrix = both
    query, gallery = [7, 0, 39, 12], [3, 7, 38, 1, 20]
    blocks = list(source.blocks(np.array(query), np.array(gallery), 3))
    assert [block.shape for block in blocks] == [(3, 5), (1, 5)]
    assert all(block.dtype == np.float32 and block.flags.c_contiguous for block in blocks)
    expected = matrix[np.ix_(query, gallery)]
    np.testing.assert_allclose(np.concatenate(blocks), expected, rtol=1e-5, atol=1e-5)


def test_subsets_keep_the_order_that_is_asked_for(both: tuple[Space, np.ndarray]) -> None:
    source, matrix = both
    first, second = np.array([30, 2, 5, 17, 9]), np.array([4, 0, 3])
    part = source.subset(first).subset(second)
    assert (len(source), len(part)) == (40, 3)
    chosen = first[second]
    expected = matrix[np.ix_(chosen, chosen)]
    made = together(part, [0, 1, 2], [0, 1, 2])
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5)


def test_neighbours_are_those_of_the_rows(both: tuple[Space, np.ndarray]) -> None:
    source, matrix = both
    near = source.neighbours(6)
    order = np.argsort(matrix, axis=1, kind="stable")[:, :6]
    np.testing.assert_array_equal(near.indices, order)
    nearest = np.take_along_axis(matrix, order, axis=1)
    np.testing.assert_allclose(near.distances, nearest, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(near.row_maximum, matrix.max(axis=1), rtol=1e-5)


def test_no_more_neighbours_than_images(both: tuple[Space, np.ndarray]) -> None:
    assert both[0].subset(np.arange(4)).neighbours(21).indices.shape == (4, 4)


def test_neighbours_that_are_equally_near_stand_in_order_of_index() -> None:
    assert MatrixSpace(np.ones((4, 4))).neighbours(3).indices.tolist() == [[0, 1, 2]] * 4


def test_pairs_are_entries_of_the_rows(both: tuple[Space, np.ndarray]) -> None:
    source, matrix = both
    sizes = np.arange(40) % 3
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    columns = np.random.default_rng(1).integers(0, 40, offsets[-1]).astype(np.int32)
    pairs = SparseRows(offsets, columns, np.empty(0, np.float32))
    made = source.pairs(pairs.offsets, pairs.columns, source.neighbours(5))
    expected = matrix[np.repeat(np.arange(40), sizes), columns]
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5)


def test_kept_distances_are_those_of_the_blocks(both: tuple[Space, np.ndarray]) -> None:
    source, _ = both
    kept = np.empty((13, 27), np.float32)
    with_them = source.neighbours(5, 13, kept)
    np.testing.assert_array_equal(kept, together(source, list(range(13)), list(range(13, 40)), 5))
    np.testing.assert_array_equal(with_them.indices, source.neighbours(5).indices)


def test_transposed_spaces_turn_every_distance_round(both: tuple[Space, np.ndarray]) -> None:
    source, _ = both
    query, gallery = [7, 0, 39, 12], [3, 7, 38, 1, 20]
    turned = together(source.transposed(), query, gallery)
    np.testing.assert_allclose(turned, together(source, gallery, query).T, atol=1e-5)
    assert source.transposed().subset(np.array([5, 6])).subset(np.array([1])).neighbours(
        1
    ).indices.tolist() == [[0]]


def test_long_matrices_are_read_in_parts(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    matrix = lopsided()
    expected = MatrixSpace(matrix).neighbours(7)
    np.save(tmp_path / "distances.npy", matrix)
    monkeypatch.setattr(space, "_ROWS", 9)
    made = MatrixSpace(np.load(tmp_path / "distances.npy", mmap_mode="r")).neighbours(7)
    np.testing.assert_array_equal(made.indices, expected.indices)
    np.testing.assert_array_equal(made.row_maximum, expected.row_maximum)


def dense_reranking(matrix: np.ndarray, queries: int, params: RerankParams) -> np.ndarray:
    """The paper on a dense matrix in the orientation of the authors' code: columns, transposed."""
    working = (matrix.astype(np.float64) / matrix.max(axis=0)).T
    order = np.argsort(working, axis=1, kind="stable")
    total = len(matrix)

    def reciprocal(image: int, length: int) -> set[int]:
        return {j for j in order[image, : length + 1] if image in order[j, : length + 1]}

    weights = np.zeros((total, total))
    for image in range(total):
        original = reciprocal(image, params.k1)
        members = set(original)
        for candidate in original:
            other = reciprocal(candidate, params.half)
            if 3 * len(other & original) > 2 * len(other):
                members |= other
        chosen = sorted(members)
        weights[image, chosen] = np.exp(-working[image, chosen])
        # an image that is not near itself may have no neighbour at all
        weights[image] /= weights[image].sum() or 1
    weights = np.stack([weights[order[i, : params.k2]].mean(axis=0) for i in range(total)])
    overlap = np.minimum(weights[:queries, None], weights[None, queries:]).sum(axis=2)
    mixed = working[:queries, queries:]
    return (1 - params.lambda_) * (1 - overlap / (2 - overlap)) + params.lambda_ * mixed


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("scored_once", [True, False])
def test_reranking_takes_the_columns(keep: bool, scored_once: bool) -> None:
    matrix, params = lopsided(), RerankParams(8, 3, 0.3)
    if scored_once:
        # as the published code of a pair scorer fills it
        matrix[11:, :11] = matrix[:11, 11:].T
    reranker = Reranker(MatrixSpace(matrix), params, queries=11, keep=keep)
    rows = np.arange(40)
    made = np.concatenate(list(reranker.blocks(rows[:11], rows[11:], 4)))
    np.testing.assert_allclose(made, dense_reranking(matrix, 11, params), atol=2e-6)
    by_rows = dense_reranking(matrix.T, 11, params)
    assert np.abs(made - by_rows).max() > 1e-2


def test_threads_change_no_bit_of_a_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, rows = lopsided(), np.arange(40)
    made = []
    for threads in (1, 3):
        monkeypatch.setattr(compiled, "thread_count", lambda threads=threads: threads)
        reranker = Reranker(MatrixSpace(matrix), RerankParams(8, 3))
        made.append(np.concatenate(list(reranker.blocks(rows[:11], rows[11:], 4))))
    np.testing.assert_array_equal(*made)


@pytest.mark.parametrize("value", [-1e-3, np.nan, np.inf])
def test_distances_that_are_none(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    monkeypatch.setattr(space, "_ROWS", 4)
    matrix = lopsided(9)
    matrix[6, [2, 3]] = value
    with pytest.raises(EvaluationError) as caught:
        MatrixSpace(matrix)
    assert str(caught.value) == (
        "2 distances that are negative, NaN or infinite in the 4 rows from 4 on; expected finite "
        "distances of 0 or more. Turn scores into distances first, for example 1 - sigmoid(score)."
    )


@pytest.mark.parametrize("shape", [(3, 4), (9,), (2, 2, 2)])
def test_matrices_that_are_not_square(shape: tuple[int, ...]) -> None:
    with pytest.raises(EvaluationError, match="expected a square matrix: queries and gallery"):
        MatrixSpace(np.zeros(shape))


def test_block_sizes_below_one() -> None:
    rows = np.arange(3)
    with pytest.raises(EvaluationError, match="block size 0; expected at least 1"):
        list(MatrixSpace(np.zeros((3, 3))).blocks(rows, rows, 0))


def test_unknown_devices() -> None:
    with pytest.raises(EvaluationError, match=r"device 'abacus': .*; expected cpu, or a device of"):
        FeatureSpace(FeatureRows(features()), "abacus")
