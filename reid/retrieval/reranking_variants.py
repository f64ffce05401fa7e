"""Re-ranking as other public codes do it. For comparison with their numbers only.

| name | code | difference from canonical |
|---|---|---|
| fourth_power | torchreid engine, layumi | squared distances are squared again |
| float16 | TransReID, PersonViT | weights and Jaccard distance in half precision |
| faiss_jaccard | PersonViT | lists of k1 with self, half h + 1, plain d, no lambda term |
| fastreid_mix | fast-reid, cosine metric | faiss_jaccard mixed with 1 - cosine |
| reidmamba_jaccard | ReIDMamba | faiss_jaccard with half h |
| openunreid | ReIDMamba | reidmamba_jaccard, misread, of unscaled features mixed with plain d |
| query_only | IDKL, on SYSU-MM01 | float16, neighbours are sought among the queries alone |
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from reid.errors import EvaluationError, ParamsError
from reid.params import nearest
from reid.retrieval.distance import check_block_size, distance_blocks, normalise
from reid.retrieval.features import FeatureRows, FloatArray, IntArray
from reid.retrieval.jaccard import (
    SparseRows,
    expanded_sets,
    mean_rows,
    mix_jaccard,
    reciprocal_sets,
    weigh,
)
from reid.retrieval.pair_distances import sparse_distances
from reid.retrieval.reranking import Reranker, RerankParams, split_weights
from reid.retrieval.space import FeatureSpace, Space

Features = npt.NDArray[np.floating]
Blocks = Iterator[FloatArray]


def variant_blocks(
    name: str, query: Features, gallery: Features, params: RerankParams, block_size: int = 512
) -> Blocks:
    """Yield distances re-ranked as the named code does, `block_size` queries at a time.

    Args:
        name: A key of `VARIANTS`.
        query: Features [Q, D], normalised; for `openunreid` as the network gives them.
        gallery: Features [G, D], likewise.
        params: Parameters; lambda has no meaning for the pure Jaccard variants.
        block_size: Queries per block.

    Raises:
        ParamsError: Unknown name.
    """
    check_variant(name)
    return VARIANTS[name](query, gallery, params, block_size)


def check_variant(name: str) -> None:
    """Refuse an unknown name.

    Raises:
        ParamsError: It is no key of `VARIANTS`.
    """
    if name not in VARIANTS:
        raise ParamsError(
            f"unknown re-ranking variant '{name}'{nearest(name, VARIANTS)}",
            f"one of {', '.join(VARIANTS)}",
            "Correct the name.",
        )


def check_queries(name: str, count: int, params: RerankParams) -> None:
    """Refuse too few queries for a variant whose lists hold nothing else.

    Raises:
        EvaluationError: `query_only` with no more queries than `k1`.
    """
    if name == "query_only" and count <= params.k1:
        raise EvaluationError(
            f"{count} queries for neighbour lists that hold {params.k1 + 1} queries",
            f"at least {params.k1 + 1}",
            "Take a smaller k1, or the ordinary re-ranking.",
        )


def fourth_power(
    query: Features, gallery: Features, params: RerankParams, block_size: int
) -> Blocks:
    """Square the squared distances again."""
    rows = np.arange(len(query) + len(gallery))
    reranker = Reranker(_together(query, gallery), params, power=2)
    return reranker.blocks(rows[: len(query)], rows[len(query) :], block_size)


def float16(query: Features, gallery: Features, params: RerankParams, block_size: int) -> Blocks:
    """Round weights, their means and the Jaccard distance to half precision at each step."""
    return half_precision_blocks(_together(query, gallery), len(query), params, block_size)


def half_precision_blocks(
    space: Space, queries: int, params: RerankParams, block_size: int
) -> Blocks:
    """Yield the distances of `float16` [b, G] for any space.

    Args:
        space: Queries and gallery together, queries first.
        queries: How many queries, Q.
        params: Parameters of the paper.
        block_size: Queries per block.
    """
    query_rows, gallery_rows = np.arange(queries), np.arange(queries, len(space))
    reranker = Reranker(space, params, rounding=np.float16)
    blocks = reranker.space.blocks(query_rows, gallery_rows, block_size)
    original = _scaled(blocks, reranker.factors(query_rows))
    return _half_mix(original, *split_weights(reranker.weights, query_rows, gallery_rows), params)


def _together(query: Features, gallery: Features) -> FeatureSpace:
    return FeatureSpace(FeatureRows(np.concatenate([query, gallery])))


def _half_mix(
    original: Blocks, weights: SparseRows, inverted: SparseRows, params: RerankParams
) -> Blocks:
    """Add the share of the Jaccard distance to the blocks lambda d [b, G], in half precision."""
    share = np.float16(1 - params.lambda_)
    row = 0
    for block in original:
        for place in range(len(block)):
            block[place] += _half_jaccard(weights, inverted, row + place, block.shape[1]) * share
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
    without the offset of the queries when it is told their number; `openunreid` does so too.
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


def openunreid(query: Features, gallery: Features, params: RerankParams, block_size: int) -> Blocks:
    """Mix a Jaccard distance of the features as given with d between normalised features.

    Weights fall with d: features of length sqrt(3) have threefold d and sharper weights than their
    normalised form. The d that is mixed in is not divided by its maximum.

    The Jaccard distance has the reference's defect: it lacks the offset of the queries, so that
    image g of the gallery has the weights of image g of queries and gallery together, at the
    members that it has itself. Figures made so are lower than those of `reidmamba_jaccard`.
    """
    split = len(query)
    weights = _jaccard_weights(_together(query, gallery), params, params.half)
    own = weights.take(np.arange(split, split + len(gallery)))
    misread = _values_at(own, weights.take(np.arange(len(gallery))))
    mine = weights.take(np.arange(split))
    jaccard = _jaccard_blocks(mine, misread.transposed(split + len(gallery)), gallery, block_size)
    plain = distance_blocks(normalise(query), normalise(gallery), block_size=block_size)
    lambda_ = np.float32(params.lambda_)
    for overlap, distance in zip(jaccard, plain, strict=True):
        yield lambda_ * distance + (1 - lambda_) * overlap


def _values_at(members: SparseRows, rows: SparseRows) -> SparseRows:
    """Return the entries of `members` with the values that `rows` have there, 0 where none."""
    width = 1 + max(int(members.columns.max()), int(rows.columns.max()))

    def keys(sparse: SparseRows) -> IntArray:
        owners = np.repeat(np.arange(len(sparse.offsets) - 1), np.diff(sparse.offsets))
        return owners * width + sparse.columns

    wanted, present = keys(members), keys(rows)
    place = np.minimum(np.searchsorted(present, wanted), len(present) - 1)
    values = np.where(present[place] == wanted, rows.values[place], np.float32(0))
    return SparseRows(members.offsets, members.columns, values)


def query_only(query: Features, gallery: Features, params: RerankParams, block_size: int) -> Blocks:
    """Seek the neighbours of every image, gallery images too, among the queries alone.

    So an image of the gallery is nobody's neighbour, and has the mean weights of the queries
    nearest to it. A system that answers one query at a time has no such lists. In half precision,
    like `float16`.

    Differs from the reference code: too few queries are refused, where the reference fills the
    lists with gallery images in no defined order.

    Raises:
        EvaluationError: Not more queries than `k1`.
    """
    count = len(query)
    check_queries("query_only", count, params)
    space = _together(query, gallery)
    everyone = np.arange(len(space))
    mine, others = everyone[:count], everyone[count:]
    to_queries = space.blocks(everyone, mine, block_size)
    longest = max(params.k1 + 1, params.k2)
    # copied block by block: a view would keep the order of all queries
    orders = [_first(block, longest) for block in to_queries]
    lists = np.concatenate(orders)
    to_all = space.blocks(mine, everyone, block_size)
    largest = np.concatenate([block.max(axis=1) for block in to_all]).astype(np.float64)
    # images of the gallery have no members to weigh, hence no scale
    scale = np.zeros(len(space))
    np.divide(1.0, largest, out=scale[:count], where=largest > 0)
    half = reciprocal_sets(lists, params.half + 1)
    sets = expanded_sets(reciprocal_sets(lists, params.k1 + 1), half)
    distances = sparse_distances(space.features, sets.offsets, sets.columns)
    rows = weigh(sets, distances, scale, 1).rounded(np.float16)
    weights = mean_rows(rows, lists, params.k2).rounded(np.float16)
    sides = split_weights(weights, mine, others)
    factors = (params.lambda_ * scale[:count]).astype(np.float32)
    return _half_mix(_scaled(space.blocks(mine, others, block_size), factors), *sides, params)


def _first(block: FloatArray, count: int) -> npt.NDArray[np.int32]:
    """Return the columns of the `count` smallest numbers of each row, ties by column."""
    return np.argsort(block, axis=1, kind="stable")[:, :count].astype(np.int32)


def _scaled(blocks: Blocks, factors: FloatArray) -> Blocks:
    """Yield the blocks with each row multiplied by its factor."""
    row = 0
    for block in blocks:
        yield block * factors[row : row + len(block), None]
        row += len(block)


def _plain_jaccard(
    query: Features, gallery: Features, params: RerankParams, half: int, block_size: int
) -> Blocks:
    weights = _jaccard_weights(_together(query, gallery), params, half)
    rows, split = np.arange(len(query) + len(gallery)), len(query)
    sides = split_weights(weights, rows[:split], rows[split:])
    yield from _jaccard_blocks(*sides, gallery, block_size)


def _jaccard_weights(space: Space, params: RerankParams, half: int) -> SparseRows:
    """Return weights from lists of k1 images and half lists of `half`, d not scaled."""
    near = space.neighbours(params.k1)
    lists = near.indices
    sets = expanded_sets(reciprocal_sets(lists, params.k1), reciprocal_sets(lists, half))
    distances = space.pairs(sets.offsets, sets.columns, near)
    values = weigh(sets, distances, np.ones(len(space)), 1)
    return mean_rows(values, lists, params.k2)


def _jaccard_blocks(
    mine: SparseRows, inverted: SparseRows, gallery: Features, block_size: int
) -> Blocks:
    """Yield Jaccard distances [b, G] of queries with these weights."""
    check_block_size(block_size)
    queries = len(mine.offsets) - 1
    nothing = np.zeros(queries, np.float32)
    for row in range(0, queries, block_size):
        block = np.zeros((min(block_size, queries - row), len(gallery)), np.float32)
        mix_jaccard(block, nothing, mine, inverted, row, 1.0)
        # a row of weights may sum to a little more than 1
        yield np.maximum(block, 0, out=block)


Variant = Callable[[Features, Features, RerankParams, int], Blocks]
VARIANTS: dict[str, Variant] = {
    "fourth_power": fourth_power,
    "float16": float16,
    "faiss_jaccard": faiss_jaccard,
    "fastreid_mix": fastreid_mix,
    "reidmamba_jaccard": reidmamba_jaccard,
    "openunreid": openunreid,
    "query_only": query_only,
}
