"""Several files of features as the trials of one benchmark: mean and deviation over them.

RegDB is scored over ten splits, each with its own model; CUHK03 over twenty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reid.retrieval.evaluate import Evaluation
from reid.retrieval.plain_watch import Breakdown
from reid.retrieval.scoring import Scores


def averaged(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Average the evaluations of files under one protocol; a single one stays as it is.

    Sizes on the card are those of the first file; those of each stand under `files`. What is
    known of pairs of images is not averaged, and left out.

    Args:
        evaluations: Of one protocol and one list of settings.

    Returns:
        Means over files, with their standard deviations, and the queries of all files.
    """
    first = evaluations[0]
    if len(evaluations) == 1:
        return first
    scores = {
        setting: _mean([evaluation.scores[setting] for evaluation in evaluations])
        for setting in first.scores
    }
    paths = [
        np.char.add(f"{evaluation.card['source']}:", evaluation.query_paths)
        for evaluation in evaluations
    ]
    card = {
        **first.card,
        "source": ", ".join(str(evaluation.card["source"]) for evaluation in evaluations),
        "source_digest": None,
        "files": [_record(evaluation) for evaluation in evaluations],
        "trial_mean": {setting: found.figures() for setting, found in scores.items()},
        "trial_deviation": {setting: found.deviations for setting, found in scores.items()},
    }
    return replace(
        first,
        query_paths=np.concatenate(paths),
        scores=scores,
        nearest={},
        card=card,
        breakdown=Breakdown(),
        answers={},
    )


def _mean(parts: Sequence[Scores]) -> Scores:
    figures = _columns([part.figures() for part in parts])
    return replace(
        parts[0],
        mAP=float(np.mean(figures["mAP"])),
        mINP=float(np.mean(figures["mINP"])),
        cmc=np.mean([part.cmc for part in parts], axis=0),
        query_rows=np.concatenate([part.query_rows for part in parts]),
        average_precision=np.concatenate([part.average_precision for part in parts]),
        first_match_rank=np.concatenate([part.first_match_rank for part in parts]),
        deviations={name: float(np.std(values, ddof=1)) for name, values in figures.items()},
    )


def _columns(rows: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def _record(evaluation: Evaluation) -> dict[str, Any]:
    """Say what one file gave."""
    kept = ("source", "source_digest", "queries", "gallery", "valid_queries", "notes")
    figures = {setting: found.figures() for setting, found in evaluation.scores.items()}
    return {**{name: evaluation.card[name] for name in kept}, "figures": figures}
