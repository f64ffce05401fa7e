"""Score embeddings of one test set under one protocol, plain and re-ranked."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reid.retrieval.distance import (
    FloatArray,
    IntArray,
    check_block_size,
    check_features,
    distance_blocks,
    normalise,
    take_rows,
)
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.labels import JUNK
from reid.retrieval.precision import as_float32
from reid.retrieval.protocols import Protocol
from reid.retrieval.reranking import Reranker, RerankParams
from reid.retrieval.scoring import NearestLists, Scores, Source, TestSet, score

PLAIN = "plain"
# what the maker of embeddings is expected to state; None where it does not
STATED = (
    "device",
    "feature_size",
    "flip",
    "images_per_second",
    "manifest_digest",
    "model_digest",
    "precision",
    "recipe",
    "uses_camera_ids",
    "world_size",
)


@dataclass(frozen=True, eq=False)
class PlainDistances:
    """Squared Euclidean distances between features.

    Args:
        features: Of all rows of the test set [N, D], used as given.
    """

    features: FloatArray

    def blocks(
        self, query_rows: IntArray, gallery_rows: IntArray, block_size: int
    ) -> Iterator[FloatArray]:
        """Yield distances [b, G], b <= block_size, in the order of the queries."""
        query, gallery = (
            take_rows(self.features, query_rows),
            take_rows(self.features, gallery_rows),
        )
        return distance_blocks(query, gallery, "squared_euclidean", block_size)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of one test set under one protocol, for each setting (`plain`, `rerank_...`).

    Args:
        dataset: Name of the test set.
        protocol: Name of the protocol.
        query_paths: Path of each query, in the order of the per-query scores [Q].
        scores: By setting.
        nearest: By setting.
        card: Everything that alters a score, and how the embeddings were made.
    """

    dataset: str
    protocol: str
    query_paths: npt.NDArray[np.str_]
    scores: dict[str, Scores]
    nearest: dict[str, NearestLists]
    card: dict[str, Any]

    @property
    def test_set(self) -> str:
        """`<dataset>/<protocol>`, which starts the name of every metric."""
        return f"{self.dataset}/{self.protocol}"


def evaluate(
    embeddings: Embeddings,
    protocol: Protocol,
    rerank: RerankParams,
    block_size: int = 512,
    max_rank: int = 50,
) -> Evaluation:
    """Score embeddings plain and re-ranked; both always.

    Junk rows are dropped first, so they take no part in re-ranking either.

    Args:
        embeddings: Of one test set; the card names the `dataset`.
        protocol: Exclusion rule and trials.
        rerank: Parameters of re-ranking.
        block_size: Queries per block; alters memory, never a value.
        max_rank: Length of the matching curve.

    Raises:
        EvaluationError: No query is valid, or features are not finite.
    """
    check_block_size(block_size)
    is_query, known = embeddings.is_query, embeddings.person_ids != JUNK
    # queries first, so that both sides are slices of one matrix
    rows = np.concatenate([np.flatnonzero(known & is_query), np.flatnonzero(known & ~is_query)])
    dataset = str(embeddings.card.get("dataset", "embeddings"))
    columns = (embeddings.person_ids[rows], embeddings.camera_ids[rows], is_query[rows])
    test = TestSet(dataset, *columns)
    features = check_features(as_float32(embeddings.features[rows]), dataset)
    if protocol.normalise:
        features = normalise(features)
    scores: dict[str, Scores] = {}
    nearest: dict[str, NearestLists] = {}
    for setting in (PLAIN, rerank.name):
        # built in turn: a test without a valid query fails before the costly part
        source: Source = PlainDistances(features)
        if setting != PLAIN:
            source = Reranker(features, rerank)
        scores[setting], lists = score(source, test, protocol, block_size, max_rank)
        nearest[setting] = lists.renumbered(rows)
    paths = embeddings.paths[rows[scores[PLAIN].query_rows]]
    card = _card(embeddings, protocol, rerank, test, scores)
    return Evaluation(dataset, protocol.name, paths, scores, nearest, card)


def _card(
    embeddings: Embeddings,
    protocol: Protocol,
    rerank: RerankParams,
    test: TestSet,
    scores: dict[str, Scores],
) -> dict[str, Any]:
    """Return what must be printed beside the scores; the protocol wins over the embedding card."""
    return {
        **dict.fromkeys(STATED),
        "feature_size": embeddings.features.shape[1],
        **embeddings.card,
        **protocol.card,
        "dataset": test.name,
        "queries": int(test.is_query.sum()),
        "gallery": int((~test.is_query).sum()),
        "cameras": sorted(set(test.camera_ids.tolist())),
        "valid_queries": scores[PLAIN].valid_queries,
        "rerank": {"k1": rerank.k1, "k2": rerank.k2, "lambda": rerank.lambda_},
        "trial_mean": {setting: found.figures() for setting, found in scores.items()},
        "trial_deviation": {setting: found.deviations for setting, found in scores.items()},
    }
