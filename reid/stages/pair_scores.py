"""Distances of a run whose model scores pairs of images: all of them, before the evaluation."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from reid.errors import DataError
from reid.progress import progress
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import Scored, known_rows
from reid.retrieval.features import IntArray
from reid.retrieval.pair_scorer import SCORE_SCALE, PairScorer
from reid.retrieval.pair_scoring import estimate, score_matrix
from reid.retrieval.pair_source import ScoreSource, distance_matrix
from reid.retrieval.space import MatrixSpace
from reid.stages.paths import model_folder, scores_file
from reid.study import Study
from reid.tracking.digest import sha256

PAIR_DISTANCE = f"1 - sigmoid(pair score / {SCORE_SCALE:g})"


@contextmanager
def scored_pairs(study: Study, run: str, embeddings: Embeddings) -> Iterator[Scored | None]:
    """Score the pairs of a test set, going on where an earlier attempt was stopped.

    Yields:
        Distances for `evaluate`; None for features, which need no scores. Their file is removed
        when the block ends well.

    Raises:
        DataError: The features are not those of the run's model as it is now.
        ParamsError: It would take longer than the study allows.
    """
    if not embeddings.card.get("scored_in_pairs"):
        yield None
        return
    dataset = str(embeddings.card["dataset"])
    scorer = pair_scorer(study, run, embeddings)
    target = scores_file(study.study, run, dataset)
    started = time.perf_counter()
    scored = _score(study, run, embeddings, scorer)
    scored.facts["scoring_seconds"] = round(time.perf_counter() - started, 1)
    yield scored
    shutil.rmtree(target.parent)


def pair_scorer(study: Study, run: str, embeddings: Embeddings) -> PairScorer:
    """Return the scorer of a run's model, which must be the one that made the features."""
    # torch takes seconds to import, and runs with features do without it
    from reid.methods.model_directory import WEIGHTS_FILE, load_model

    folder = model_folder(study.study, run)
    model = load_model(folder)
    found = sha256(folder / WEIGHTS_FILE)
    made_by = embeddings.card.get("model_digest")
    wanted = study.evaluation
    scorer = model.network.scorer(wanted.pairs.precision, wanted.device)
    if found != made_by or scorer is None:
        raise DataError(
            f"{embeddings.card['dataset']}: features of run {embeddings.card.get('run')}, model "
            f"{str(made_by)[:12]}, to be scored by model {found[:12]} of run {run}",
            "features and scorer of one model",
            f"Run the stage embed@{run} again.",
        )
    return scorer


def _score(study: Study, run: str, embeddings: Embeddings, scorer: PairScorer) -> Scored:
    wanted, rows = study.evaluation.pairs, known_rows(embeddings)
    dataset = str(embeddings.card["dataset"])
    queries, gallery = rows, rows
    sides_known = not (embeddings.roles[rows] == "pool").any()
    if sides_known and not wanted.rerank:
        is_query = embeddings.is_query[rows]
        queries, gallery = rows[is_query], rows[~is_query]
    expected = estimate(scorer, embeddings.features, queries, gallery)
    print(f"{run}: scoring {dataset}: {expected.line}", flush=True)
    expected.check(wanted.hours)
    target = scores_file(study.study, run, dataset)
    digests = (embeddings.card[name] for name in ("model_digest", "manifest_digest"))
    key = " ".join((*digests, wanted.precision, study.evaluation.device))
    memory = study.evaluation.memory_mb and study.evaluation.memory_mb * 10**6
    with progress(f"{run}: score {dataset}") as advance:
        scores = score_matrix(
            scorer,
            embeddings.features,
            queries,
            gallery,
            target,
            key,
            memory=memory,
            advance=advance,
        )
    facts = {**_facts(queries, gallery), "pair_precision": wanted.precision}
    # by the estimate, as an evaluation that goes on has scored most of them earlier
    pair_seconds = expected.seconds / max(1, expected.pairs)
    if len(queries) == len(gallery) == len(rows):
        return Scored(MatrixSpace(distance_matrix(scores)), facts, pair_seconds)
    places = np.arange(len(rows))
    source = ScoreSource(scores, places[: len(queries)], places[len(queries) :])
    return Scored(source, facts, pair_seconds)


def _facts(queries: IntArray, gallery: IntArray) -> dict[str, Any]:
    return {
        "distance": PAIR_DISTANCE,
        "normalisation": "none",
        "scored_pairs": len(queries) * len(gallery),
    }
