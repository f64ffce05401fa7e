"""Known public variants of re-ranking as settings of an evaluation, beside the canonical one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from reid.errors import EvaluationError
from reid.retrieval.features import FeatureRows, FloatArray, IntArray
from reid.retrieval.protocols import Protocol
from reid.retrieval.reranking import RerankParams
from reid.retrieval.reranking_variants import check_queries, check_variant, variant_blocks
from reid.retrieval.splits import splits
from reid.retrieval.testset import TestSet

AS_GIVEN = frozenset({"openunreid"})
"""Variants of the features as the network gives them, whatever the protocol."""

_JACCARD = "what other queries and the gallery say, alone: the distance itself is not mixed in"
EXPLOITS: dict[str, str] = {
    "fourth_power": "other queries and the gallery as usual, with squared distances squared again",
    "float16": "other queries and the gallery as usual, in half precision",
    "faiss_jaccard": _JACCARD,
    "fastreid_mix": "other queries and the gallery, without scaling, mixed with the cosine",
    "reidmamba_jaccard": _JACCARD,
    "openunreid": "other queries and the gallery, but with weights that belong to other images",
    "query_only": "that all test queries are known at once: neighbours are sought among them alone",
}
"""What each variant makes use of, as the end of a sentence."""


def variant_setting(name: str, params: RerankParams) -> str:
    """Return the name of the scores, for example `rerank_query_only_k20_6_0.3`."""
    return params.name.replace("rerank_", f"rerank_{name}_", 1)


def variant_remarks(names: Iterable[str], params: RerankParams) -> dict[str, str]:
    """Say in a sentence what each setting exploits."""
    return {variant_setting(name, params): f"exploits {EXPLOITS[name]}" for name in names}


def check_variants(
    names: Iterable[str], params: RerankParams, test: TestSet, protocol: Protocol
) -> None:
    """Refuse what has no meaning under a protocol, before anything is computed.

    Raises:
        ParamsError: Unknown name.
        EvaluationError: An image is query and gallery image at once, or there are too few queries.
    """
    for name in names:
        check_variant(name)
        for split in splits(protocol, test):
            both = len(np.intersect1d(split.query_rows, split.gallery_rows))
            if both:
                raise EvaluationError(
                    f"{test.name}: {both} images that are query and gallery image at once under "
                    f"the protocol {protocol.name}",
                    f"none, as the re-ranking variant {name} would find them twice",
                    "Leave the variant out, or take another protocol.",
                )
            check_queries(name, len(split.query_rows), params)


@dataclass(frozen=True, eq=False)
class VariantSource:
    """Distances as a variant makes them, from the queries and the gallery of each trial alone.

    Whatever the device and the search of an evaluation, it runs on the CPU, exactly.

    Args:
        features: Of all rows of the test set.
        name: A key of `VARIANTS`.
        params: Parameters of re-ranking.
    """

    features: FeatureRows
    name: str
    params: RerankParams

    def blocks(
        self, query_rows: IntArray, gallery_rows: IntArray, block_size: int
    ) -> Iterator[FloatArray]:
        """Yield distances [b, G], b <= block_size, in the order of the queries."""
        query, gallery = (
            self.features.subset(rows).take(slice(0, len(rows)))
            for rows in (query_rows, gallery_rows)
        )
        return variant_blocks(self.name, query, gallery, self.params, block_size)
