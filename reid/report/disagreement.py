"""Where methods disagree: queries that one run answers rightly and another one does not."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from reid.report.comparison import ComparedRun, ComparedRuns
from reid.retrieval.answers import FirstAnswers
from reid.retrieval.features import DoubleArray


@dataclass(frozen=True)
class Answer:
    """The first answer of a run to a query, and its average precision in [0, 1]."""

    run: str
    path: str
    right: bool
    average_precision: float


@dataclass(frozen=True)
class Case:
    """A query, and the first answers of two runs, of which one is right."""

    query: str
    answers: tuple[Answer, Answer]


@dataclass(frozen=True)
class Disagreement:
    """Two runs on the same queries, by whether their first answers are right.

    Where there are trials, an answer counts as right if it is in all of them.

    Args:
        first: Name of the run with the higher mAP.
        second: Name of the other.
        won: Queries that only the first answers rightly, and that only the second does.
        both: Queries that both do.
        neither: Queries that neither does.
        cases: Some of those that were won, in turns; none if the records hold no answers.
    """

    first: str
    second: str
    won: tuple[int, int]
    both: int
    neither: int
    cases: tuple[Case, ...]


def disagreements(table: ComparedRuns, count: int) -> tuple[Disagreement, ...]:
    """Compare the best run of each method with that of the next method.

    Args:
        table: Runs from the best to the worst.
        count: How many queries to show of each pair at most.
    """
    best: dict[str, ComparedRun] = {}
    for row in table.rows:
        best.setdefault(row.method, row)
    return tuple(_compare(first, second, count) for first, second in pairwise(best.values()))


def _compare(first: ComparedRun, second: ComparedRun, count: int) -> Disagreement:
    valid = first.queries.valid & second.queries.valid
    right = [row.queries.first_match_rank == 1 for row in (first, second)]
    won = [valid & mine & ~other for mine, other in (right, right[::-1])]
    return Disagreement(
        first.run,
        second.run,
        (int(won[0].sum()), int(won[1].sum())),
        int((valid & right[0] & right[1]).sum()),
        int((valid & ~right[0] & ~right[1]).sum()),
        tuple(_cases(first, second, won, count)),
    )


def _cases(
    first: ComparedRun, second: ComparedRun, won: Sequence[npt.NDArray[np.bool_]], count: int
) -> list[Case]:
    """Choose those queries whose average precisions are farthest apart, in turns for each run."""
    mine, other = first.queries.answers, second.queries.answers
    if mine is None or other is None:
        return []
    seen = mine.right != other.right  # of several trials only the first can be
    gap = first.queries.average_precision - second.queries.average_precision
    sides = [_farthest(won[0] & seen, gap), _farthest(won[1] & seen, -gap)]
    turns = [side[turn] for turn in range(count) for side in sides if turn < len(side)]
    return [
        Case(
            str(first.queries.paths[query]),
            (_answer(first, mine, query), _answer(second, other, query)),
        )
        for query in turns[:count]
    ]


def _farthest(chosen: npt.NDArray[np.bool_], gap: DoubleArray) -> list[int]:
    """Return the chosen queries, those with the largest gap first."""
    queries = np.flatnonzero(chosen)
    order: list[int] = queries[np.argsort(-gap[queries], kind="stable")].tolist()
    return order


def _answer(row: ComparedRun, answers: FirstAnswers, query: int) -> Answer:
    precision = float(row.queries.average_precision[query])
    return Answer(row.run, str(answers.paths[query]), bool(answers.right[query]), precision)
