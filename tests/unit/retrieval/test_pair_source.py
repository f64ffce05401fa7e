import numpy as np
import pytest

from reid.errors import EvaluationError
from reid.retrieval.pair_scorer import score_distances
from reid.retrieval.pair_source import LiftedSource, ScoreSource
from reid.retrieval.tlift import Moments, TLiftParams, lifted


@pytest.fixture
def source() -> ScoreSource:
    scores = np.random.default_rng(0).normal(0, 20, (4, 6)).astype(np.float32)
    return ScoreSource(scores, np.array([0, 1, 2, 7]), np.array([3, 4, 5, 6, 8, 9]))


def test_blocks_are_the_distances_of_the_rows_asked_for(source: ScoreSource) -> None:
    queries, gallery = np.array([7, 0, 2]), np.array([9, 3])
    blocks = list(source.blocks(queries, gallery, 2))
    assert [len(block) for block in blocks] == [2, 1]
    expected = 1 / (1 + np.exp(source.scores[[3, 0, 2]][:, [5, 0]].astype(np.float64) / 10))
    np.testing.assert_allclose(np.concatenate(blocks), expected, rtol=1e-6)


def test_lifting_uses_all_queries_whatever_the_block(source: ScoreSource) -> None:
    cameras, seconds = np.arange(10) % 2, np.arange(10) * 40.0
    params = TLiftParams(count=2)
    raised = LiftedSource(source, cameras, seconds, params)
    queries, gallery = source.query_rows, source.gallery_rows
    whole = np.concatenate(list(raised.blocks(queries, gallery, 10)))
    query, others = (Moments(cameras[rows], seconds[rows]) for rows in (queries, gallery))
    expected = 1.2 - lifted(1 - score_distances(source.scores), query, others, params)
    np.testing.assert_allclose(whole, expected, rtol=1e-6)
    assert np.array_equal(np.concatenate(list(raised.blocks(queries, gallery, 1))), whole)


def test_lifting_needs_times(source: ScoreSource) -> None:
    seconds = np.full(10, np.nan)
    raised = LiftedSource(source, np.zeros(10, np.int64), seconds, TLiftParams())
    with pytest.raises(EvaluationError, match="without a time"):
        list(raised.blocks(source.query_rows, source.gallery_rows, 2))
