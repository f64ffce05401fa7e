import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid import compiled
from reid.errors import ParamsError, ReidWarning
from reid.retrieval import distance
from reid.retrieval.distance import normalise
from reid.retrieval.features import FeatureRows
from reid.retrieval.reranking import Reranker, RerankParams, rerank_blocks
from reid.retrieval.space import FeatureSpace


def clustered(rows: int, people: int = 6, size: int = 12, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(people, size))
    noise = generator.normal(size=(rows, size))
    return normalise((centres[generator.integers(0, people, rows)] + noise).astype(np.float32))


def naive(features: np.ndarray, queries: int, params: RerankParams) -> np.ndarray:
    """The paper word by word, with dense matrices in double precision."""
    total = len(features)
    gaps = features[:, None].astype(np.float64) - features[None]
    squared = (gaps**2).sum(axis=2)
    order = np.argsort(squared.astype(np.float32), axis=1, kind="stable")
    relative = squared / squared.max(axis=1, keepdims=True)

    def reciprocal(image: int, length: int) -> set[int]:
        return {j for j in order[image, : length + 1] if image in order[j, : length + 1]}

    half = int(np.around(params.k1 / 2))
    weights = np.zeros((total, total))
    for image in range(total):
        original = reciprocal(image, params.k1)
        members = set(original)
        for candidate in original:
            other = reciprocal(candidate, half)
            if len(other & original) > 2 / 3 * len(other):
                members |= other
        chosen = sorted(members)
        weights[image, chosen] = np.exp(-relative[image, chosen])
        weights[image] /= weights[image].sum()
    if params.k2 > 1:
        weights = np.stack([weights[order[i, : params.k2]].mean(axis=0) for i in range(total)])
    overlap = np.minimum(weights[:queries, None], weights[None, queries:]).sum(axis=2)
    jaccard = 1 - overlap / (2 - overlap)
    original_part = params.lambda_ * relative[:queries, queries:]
    return (1 - params.lambda_) * jaccard + original_part


@pytest.mark.filterwarnings("ignore::reid.errors.ReidWarning")
@given(
    rows=st.integers(12, 60),
    seed=st.integers(0, 99),
    k1=st.integers(1, 25),
    k2=st.integers(1, 8),
    lambda_=st.sampled_from([0.0, 0.3, 1.0]),
)
@settings(max_examples=25, deadline=None)
def test_equals_the_dense_algorithm(rows: int, seed: int, k1: int, k2: int, lambda_: float) -> None:
    features, params = clustered(rows, seed=seed), RerankParams(k1, k2, lambda_)
    made = np.concatenate(list(rerank_blocks(features[:9], features[9:], params, 4)))
    np.testing.assert_allclose(made, naive(features, 9, params), atol=2e-6)


@pytest.mark.parametrize(("block_size", "threads"), [(1, 1), (7, 3), (40, 2)])
def test_block_size_and_threads_change_no_bit(
    monkeypatch: pytest.MonkeyPatch, block_size: int, threads: int
) -> None:
    monkeypatch.setattr(distance, "TILE", 32)
    features, params = clustered(90), RerankParams()
    monkeypatch.setattr(compiled, "thread_count", lambda: 1)
    expected = np.concatenate(list(rerank_blocks(features[:20], features[20:], params, 20)))
    monkeypatch.setattr(compiled, "thread_count", lambda: threads)
    blocks = list(rerank_blocks(features[:20], features[20:], params, block_size))
    assert max(len(block) for block in blocks) <= block_size
    np.testing.assert_array_equal(np.concatenate(blocks), expected)


@pytest.mark.parametrize("hold", [True, False])
@pytest.mark.parametrize("threads", [1, 3])
def test_kept_distances_change_no_bit(
    monkeypatch: pytest.MonkeyPatch, hold: bool, threads: int
) -> None:
    monkeypatch.setattr(distance, "TILE", 16)
    monkeypatch.setattr(compiled, "thread_count", lambda: threads)
    stored, rows = clustered(90), np.arange(90)
    space = FeatureSpace(FeatureRows(stored, hold=hold))
    made = [
        np.concatenate(list(reranker.blocks(rows[:23], rows[23:], 9)))
        for reranker in (
            Reranker(space, RerankParams(8, 3), queries=23),
            Reranker(space, RerankParams(8, 3), queries=23, keep=True),
        )
    ]
    np.testing.assert_array_equal(*made)


def test_any_split_of_the_set_can_be_asked_for() -> None:
    features, params = clustered(40), RerankParams(6, 3)
    generator = np.random.default_rng(0)
    rows = generator.permutation(40)
    reranker = Reranker(FeatureSpace(FeatureRows(features)), params)
    shuffled = np.concatenate(list(reranker.blocks(rows[:7], rows[7:])))
    straight = np.concatenate(list(rerank_blocks(features[rows[:7]], features[rows[7:]], params)))
    np.testing.assert_allclose(shuffled, straight, atol=1e-6)


def test_images_that_are_all_alike_give_equal_distances() -> None:
    features = np.ones((30, 4), np.float32)
    made = np.concatenate(list(rerank_blocks(features[:5], features[5:], RerankParams(3, 2))))
    assert np.isfinite(made).all()
    assert made.min() >= -1e-6


@pytest.mark.parametrize(("k1", "half"), [(1, 0), (3, 2), (5, 2), (6, 3), (7, 4), (20, 10)])
def test_half_is_rounded_to_even(k1: int, half: int) -> None:
    assert RerankParams(k1=k1).half == half


def test_name_carries_the_parameters() -> None:
    assert RerankParams().name == "rerank_k20_6_0.3"
    assert RerankParams(50, 15, 0.25).name == "rerank_k50_15_0.25"


@pytest.mark.parametrize("wrong", [{"k1": 0}, {"k2": 0}, {"lambda_": 1.5}])
def test_parameters_are_checked(wrong: dict) -> None:
    with pytest.raises(ParamsError, match="expected k1 and k2 of at least 1, lambda from 0 to 1"):
        RerankParams(**wrong)


def test_lists_longer_than_the_set_are_clamped_with_a_warning() -> None:
    space = FeatureSpace(FeatureRows(clustered(12)))
    rows = np.arange(12)
    with pytest.warns(ReidWarning, match=r"lists of 21 images .* among 12: clamped to 12"):
        long = Reranker(space, RerankParams())
    made = np.concatenate(list(long.blocks(rows[:4], rows[4:])))
    np.testing.assert_allclose(made, naive(clustered(12), 4, RerankParams()), atol=2e-6)
