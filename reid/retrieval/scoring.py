"""Score distances of one test set under one protocol: all trials, all metrics."""

import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from reid.errors import EvaluationError
from reid.retrieval.features import DoubleArray, FloatArray, IntArray
from reid.retrieval.labels import Labels, match_counts
from reid.retrieval.metrics import (
    average_precision,
    cumulative_matching,
    first_match_rank,
    inverse_negative_penalty,
    mean_of_valid,
)
from reid.retrieval.person_ranks import PersonRanks
from reid.retrieval.protocols import Protocol
from reid.retrieval.ranking import BlockWatcher, Ranker, numbered
from reid.retrieval.single_shot import DrawnCurves, ExpectedCurves
from reid.retrieval.splits import splits
from reid.retrieval.testset import Split, TestSet

RANKS = (1, 5, 10, 20)
# makes what else looks at the blocks of distances of a trial
Watch = Callable[[Labels, Split], Sequence[BlockWatcher]]


class Source(typing.Protocol):
    """What gives distances between rows of a test set: features, re-ranking, or a pair scorer."""

    def blocks(
        self, query_rows: IntArray, gallery_rows: IntArray, block_size: int
    ) -> Iterator[FloatArray]:
        """Yield distances [b, G], b <= block_size, in the order of the queries."""
        ...


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of one setting, averaged over trials.

    Args:
        mAP: Mean average precision over valid queries.
        mINP: Mean inverse negative penalty over valid queries.
        cmc: Cumulative matching at rank 1, 2, ... [max_rank].
        queries: Queries of the first trial.
        gallery: Gallery images of the first trial.
        valid_queries: Queries with a match, in the first trial.
        query_rows: Row of each image that is a query in some trial, ascending [Q].
        average_precision: Per query, mean over trials, NaN where invalid [Q].
        first_match_rank: Per query, mean over trials, NaN where invalid; among images or among
            persons, as the protocol counts [Q].
        deviations: Standard deviation over trials of mAP, mINP and rank r; empty for one trial.
    """

    mAP: float  # noqa: N815 - the name in every paper
    mINP: float  # noqa: N815
    cmc: DoubleArray
    queries: int
    gallery: int
    valid_queries: int
    query_rows: IntArray
    average_precision: DoubleArray
    first_match_rank: DoubleArray
    deviations: dict[str, float] = field(default_factory=dict)

    def figures(self) -> dict[str, float]:
        """Return mAP, mINP, and those of rank1, rank5, rank10 and rank20 that the curve reaches."""
        ranks = {f"rank{rank}": float(self.cmc[rank - 1]) for rank in _reached(len(self.cmc))}
        return {"mAP": self.mAP, "mINP": self.mINP, **ranks}


@dataclass(frozen=True, eq=False)
class NearestLists:
    """Nearest gallery images that count for each query, for pictures; of the first trial.

    Args:
        query_rows: Row of each query [R].
        gallery_rows: Rows of its nearest gallery images, -1 where there is none [R, K].
        distances: Their distances [R, K].
    """

    query_rows: IntArray
    gallery_rows: IntArray
    distances: DoubleArray

    def renumbered(self, rows: IntArray) -> "NearestLists":
        """Return the lists with row i named `rows[i]`."""
        gallery = np.where(self.gallery_rows >= 0, rows[self.gallery_rows], -1)
        return NearestLists(rows[self.query_rows], gallery, self.distances)


@dataclass(frozen=True, eq=False)
class _Trial:
    """Scores of one trial; `curves` has one row for each draw of the gallery [draws, max_rank]."""

    split: Split
    precision: DoubleArray
    penalty: DoubleArray
    first_rank: DoubleArray
    curves: DoubleArray
    nearest: NearestLists


def score(
    source: Source,
    test: TestSet,
    protocol: Protocol,
    block_size: int = 512,
    max_rank: int = 50,
    top: int = 10,
    watch: Watch | None = None,
) -> tuple[Scores, NearestLists]:
    """Score the distances of `source` under `protocol`.

    Args:
        source: Distances between rows of the test set.
        test: Who and where each row is.
        protocol: Queries, gallery, exclusion rule and trials.
        block_size: Queries per block.
        max_rank: Length of the matching curve.
        top: Length of the nearest lists.
        watch: Called for the first trial, before its distances are made; what it returns sees
            every block of that trial.

    Returns:
        The scores, and the nearest lists of the first trial.

    Raises:
        EvaluationError: The test set lacks what the protocol needs, no query is valid, or
            `max_rank` is below 1.
    """
    if max_rank < 1:
        raise EvaluationError(f"a matching curve of {max_rank} ranks", "at least 1", "Raise it.")
    trials: list[_Trial] = []
    for split in splits(protocol, test):
        labels = labels_of(test, split, protocol)
        if not match_counts(labels).any():
            raise _no_valid_query(test, protocol, labels)
        watchers = watch(labels, split) if watch and not trials else ()
        blocks = source.blocks(split.query_rows, split.gallery_rows, block_size)
        trials.append(_trial(blocks, labels, split, protocol, max_rank, top, watchers))
    return _averaged(trials, len(test.person_ids)), trials[0].nearest


def labels_of(test: TestSet, split: Split, protocol: Protocol) -> Labels:
    """Return the labels of one split; cameras are the places that the protocol sees."""
    places = protocol.places_of(test.camera_ids)
    return Labels(
        test.person_ids[split.query_rows],
        places[split.query_rows],
        test.person_ids[split.gallery_rows],
        places[split.gallery_rows],
        protocol.exclusion,
    )


def _trial(
    blocks: Iterator[FloatArray],
    labels: Labels,
    split: Split,
    protocol: Protocol,
    max_rank: int,
    top: int,
    watchers: Sequence[BlockWatcher],
) -> _Trial:
    ranker = Ranker(labels, top=top)
    persons = PersonRanks(labels) if protocol.counting == "persons" else None
    drawn = _single_shot(protocol, labels, max_rank)
    # the ranker first: it refuses what is no number
    everyone = [ranker, *(one for one in (persons, drawn) if one), *watchers]
    for row, block in numbered(blocks, labels):
        for watcher in everyone:
            watcher.add(row, block)
    ranking = ranker.ranking
    first = persons.ranks if persons else first_match_rank(ranking)
    curves = drawn.curves() if drawn else cumulative_matching(first, max_rank)[None]
    found = ranking.top_indices
    rows = np.where(found >= 0, split.gallery_rows[found], -1)
    nearest = NearestLists(split.query_rows, rows, ranking.top_distances)
    precision, penalty = average_precision(ranking), inverse_negative_penalty(ranking)
    return _Trial(split, precision, penalty, first, curves, nearest)


def _single_shot(
    protocol: Protocol, labels: Labels, max_rank: int
) -> ExpectedCurves | DrawnCurves | None:
    if protocol.gallery == "single_shot_expected":
        return ExpectedCurves(labels, max_rank)
    if protocol.gallery == "single_shot_drawn":
        return DrawnCurves(labels, protocol.trials, protocol.seed, max_rank)
    return None


def _reached(max_rank: int) -> tuple[int, ...]:
    """Return the ranks to report that a matching curve reaches."""
    return tuple(rank for rank in RANKS if rank <= max_rank)


def _averaged(trials: list[_Trial], rows: int) -> Scores:
    """Average over trials, and per query over the trials in which the row is a valid query."""
    scored = np.zeros(rows, np.bool_)
    for trial in trials:
        scored[trial.split.query_rows] = True
    precision = _row_means([(t.split.query_rows, t.precision) for t in trials], rows)
    first_rank = _row_means([(t.split.query_rows, t.first_rank) for t in trials], rows)
    curves = np.concatenate([trial.curves for trial in trials])
    reached = _reached(curves.shape[1])
    means = {
        "mAP": [mean_of_valid(trial.precision) for trial in trials],
        "mINP": [mean_of_valid(trial.penalty) for trial in trials],
        **{f"rank{rank}": curves[:, rank - 1].tolist() for rank in reached},
    }
    first = trials[0]
    return Scores(
        mAP=float(np.mean(means["mAP"])),
        mINP=float(np.mean(means["mINP"])),
        cmc=curves.mean(axis=0),
        queries=len(first.split.query_rows),
        gallery=len(first.split.gallery_rows),
        valid_queries=int((~np.isnan(first.precision)).sum()),
        query_rows=np.flatnonzero(scored),
        average_precision=precision[scored],
        first_match_rank=first_rank[scored],
        deviations={
            name: float(np.std(values, ddof=1)) for name, values in means.items() if len(values) > 1
        },
    )


def _row_means(parts: list[tuple[IntArray, DoubleArray]], rows: int) -> DoubleArray:
    """Return the mean value of each row over the parts that have one, else NaN: [rows]."""
    sums, counts = np.zeros(rows), np.zeros(rows)
    for places, values in parts:
        valid = ~np.isnan(values)
        sums[places[valid]] += values[valid]
        counts[places[valid]] += 1
    means = np.full(rows, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


def _no_valid_query(test: TestSet, protocol: Protocol, labels: Labels) -> EvaluationError:
    queries = len(labels.query_person_ids)
    cameras = sorted({*labels.query_camera_ids.tolist(), *labels.gallery_camera_ids.tolist()})
    shown = ", ".join(str(camera) for camera in cameras[:20]) + (", ..." if cameras[20:] else "")
    where = " of another camera" if protocol.exclusion != "none" else ""
    remedy = "Check the person and camera ids."
    if protocol.exclusion == "none":
        remedy = "Check the person ids."
    elif protocol.query_modality is None:
        remedy = "Use the protocol no_camera for single-camera data."
    return EvaluationError(
        f"{test.name}: no query image shares an identity with a gallery image{where} "
        f"({queries} queries, cameras {{{shown}}})",
        f"at least one under the protocol {protocol.name}",
        remedy,
    )
