import numpy as np

from reid.retrieval.features import FeatureRows
from reid.retrieval.reranked_trials import TrialSources, reranked_trials
from reid.retrieval.reranking import RerankParams, rerank_blocks
from reid.retrieval.space import FeatureSpace

GENERATOR = np.random.default_rng(3)
FEATURES = GENERATOR.normal(size=(40, 6)).astype(np.float32)
PARAMS = RerankParams(6, 3, 0.3)


def reranking(features: np.ndarray) -> TrialSources:
    return reranked_trials(FeatureSpace(FeatureRows(features)), PARAMS)


def made(source: TrialSources, query: list[int], gallery: list[int]) -> np.ndarray:
    return np.concatenate(list(source.blocks(np.array(query), np.array(gallery), 4)))


def test_each_trial_is_reranked_on_its_own() -> None:
    source = reranking(FEATURES)
    query = list(range(9))
    for gallery in (list(range(9, 25)), list(range(20, 40)), [10, 12, 39]):
        sides = FEATURES[query], FEATURES[gallery]
        expected = np.concatenate(list(rerank_blocks(*sides, PARAMS)))
        np.testing.assert_allclose(made(source, query, gallery), expected, atol=1e-6)


def test_rows_in_any_order() -> None:
    query, gallery = [30, 2, 17], [5, 39, 0, 21, 3, 11, 8]
    straight = made(reranking(FEATURES), sorted(query), sorted(gallery))
    mixed = made(reranking(FEATURES), query, gallery)
    np.testing.assert_array_equal(
        mixed, straight[np.ix_([2, 0, 1], np.argsort(np.argsort(gallery)))]
    )


def test_images_on_both_sides_are_in_the_set_once() -> None:
    rows = list(range(12))
    both = made(reranking(FEATURES), rows, rows)
    (whole,) = reranking(FEATURES[:12]).blocks(np.arange(12), np.arange(12), 12)
    np.testing.assert_array_equal(both, whole)
    assert (both.argmin(axis=1) == rows).all()
