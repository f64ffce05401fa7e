"""Re-ranking as other public codes do it. For comparison with their numbers only.

| name | code | difference from canonical |
|---|---|---|
| fourth_power | torchreid engine, layumi | squared distances are squared again |
| float16 | TransReID, PersonViT | weights and Jaccard distance in half precision |
| faiss_jaccard | PersonViT | lists of k1 with self, half h + 1, plain d, no lambda term |
| fastreid_mix | fast-reid, cosine metric | faiss_jaccard mixed with 1 - cosine |
| reidmamba_jaccard | ReIDMamba | faiss_jaccard with half h |
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from reid.errors import ParamsError
from reid.params import nearest
from reid.retrieval.distance import (
    FloatArray,
    check_block_size,
    check_features,
    distance_blocks,
)
from reid.retrieval.jaccard import (
    SparseRows,
    add_jaccard,
    expanded_sets,
    mean_rows,
    reciprocal_sets,
    weigh,
)
from reid.retrieval.neighbours import nearest_neighbours
from reid.retrieval.reranking import Reranker, RerankParams, split_weights

Features = npt.NDArray[np.floating]
Blocks = Iterator[FloatArray]


def variant_blocks(
    name: str, query: Features, gallery: Features, params: RerankParams, block_size: int = 512
) -> Blocks:
    """Yield distances re-ranked as the named code does, `block_size` queries at a time.

    Args:
        name: A key of `VARIANTS`.
        query: Normalised features [Q, D].
        gallery: Normalised features [G, D].
        params: Parameters; lambda has no meaning for the pure Jaccard variants.
        block_size: Queries per block.

    Raises:
        ParamsError: Unknown name.
    """
    if name not in VARIANTS:
        raise ParamsError(
            f"unknown re-ranking variant '{name}'{nearest(name, VARIANTS)}",
            f"one of {', '.join(VARIANTS)}",
            "Correct the name.",
        )
    return VARIANTS[name](query, gallery, params, block_size)


def fourth_power(
    query: Features, gallery: Features, params: RerankParams, block_size: int
) -> Blocks:
    """Square the squared distances again."""
    rows = np.arange(len(query) + len(gallery))
    reranker = Reranker(np.concatenate([query, gallery]), params, power=2)
    return reranker.blocks(rows[: len(query)], rows[len(query) :], block_size)


def float16(query: Features, gallery: Features, params: RerankParams, block_size: int) -> Blocks:
    """Round weights, their means and the Jaccard distance to half precision at each step."""
    rows = np.arange(len(query) + len(gallery))
    query_rows, gallery_rows = rows[: len(query)], rows[len(query) :]
    reranker = Reranker(np.concatenate([query, gallery]), params, rounding=np.float16)
    weights, inverted = split_weights(reranker.weights, query_rows, gallery_rows)
    original = reranker.original_blocks(query_rows, gallery_rows, block_size)
    share = np.float16(1 - params.lambda_)
    row = 0
    for block in original:
        for place in range(len(block)):
            jaccard = _half_jaccard(weights, inverted, row + place, len(gallery))
            block[place] += jaccard * share
        yield block
        row += len(block)


def _half_jaccard(
    weights: SparseRows, inverted: SparseRows, query: int, gallery: int
) -> npt.NDArray[np.float16]:
    """Return the Jaccard distances of one query, summed in half precision: [G]."""
    overlap = np.zeros(gallery, np.float16)
    for entry in range(weights.offsets[query], weights.offsets[query + 1]):
        column = weights.columns[entry]
        found = slice(inverted.offsets[column], inverted.offsets[column + 1])
        value = weights.values[entry].astype(np.float16)
        overlap[inverted.columns[found]] += np.minimum(
            value, inverted.values[found].astype(np.float16)
        )
    return 1 - overlap / (2 - overlap)


def faiss_jaccard(
    query: Features, gallery: Features, params: RerankParams, block_size: int
) -> Blocks:
    """Give the Jaccard distance alone, from lists of k1 images and half lists of h + 1."""
    return _plain_jaccard(query, gallery, params, params.half + 1, block_size)


def reidmamba_jaccard(
    query: Features, gallery: Features, params: RerankParams, block_size: int
) -> Blocks:
    """Give the Jaccard distance alone, from lists of k1 images and half lists of h.

    Differs from the reference code: gallery rows are the gallery's. The reference reads rows
    without the offset of the queries when it is told their number.
    """
    return _plain_jaccard(query, gallery, params, params.half, block_size)


def fastreid_mix(
    query: Features, gallery: Features, params: RerankParams, block_size: int
) -> Blocks:
    """Mix `faiss_jaccard` with 1 - cosine."""
    cosine = distance_blocks(query, gallery, "cosine", block_size)
    jaccard = faiss_jaccard(query, gallery, params, block_size)
    lambda_ = np.float32(params.lambda_)
    for overlap, plain in zip(jaccard, cosine, strict=True):
        yield (1 - lambda_) * overlap + lambda_ * plain


def _plain_jaccard(
    query: Features, gallery: Features, params: RerankParams, half: int, block_size: int
) -> Blocks:
    check_block_size(block_size)
    features = check_features(np.concatenate([query, gallery]), "image")
    lists = nearest_neighbours(features, params.k1).indices
    sets = expanded_sets(reciprocal_sets(lists, params.k1), reciprocal_sets(lists, half))
    weights = mean_rows(weigh(sets, features, np.ones(len(features)), 1), lists, params.k2)
    rows = np.arange(len(features))
    mine, inverted = split_weights(weights, rows[: len(query)], rows[len(query) :])
    for row in range(0, len(query), block_size):
        block = np.zeros((min(block_size, len(query) - row), len(gallery)), np.float32)
        add_jaccard(block, mine, inverted, row, 1.0)
        # a row of weights may sum to a little more than 1
        yield np.maximum(block, 0, out=block)


Variant = Callable[[Features, Features, RerankParams, int], Blocks]
VARIANTS: dict[str, Variant] = {
    "fourth_power": fourth_power,
    "float16": float16,
    "faiss_jaccard": faiss_jaccard,
    "fastreid_mix": fastreid_mix,
    "reidmamba_jaccard": reidmamba_jaccard,
}
