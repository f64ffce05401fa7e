import numpy as np
import pytest

from reid.errors import EvaluationError, ParamsError
from reid.retrieval.distance import distance_blocks, normalise
from reid.retrieval.reranking import RerankParams, rerank_blocks
from reid.retrieval.reranking_variants import VARIANTS, variant_blocks

GENERATOR = np.random.default_rng(1)
PEOPLE = GENERATOR.normal(size=(5, 10))[GENERATOR.integers(0, 5, 50)]
FEATURES = normalise((PEOPLE + GENERATOR.normal(size=(50, 10))).astype(np.float32))
QUERY, GALLERY = FEATURES[:11], FEATURES[11:]
PARAMS = RerankParams(8, 3, 0.3)


def made(name: str, params: RerankParams = PARAMS, block_size: int = 512) -> np.ndarray:
    return np.concatenate(list(variant_blocks(name, QUERY, GALLERY, params, block_size)))


@pytest.mark.parametrize("name", VARIANTS)
def test_block_size_changes_no_bit(name: str) -> None:
    np.testing.assert_array_equal(made(name, block_size=3), made(name))


def test_half_precision_is_near_the_canonical_result_but_not_equal() -> None:
    canonical = np.concatenate(list(rerank_blocks(QUERY, GALLERY, PARAMS)))
    gap = np.abs(made("float16") - canonical).max()
    assert 0 < gap < 1e-2


def test_fourth_power_leaves_the_squared_relative_distance_when_lambda_is_one() -> None:
    together = np.concatenate(list(distance_blocks(FEATURES, FEATURES)))
    relative = together / together.max(axis=1, keepdims=True)
    expected = relative[:11, 11:] ** 2
    np.testing.assert_allclose(made("fourth_power", RerankParams(8, 3, 1.0)), expected, atol=1e-6)


def test_mix_runs_from_jaccard_to_cosine() -> None:
    jaccard = made("fastreid_mix", RerankParams(8, 3, 0.0))
    np.testing.assert_array_equal(jaccard, made("faiss_jaccard"))
    cosine = np.concatenate(list(distance_blocks(QUERY, GALLERY, "cosine")))
    np.testing.assert_allclose(made("fastreid_mix", RerankParams(8, 3, 1.0)), cosine, atol=1e-7)


def test_the_two_jaccard_variants_differ_in_the_half_list() -> None:
    assert np.abs(made("faiss_jaccard") - made("reidmamba_jaccard")).max() > 1e-3


LONGER = FEATURES * np.float32(3**0.5)  # as of three normalised features behind each other


def mixed(lambda_: float) -> np.ndarray:
    params = RerankParams(8, 3, lambda_)
    return np.concatenate(list(variant_blocks("openunreid", LONGER[:11], LONGER[11:], params, 4)))


def test_openunreid_runs_from_jaccard_of_given_features_to_distance_of_normalised_ones() -> None:
    plain = np.concatenate(list(distance_blocks(QUERY, GALLERY)))
    np.testing.assert_allclose(mixed(1.0), plain, atol=1e-6)
    np.testing.assert_allclose(mixed(0.3), 0.3 * plain + 0.7 * mixed(0.0), atol=1e-6)
    assert np.abs(mixed(0.0) - made("openunreid", RerankParams(8, 3, 0.0))).max() > 1e-3


def test_openunreid_reads_weights_of_the_gallery_without_the_offset_of_the_queries() -> None:
    weights = naive_weights(LONGER, PARAMS)
    expected = np.empty((len(QUERY), len(GALLERY)))
    for i, j in np.ndindex(expected.shape):
        members = weights[len(QUERY) + j] > 0
        overlap = np.minimum(weights[i], weights[j])[members].sum()
        expected[i, j] = 1 - overlap / (2 - overlap)
    np.testing.assert_allclose(mixed(0.0), expected, atol=1e-5)


def test_reidmamba_jaccard_is_the_same_with_the_right_weights() -> None:
    weights = naive_weights(FEATURES, PARAMS)
    overlap = np.minimum(weights[:11, None], weights[None, 11:]).sum(axis=2)
    np.testing.assert_allclose(made("reidmamba_jaccard"), 1 - overlap / (2 - overlap), atol=1e-5)


def naive_weights(features: np.ndarray, params: RerankParams) -> np.ndarray:
    """Dense rows from lists of k1 and half lists of h, in double precision."""
    rows = features.astype(np.float64)
    d = ((rows[:, None] - rows[None]) ** 2).sum(axis=2)
    lists = np.argsort(d, axis=1, kind="stable")

    def mutual(i: int, size: int) -> set[int]:
        return {int(j) for j in lists[i, :size] if i in lists[j, :size]}

    weights = np.zeros_like(d)
    for i in range(len(rows)):
        full = members = mutual(i, params.k1)
        for j in full:
            half = mutual(j, params.half)
            if 3 * len(half & full) > 2 * len(half):
                members = members | half
        chosen = sorted(members)
        values = np.exp(-d[i, chosen])
        weights[i, chosen] = values / values.sum()
    return np.stack([weights[lists[i, : params.k2]].mean(axis=0) for i in range(len(rows))])


def test_unknown_name() -> None:
    with pytest.raises(ParamsError, match=r"variant 'float61' \(did you mean 'float16'\?\)"):
        made("float61")


def test_neighbours_among_queries_alone_do_not_see_the_other_gallery_images() -> None:
    # the largest distance of a query scales it, so the farthest image of each stays
    together = np.concatenate(list(distance_blocks(QUERY, GALLERY)))
    kept = np.unique([*together.argmax(axis=1), 0, 1])
    assert len(kept) < len(GALLERY)
    less = np.concatenate(list(variant_blocks("query_only", QUERY, GALLERY[kept], PARAMS)))
    np.testing.assert_allclose(less, made("query_only")[:, kept], atol=1e-6)


def naive_query_only(query: np.ndarray, gallery: np.ndarray, params: RerankParams) -> np.ndarray:
    """The definition with dense matrices and sets, in double precision."""
    features = np.concatenate([query, gallery]).astype(np.float64)
    d = ((features[:, None] - features[None]) ** 2).sum(axis=2)
    count, total = len(query), len(features)
    lists = np.argsort(d[:, :count], axis=1, kind="stable")

    def mutual(i: int, size: int) -> set[int]:
        return {int(j) for j in lists[i, : size + 1] if i in lists[j, : size + 1]}

    weights = np.zeros((total, total))
    for i in range(total):
        members = mutual(i, params.k1)
        for j in mutual(i, params.k1):
            half = mutual(j, round(params.k1 / 2))
            if len(half & mutual(i, params.k1)) > 2 / 3 * len(half):
                members |= half
        chosen = sorted(members)
        values = np.exp(-d[i, chosen] / d[i].max())
        weights[i, chosen] = values / values.sum()
    means = np.stack([weights[lists[i, : params.k2]].mean(axis=0) for i in range(total)])
    overlap = np.minimum(means[:count, None], means[None, count:]).sum(axis=2)
    original = (d / d.max(axis=1, keepdims=True))[:count, count:]
    return (1 - params.lambda_) * (1 - overlap / (2 - overlap)) + params.lambda_ * original


def test_query_only_by_its_definition() -> None:
    expected = naive_query_only(QUERY, GALLERY, PARAMS)
    np.testing.assert_allclose(made("query_only"), expected, atol=3e-3)


def test_query_only_needs_a_list_of_queries() -> None:
    with pytest.raises(EvaluationError, match="11 queries for neighbour lists that hold 12"):
        made("query_only", RerankParams(11, 3, 0.3))
