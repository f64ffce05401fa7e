"""Score distances of one test set under one protocol: all trials, all metrics."""

import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from reid.errors import EvaluationError
from reid.retrieval.distance import DoubleArray, FloatArray, IntArray
from reid.retrieval.labels import Exclusion, Labels, match_counts
from reid.retrieval.metrics import (
    average_precision,
    cumulative_matching,
    first_match_rank,
    inverse_negative_penalty,
    mean_of_valid,
)
from reid.retrieval.protocols import Protocol, Split, splits
from reid.retrieval.ranking import Block, numbered, rank_blocks
from reid.retrieval.single_shot import drawn_ranks, expected_curves

RANKS = (1, 5, 10)


class Source(typing.Protocol):
    """What gives distances between rows of a test set: features, re-ranking, or a pair scorer."""

    def blocks(
        self, query_rows: IntArray, gallery_rows: IntArray, block_size: int
    ) -> Iterator[FloatArray]:
        """Yield distances [b, G], b <= block_size, in the order of the queries."""
        ...


@dataclass(frozen=True, eq=False)
class TestSet:
    """Who and where, of all rows of a test set but junk.

    Args:
        name: Name of the dataset.
        person_ids: [N].
        camera_ids: [N].
        is_query: [N].
    """

    __test__ = False  # not for pytest to collect

    name: str
    person_ids: IntArray
    camera_ids: IntArray
    is_query: npt.NDArray[np.bool_]

    def labels(self, split: Split, exclusion: Exclusion) -> Labels:
        """Return the labels of one split."""
        return Labels(
            self.person_ids[split.query_rows],
            self.camera_ids[split.query_rows],
            self.person_ids[split.gallery_rows],
            self.camera_ids[split.gallery_rows],
            exclusion,
        )


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of one setting, averaged over trials.

    Args:
        mAP: Mean average precision over valid queries.
        mINP: Mean inverse negative penalty over valid queries.
        cmc: Cumulative matching at rank 1, 2, ... [max_rank].
        valid_queries: Queries with a match, in each trial.
        query_rows: Row of each image that is a query in some trial, ascending [Q].
        average_precision: Per query, NaN where invalid [Q].
        first_match_rank: Per query, NaN where invalid [Q].
        deviations: Standard deviation over trials of mAP, mINP and rank r; empty for one trial.
    """

    mAP: float  # noqa: N815 - the name in every paper
    mINP: float  # noqa: N815
    cmc: DoubleArray
    valid_queries: int
    query_rows: IntArray
    average_precision: DoubleArray
    first_match_rank: DoubleArray
    deviations: dict[str, float] = field(default_factory=dict)

    def figures(self) -> dict[str, float]:
        """Return mAP, mINP, rank1, rank5 and rank10."""
        ranks = {f"rank{rank}": float(self.cmc[rank - 1]) for rank in RANKS}
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
) -> tuple[Scores, NearestLists]:
    """Score the distances of `source` under `protocol`.

    Args:
        source: Distances between rows of the test set.
        test: Labels of the rows.
        protocol: Exclusion rule and trials.
        block_size: Queries per block.
        max_rank: Length of the matching curve.
        top: Length of the nearest lists.

    Returns:
        The scores, and the nearest lists of the first trial.

    Raises:
        EvaluationError: No query is valid, or `max_rank` is below the largest rank reported.
    """
    if max_rank < max(RANKS):
        raise EvaluationError(
            f"a matching curve of {max_rank} ranks", f"at least {max(RANKS)}", "Raise max_rank."
        )
    trials = []
    for split in splits(protocol, test.person_ids, test.is_query):
        labels = test.labels(split, protocol.exclusion)
        if not match_counts(labels).any():
            raise _no_valid_query(test, protocol, labels)
        blocks = source.blocks(split.query_rows, split.gallery_rows, block_size)
        trials.append(_trial(blocks, labels, split, protocol, max_rank, top))
    return _averaged(trials, len(test.person_ids)), trials[0].nearest


def _trial(
    blocks: Iterator[FloatArray],
    labels: Labels,
    split: Split,
    protocol: Protocol,
    max_rank: int,
    top: int,
) -> _Trial:
    drawn: list[DoubleArray] = []
    if protocol.gallery == "single_shot_expected":
        blocks = _watched(
            blocks, labels, lambda r, b: drawn.append(expected_curves(b, r, labels, max_rank))
        )
    elif protocol.gallery == "single_shot_drawn":
        draws, seed = protocol.trials, protocol.seed
        blocks = _watched(
            blocks, labels, lambda r, b: drawn.append(drawn_ranks(b, r, labels, draws, seed))
        )
    ranking = rank_blocks(blocks, labels, top=top)
    first = first_match_rank(ranking)
    curves = cumulative_matching(first, max_rank)[None]
    if protocol.gallery == "single_shot_expected":
        curves = np.concatenate(drawn)[ranking.valid].mean(axis=0, keepdims=True)
    elif protocol.gallery == "single_shot_drawn":
        curves = np.stack([cumulative_matching(r, max_rank) for r in np.concatenate(drawn).T])
    found = ranking.top_indices
    rows = np.where(found >= 0, split.gallery_rows[found], -1)
    nearest = NearestLists(split.query_rows, rows, ranking.top_distances)
    precision, penalty = average_precision(ranking), inverse_negative_penalty(ranking)
    return _Trial(split, precision, penalty, first, curves, nearest)


def _watched(
    blocks: Iterable[FloatArray], labels: Labels, look: Callable[[int, Block], None]
) -> Iterator[FloatArray]:
    """Pass blocks on, and let `look` see each with the number of its first query."""
    for row, block in numbered(blocks, labels):
        look(row, block)
        yield block


def _averaged(trials: list[_Trial], rows: int) -> Scores:
    """Average over trials, and per query over the trials in which the row is a valid query."""
    scored = np.zeros(rows, np.bool_)
    for trial in trials:
        scored[trial.split.query_rows] = True
    precision = _row_means([(t.split.query_rows, t.precision) for t in trials], rows)
    first_rank = _row_means([(t.split.query_rows, t.first_rank) for t in trials], rows)
    curves = np.concatenate([trial.curves for trial in trials])
    means = {
        "mAP": [mean_of_valid(trial.precision) for trial in trials],
        "mINP": [mean_of_valid(trial.penalty) for trial in trials],
        **{f"rank{rank}": curves[:, rank - 1].tolist() for rank in RANKS},
    }
    return Scores(
        mAP=float(np.mean(means["mAP"])),
        mINP=float(np.mean(means["mINP"])),
        cmc=curves.mean(axis=0),
        valid_queries=int((~np.isnan(trials[0].precision)).sum()),
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
    remedy = (
        "Use the protocol no_camera for single-camera data."
        if protocol.exclusion != "none"
        else "Check the person ids."
    )
    return EvaluationError(
        f"{test.name}: no query image shares an identity with a gallery image{where} "
        f"({queries} queries, cameras {{{shown}}})",
        f"at least one under the protocol {protocol.name}",
        remedy,
    )
