"""The comparison of a study: runs ranked by plain mAP, where ranking them is honest.

Runs share a table only if protocol and test manifest are equal. Plain and re-ranked numbers never
share a column.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reid.errors import EvaluationError
from reid.report.cost import Cost
from reid.report.significance import differing, group_letters
from reid.retrieval.bootstrap import (
    Comparison,
    Interval,
    interval,
    paired_bootstrap,
    pairwise_bootstrap,
)
from reid.retrieval.evaluate import PLAIN
from reid.retrieval.features import DoubleArray
from reid.retrieval.result import QueryScores, Result

FIGURES = ("mAP", "rank1", "rank5", "rank10", "mINP")
RERANKED_FIGURES = ("mAP", "rank1")

# Fields of the protocol card that must be equal for a ranking, and those that describe a run.
PROTOCOL_FIELDS = (
    "protocol",
    "exclusion_rule",
    "gallery_draw",
    "counting",
    "places",
    "trials",
    "seed",
    "manifest_digest",
)
SIZE_FIELDS = ("queries", "gallery", "valid_queries")
RUN_FIELDS = (
    "train_dataset",
    "distance",
    "normalisation",
    "uses_camera_ids",
    "flip",
    "precision",
    "stored_as",
    "feature_size",
    "device",
    "backends",
    "world_size",
)


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """One line of a table.

    Args:
        plain: `FIGURES` to values in [0, 1].
        interval: Of the plain mAP, 95 %.
        groups: Letters that it shares with those runs from which it does not differ significantly.
        deviation: Standard deviation of each figure over trials; empty for one trial.
        reranked: Name of the re-ranking to its figures.
        stated: `RUN_FIELDS` to what the run's card says.
        gap: Plain mAP of this run minus that of the best, with its 95 % interval; None for the
            best run itself.
        cost: What its model and a query cost.
        mlflow_run_id: Of the training; None if the card does not say.
        curves: Cumulative matching from rank 1, by setting.
        cameras: Scores by pair of cameras as `CameraTable.record` gives them; empty if not known.
        queries: Plain scores of each query.
    """

    run: str
    method: str
    plain: Mapping[str, float]
    interval: Interval
    groups: tuple[str, ...]
    deviation: Mapping[str, float]
    reranked: Mapping[str, Mapping[str, float]]
    stated: Mapping[str, Any]
    gap: Comparison | None
    cost: Cost
    mlflow_run_id: str | None
    curves: Mapping[str, DoubleArray]
    cameras: Mapping[str, Any]
    queries: QueryScores


@dataclass(frozen=True, eq=False)
class ComparedRuns:
    """Runs that were measured in the same way on the same images, best plain mAP first.

    Args:
        test_set: `<dataset>/<protocol>`.
        dataset: Name of the data set.
        first_camera: What camera 0 is called.
        conditions: Protocol fields and sizes, equal for all rows.
        settings: Names of the re-rankings in the rows.
        remarks: What re-rankings that are variants exploit, by their names.
        apart: Why other runs of this test set stand in another table; empty if none do.
    """

    test_set: str
    dataset: str
    first_camera: int
    conditions: Mapping[str, Any]
    settings: tuple[str, ...]
    remarks: Mapping[str, str]
    rows: tuple[ComparedRun, ...]
    apart: str


def protocol_fields(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return what two results must share to be ranked against each other."""
    return {field: card.get(field) for field in PROTOCOL_FIELDS}


def compare_results(results: Iterable[Result], seed: int = 0) -> tuple[ComparedRuns, ...]:
    """Arrange results in tables, one per test set and way of measuring.

    Args:
        seed: Of the bootstrap over queries.

    Raises:
        EvaluationError: Two runs of one table did not score the same queries.
    """
    groups: dict[str, list[list[Result]]] = {}
    for result in results:
        for test_set, card in result.cards.items():
            ways = groups.setdefault(test_set, [])
            fields = protocol_fields(card)
            for way in ways:
                if protocol_fields(way[0].cards[test_set]) == fields:
                    way.append(result)
                    break
            else:
                ways.append([result])
    return tuple(
        _compare(test_set, way, [other for other in ways if other is not way], seed)
        for test_set, ways in sorted(groups.items())
        for way in ways
    )


def _compare(
    test_set: str, results: Sequence[Result], others: Sequence[Sequence[Result]], seed: int
) -> ComparedRuns:
    ranked = sorted(results, key=lambda result: (-result.metrics[f"{test_set}/mAP"], result.run))
    best = ranked[0]
    gaps = [None if result is best else _gap(result, best, test_set, seed) for result in ranked]
    groups = _groups(ranked, test_set, seed)
    rows = tuple(
        _row(result, test_set, gap, mine, seed)
        for result, gap, mine in zip(ranked, gaps, groups, strict=True)
    )
    card = best.cards[test_set]
    settings = dict.fromkeys(setting for row in rows for setting in row.reranked)
    return ComparedRuns(
        test_set=test_set,
        dataset=str(card.get("dataset", test_set.partition("/")[0])),
        first_camera=card.get("first_camera", 0),
        conditions={field: card.get(field) for field in PROTOCOL_FIELDS + SIZE_FIELDS},
        settings=tuple(settings),
        remarks={
            setting: said
            for result in ranked
            for setting, said in result.cards[test_set].get("rerank_variants", {}).items()
        },
        rows=rows,
        apart=" ".join(_differences(test_set, results[0], other) for other in others),
    )


def _groups(results: Sequence[Result], test_set: str, seed: int) -> tuple[tuple[str, ...], ...]:
    scores = [result.queries[test_set, PLAIN].average_precision for result in results]
    return group_letters(differing(pairwise_bootstrap(np.stack(scores), seed)))


def _row(
    result: Result, test_set: str, gap: Comparison | None, groups: tuple[str, ...], seed: int
) -> ComparedRun:
    card, queries = result.cards[test_set], result.queries[test_set, PLAIN]
    settings = [s for t, s in result.queries if t == test_set and s != PLAIN]
    return ComparedRun(
        run=result.run,
        method=str(card.get("method")),
        plain={figure: result.metrics[f"{test_set}/{figure}"] for figure in FIGURES},
        interval=interval(queries.average_precision, seed),
        groups=groups,
        deviation=card.get("trial_deviation", {}).get(PLAIN, {}),
        reranked={
            setting: {f: result.metrics[f"{test_set}/{setting}/{f}"] for f in RERANKED_FIGURES}
            for setting in settings
        },
        stated={field: card.get(field) for field in RUN_FIELDS},
        gap=gap,
        cost=Cost.of(card),
        mlflow_run_id=card.get("mlflow_run_id"),
        curves={s: curve for (t, s), curve in result.curves.items() if t == test_set},
        cameras=result.breakdowns.get(test_set, {}).get("camera_pairs") or {},
        queries=queries,
    )


def _gap(result: Result, best: Result, test_set: str, seed: int) -> Comparison:
    mine, its = result.queries[test_set, PLAIN], best.queries[test_set, PLAIN]
    if not np.array_equal(mine.paths, its.paths):
        raise EvaluationError(
            f"{test_set}: {result.run} and {best.run} scored different queries "
            f"({len(mine.paths)} and {len(its.paths)})",
            "the same queries for equal manifests",
            "Run the embed and evaluate stages of both again.",
        )
    return paired_bootstrap(mine.average_precision, its.average_precision, seed)


def _differences(test_set: str, mine: Result, others: Sequence[Result]) -> str:
    """Say in a sentence why `others` are not ranked with `mine`."""
    here, there = mine.cards[test_set], others[0].cards[test_set]
    differing = ", ".join(
        f"{field} ({_short(here.get(field))} here, {_short(there.get(field))} there)"
        for field in PROTOCOL_FIELDS
        if here.get(field) != there.get(field)
    )
    names = ", ".join(other.run for other in others)
    return f"Not ranked with {names}, as these differ: {differing}."


def _short(value: Any) -> str:
    """Shorten a digest, which is the only long value."""
    text = str(value)
    return f"{text[:12]}…" if len(text) > 40 else text
