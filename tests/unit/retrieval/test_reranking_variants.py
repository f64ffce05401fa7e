import numpy as np
import pytest

from reid.errors import ParamsError
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


def test_unknown_name() -> None:
    with pytest.raises(ParamsError, match=r"variant 'float61' \(did you mean 'float16'\?\)"):
        made("float61")
