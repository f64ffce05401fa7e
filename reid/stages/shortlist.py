"""Stage `shortlist@<name>`: one run chooses images, another one looks at these again."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from reid.errors import DataError, ParamsError
from reid.files import whole_folder
from reid.progress import progress
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import Evaluation, EvaluationSettings, Scored, evaluate, known_rows
from reid.retrieval.features import FeatureRows
from reid.retrieval.pair_scorer import PairScorer
from reid.retrieval.protocols import Protocol, protocol_named
from reid.retrieval.shortlist import Shortlist
from reid.retrieval.space import FeatureSpace
from reid.stages.evaluate import draw_evaluation, save_result
from reid.stages.pair_scores import PAIR_DISTANCE, pair_scorer
from reid.stages.paths import embeddings_folder, results_folder
from reid.study import ShortlistEntry, Study, load_study


def evaluate_shortlist(name: str) -> None:
    """Write the result record and the pictures of a shortlist, under protocols of its own."""
    study = load_study()
    entry = study.shortlist(name)
    target, evaluations = results_folder(study.study), []
    ranked, sheets = target / "ranked" / name, target / "sheets" / name
    with whole_folder(ranked) as pictures, whole_folder(sheets) as overview:
        for dataset in study.run(entry.matcher).test_sets:
            matched, chosen = (
                Embeddings.load(embeddings_folder(study.study, run) / dataset)
                for run in (entry.matcher, entry.by)
            )
            _check_pair(entry, matched, chosen)
            scorer = pair_scorer(study, entry.matcher, matched)
            for protocol in map(protocol_named, study.dataset(dataset).protocols):
                evaluation = _evaluate(study, entry, (matched, chosen), scorer, protocol)
                evaluations.append(evaluation)
                folders = pictures, overview
                draw_evaluation(study, name, matched, evaluation, protocol, folders)
    save_result(name, evaluations, target)


def _check_pair(entry: ShortlistEntry, matched: Embeddings, chosen: Embeddings) -> None:
    if not matched.card.get("scored_in_pairs"):
        raise ParamsError(
            f"{entry.matcher} has features, which need no shortlist",
            "a run that scores pairs, such as one of transmatcher",
            "Correct `matcher` in the study.",
        )
    if chosen.card.get("scored_in_pairs"):
        raise ParamsError(
            f"{entry.by} scores pairs, all of which it would have to score",
            "a run with features",
            "Correct `by` in the study.",
        )
    if not np.array_equal(matched.paths, chosen.paths):
        raise DataError(
            f"{matched.card['dataset']}: {entry.matcher} and {entry.by} embedded other images",
            "stores of the same images in the same order",
            "Run the embed stages of both again.",
        )


def _evaluate(
    study: Study,
    entry: ShortlistEntry,
    stores: tuple[Embeddings, Embeddings],
    scorer: PairScorer,
    protocol: Protocol,
) -> Evaluation:
    matched, chosen = stores
    rows = known_rows(matched)
    features = FeatureRows(chosen.features, entry.by, protocol.normalise, rows)
    shortlist = Shortlist(FeatureSpace(features), scorer, matched.features, rows, entry.count)
    facts = {
        "distance": f"{PAIR_DISTANCE} for the first {entry.count} by {entry.by}",
        "normalisation": "none",
        "shortlist_by": entry.by,
        "shortlist_model_digest": chosen.card.get("model_digest"),
        "shortlist_count": entry.count,
        "cost": _joined_cost(*(store.card.get("cost", {}) for store in stores)),
    }
    settings = EvaluationSettings(rerank=None, max_rank=study.evaluation.max_rank, pairs=False)
    named = replace(protocol, name=f"{protocol.name}_shortlist{entry.count}")
    return evaluate(matched, named, settings, progress, Scored(shortlist, facts))


def _joined_cost(matcher: Mapping[str, Any], chooser: Mapping[str, Any]) -> dict[str, Any]:
    """Return what both models cost together, as far as it is known of both.

    An image is embedded by one after the other; training, weights and features add up.
    """
    sums = ("parameters", "flops_per_image", "feature_bytes", "training_seconds")
    cost = {
        name: matcher[name] + chooser[name]
        for name in sums
        if matcher.get(name) is not None and chooser.get(name) is not None
    }
    speeds = [speed for one in (matcher, chooser) if (speed := one.get("images_per_second"))]
    if len(speeds) == 2:
        cost["images_per_second"] = round(1 / sum(1 / speed for speed in speeds), 1)
    without = {part for one in (matcher, chooser) for part in one.get("flops_without", ())}
    return {**cost, "flops_without": sorted(without)}
