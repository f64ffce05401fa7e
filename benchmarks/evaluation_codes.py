"""The codes that `evaluation.py` compares, and what differs between them."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import evaluation_dense as dense
import numpy as np
from evaluation_problem import FloatArray, Outcome, Problem

from reid.retrieval.features import FeatureRows
from reid.retrieval.labels import Exclusion, Labels
from reid.retrieval.memory import Plan, Sizes
from reid.retrieval.metrics import (
    average_precision,
    cumulative_matching,
    first_match_rank,
    mean_of_valid,
)
from reid.retrieval.ranking import Ranking, rank_blocks, rank_matches
from reid.retrieval.reranking import Reranker, RerankParams
from reid.retrieval.space import FeatureSpace

Task = Literal["metrics", "rerank"]


@dataclass(frozen=True)
class Code:
    """One code.

    Args:
        name: Stands in the table.
        task: What it does.
        run: Does it; distances [Q, G] are scored after the clock has stopped.
        compared_with: Key of ours, whose scores should be the same.
        package: Name in the registry; empty for what is here.
        pair_bytes: Memory for each pair of a query and a gallery image, to tell what cannot run.
        square_bytes: Memory for each pair of images.
        differs: What differs from ours.
    """

    name: str
    task: Task
    run: Callable[[Problem], Outcome | FloatArray]
    compared_with: str
    package: str = ""
    pair_bytes: int = 0
    square_bytes: int = 0
    differs: str = ""


def _labels(problem: Problem, exclusion: Exclusion) -> Labels:
    return Labels(*problem.query[1:], *problem.gallery[1:], exclusion)


def _outcome(ranking: Ranking) -> Outcome:
    curve = cumulative_matching(first_match_rank(ranking))
    return Outcome(mean_of_valid(average_precision(ranking)), float(curve[0]))


def _our_metrics(problem: Problem, exclusion: Exclusion = "same_person_and_camera") -> Outcome:
    labels = _labels(problem, exclusion)
    return _outcome(rank_matches(problem.query[0], problem.gallery[0], labels, normalised=False))


def _ours_every_camera(problem: Problem) -> Outcome:
    return _our_metrics(problem, "none")


def _our_rerank(problem: Problem) -> Outcome:
    space, params = FeatureSpace(FeatureRows(problem.features)), RerankParams()
    queries, everyone = problem.queries, np.arange(len(space))
    sizes = Sizes(queries, len(space) - queries, problem.features.shape[1], params.longest)
    reranker = Reranker(space, params, queries=queries, keep=Plan.of(sizes, None).keep)
    blocks = reranker.blocks(everyone[:queries], everyone[queries:])
    return _outcome(rank_blocks(blocks, _labels(problem, "same_person_and_camera")))


def _peer(name: str) -> Callable[[Problem], Outcome | FloatArray]:
    def run(problem: Problem) -> Outcome | FloatArray:
        # here, so that no other code's memory holds PyTorch
        found: Any = getattr(import_module("evaluation_peers"), name)(problem)
        return found  # type: ignore[no-any-return]

    return run


_NOT_SCORED = "its metrics are not in its time, ours are"

CODES: dict[str, Code] = {
    "ours": Code("this engine", "metrics", _our_metrics, "ours"),
    "dense": Code("dense NumPy", "metrics", dense.metrics, "ours", pair_bytes=12),
    "fastreid": Code(
        "fast-reid, Cython", "metrics", _peer("fastreid_metrics"), "ours", "fastreid", 13,
        differs="average precision in float32",
    ),
    "torchreid": Code(
        "torchreid, Python", "metrics", _peer("torchreid_metrics"), "ours", "torchreid", 20,
        differs="the package in the registry has no Cython evaluator",
    ),
    "oml": Code(
        "open-metric-learning", "metrics", _peer("oml_metrics"), "ours", "open-metric-learning", 31,
        differs="map@k with k the gallery; below that it divides by the matches found, not by all; "
        "a query without a match counts as 0",
    ),
    "torchmetrics": Code(
        "torchmetrics", "metrics", _peer("torchmetrics_metrics"), "ours", "torchmetrics", 82,
        differs="RetrievalMAP alone, no matching curve, float32; given 1 + cosine, because a match "
        "whose prediction is not positive is none for it",
    ),
    "ours_every_camera": Code(
        "this engine, every camera", "metrics", _ours_every_camera, "ours_every_camera",
        differs="no image is left out for its camera; beside pytorch-metric-learning",
    ),
    "pytorch_metric_learning": Code(
        "pytorch-metric-learning", "metrics", _peer("pytorch_metric_learning_metrics"),
        "ours_every_camera", "pytorch-metric-learning", 63,
        differs="cannot leave out images of the query's camera",
    ),
    "ours_rerank": Code("this engine", "rerank", _our_rerank, "ours_rerank"),
    "dense_rerank": Code(
        "dense NumPy", "rerank", dense.rerank, "ours_rerank", square_bytes=20, differs=_NOT_SCORED
    ),
    "dense_as_published": Code(
        "dense NumPy, as published", "rerank", dense.rerank_as_published, "ours_rerank",
        square_bytes=24, differs=f"{_NOT_SCORED}; layout and repeated work of the authors' code",
    ),
    "torchreid_rerank": Code(
        "torchreid (authors' code)", "rerank", _peer("torchreid_rerank"), "ours_rerank",
        "torchreid", square_bytes=28,
        differs=f"{_NOT_SCORED}; its memory includes the distances it is given",
    ),
}  # fmt: skip
