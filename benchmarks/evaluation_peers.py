r"""Packages from the registry that compute the same metrics, called as their makers intend.

They are no dependency. To measure them, install them beside the project and name the folder:

    pip install --no-deps --target FOLDER open-metric-learning pytorch-metric-learning torchreid \
        fastreid absl-py beautifulsoup4 cython gdown opencv-python-headless soupsieve tensorboard \
        termcolor validators
    cd FOLDER/fastreid/evaluation/rank_cylib
    PYTHONPATH=FOLDER python setup.py build_ext --inplace
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from evaluation_problem import FloatArray, IntArray, Outcome, Problem

_BLOCK = 512


def _tensors(side: tuple[FloatArray, IntArray, IntArray]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(np.ascontiguousarray(part)) for part in side)


def fastreid_metrics(problem: Problem) -> Outcome:
    """1 - cosine and the compiled evaluator, which fast-reid prefers."""
    # the package itself does not import on Python 3.11; the evaluator is a module of its own
    package = importlib.util.find_spec("fastreid")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("fastreid")
    folder = Path(package.origin).parent / "evaluation" / "rank_cylib"
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    from rank_cy import evaluate_cy  # type: ignore[import-not-found]

    (query, *query_labels), (gallery, *gallery_labels) = problem.query, problem.gallery
    distances = torch.from_numpy(query) @ torch.from_numpy(gallery).t()
    distances.neg_().add_(1)
    curve, precisions, _ = evaluate_cy(
        distances.numpy(),
        query_labels[0],
        gallery_labels[0],
        query_labels[1],
        gallery_labels[1],
        50,
    )
    return Outcome(float(np.mean(precisions)), float(curve[0]))


def torchreid_metrics(problem: Problem) -> Outcome:
    """Squared Euclidean distances and the Python evaluator."""
    from torchreid.reid.metrics.distance import compute_distance_matrix  # type: ignore[import-not-found]
    from torchreid.reid.metrics.rank import evaluate_rank  # type: ignore[import-not-found]

    (query, *query_labels), (gallery, *gallery_labels) = problem.query, problem.gallery
    distances = compute_distance_matrix(torch.from_numpy(query), torch.from_numpy(gallery)).numpy()
    curve, precision = evaluate_rank(
        distances, query_labels[0], gallery_labels[0], query_labels[1], gallery_labels[1]
    )
    return Outcome(float(precision), float(curve[0]))


def torchreid_rerank(problem: Problem) -> FloatArray:
    """Re-rank with the code of the paper's authors, which squares the distances it is given."""
    from torchreid.reid.utils.rerank import re_ranking  # type: ignore[import-not-found]

    images = torch.from_numpy(problem.features)
    distances = torch.cdist(images, images).numpy()
    split = problem.queries
    parts = distances[:split, split:], distances[:split, :split], distances[split:, split:]
    reranked: FloatArray = re_ranking(*parts, k1=20, k2=6, lambda_value=0.3)
    return reranked


def oml_metrics(problem: Problem) -> Outcome:
    """Full lists; a person in a camera is a sequence, members of which OML leaves out."""
    from oml.functional.knn import batched_knn_qg  # type: ignore[import-not-found]
    from oml.functional.metrics import calc_retrieval_metrics  # type: ignore[import-not-found]

    query, query_persons, query_cameras = _tensors(problem.query)
    gallery, persons, cameras = _tensors(problem.gallery)
    spread = int(max(query_cameras.max(), cameras.max())) + 1
    _, retrieved, matches = batched_knn_qg(
        query,
        gallery,
        top_n=len(gallery),
        labels_query=query_persons,
        labels_gallery=persons,
        sequence_ids_query=query_persons * spread + query_cameras,
        sequence_ids_gallery=persons * spread + cameras,
    )
    found: Any = calc_retrieval_metrics(
        retrieved,
        matches,
        cmc_top_k=(1,),
        precision_top_k=(),
        map_top_k=(len(gallery),),
        verbose=False,
    )
    return Outcome(float(found["map"][len(gallery)]), float(found["cmc"][1]))


def torchmetrics_metrics(problem: Problem) -> Outcome:
    """Every pair as a prediction; those that do not count have the target that is ignored."""
    from torchmetrics.retrieval import RetrievalMAP

    query, query_persons, query_cameras = _tensors(problem.query)
    gallery, persons, cameras = _tensors(problem.gallery)
    metric = RetrievalMAP(empty_target_action="skip", ignore_index=-1)
    for start in range(0, len(query), _BLOCK):
        rows = slice(start, start + _BLOCK)
        similarities = (query[rows] @ gallery.t()).add_(1)
        same = query_persons[rows, None] == persons
        target = same.long()
        target[same & (query_cameras[rows, None] == cameras)] = -1
        numbers = torch.arange(start, start + len(similarities))[:, None].expand_as(similarities)
        metric.update(similarities, target, indexes=numbers)
    return Outcome(float(metric.compute()), None)


def pytorch_metric_learning_metrics(problem: Problem) -> Outcome:
    """Full lists of its own search (faiss); every camera counts."""
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator  # type: ignore[import-not-found]

    query, query_persons, _ = _tensors(problem.query)
    gallery, persons, _ = _tensors(problem.gallery)
    names = ("mean_average_precision", "precision_at_1")
    found = AccuracyCalculator(include=names, device=torch.device("cpu")).get_accuracy(
        query=query, query_labels=query_persons, reference=gallery, reference_labels=persons
    )
    return Outcome(float(found["mean_average_precision"]), float(found["precision_at_1"]))
