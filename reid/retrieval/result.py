"""The result record of one run: metrics with the protocol in their names, and protocol cards."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reid.errors import DataError
from reid.files import whole_file, whole_folder, write_whole
from reid.retrieval.answers import FirstAnswers
from reid.retrieval.evaluate import PLAIN, Evaluation
from reid.retrieval.features import DoubleArray

# a test set `<dataset>/<protocol>` and a setting `plain` or `rerank_...`
Key = tuple[str, str]
RERANKED = "reranked"
# columns of the table of queries, as a breakdown divides them
DIVISIONS = ("camera", "modality", "occlusion")
# neither a variant, whose name comes first, nor what is made of re-ranked distances
_CANONICAL = re.compile(r"rerank_k\d+_\d+_[^_]+(_approximate)?")


@dataclass(frozen=True, eq=False)
class QueryScores:
    """Scores of each query of one test set and setting; NaN where the query is not valid.

    Args:
        paths: Image of each query [Q].
        average_precision: [Q].
        first_match_rank: Mean over trials [Q].
        groups: Of plain scores, the group of each query in each of `DIVISIONS`; a division into one
            group alone is left out [Q].
        answers: None in a record that was written without them, or of several files together.
    """

    paths: npt.NDArray[np.str_]
    average_precision: DoubleArray
    first_match_rank: DoubleArray
    groups: Mapping[str, npt.NDArray[np.str_]] = field(default_factory=dict)
    answers: FirstAnswers | None = None

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Whether each query has a match [Q]."""
        valid: npt.NDArray[np.bool_] = ~np.isnan(self.average_precision)
        return valid


@dataclass(frozen=True, eq=False)
class Result:
    """All scores of one run.

    Args:
        run: Name of the run in its study.
        metrics: `<dataset>/<protocol>/mAP` and so on for plain distances,
            `<dataset>/<protocol>/rerank_.../mAP` for re-ranked ones.
        cards: Protocol card of each `<dataset>/<protocol>`.
        curves: Cumulative matching at rank 1, 2, ... of each test set and setting.
        queries: Per-query scores of each test set and setting.
        breakdowns: Verification, pairs of cameras and groups of queries of each test set, as JSON.
    """

    run: str
    metrics: dict[str, float]
    cards: dict[str, dict[str, Any]]
    curves: dict[Key, DoubleArray]
    queries: dict[Key, QueryScores]
    breakdowns: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, run: str, evaluations: Iterable[Evaluation]) -> "Result":
        """Gather the evaluations of a run, one for each test set and protocol."""
        result = cls(run, {}, {}, {}, {}, {})
        for evaluation in evaluations:
            test_set = evaluation.test_set
            result.cards[test_set] = evaluation.card
            result.breakdowns[test_set] = evaluation.breakdown.record()
            for name, value in evaluation.breakdown.figures().items():
                result.metrics[f"{test_set}/{name}"] = value
            for setting, scores in evaluation.scores.items():
                prefix = test_set if setting == PLAIN else f"{test_set}/{setting}"
                for name, value in scores.figures().items():
                    result.metrics[f"{prefix}/{name}"] = value
                result.curves[test_set, setting] = scores.cmc
                result.queries[test_set, setting] = QueryScores(
                    evaluation.query_paths,
                    scores.average_precision,
                    scores.first_match_rank,
                    evaluation.breakdown.members if setting == PLAIN else {},
                    evaluation.answers.get(setting),
                )
        return result

    def save(self, folder: Path) -> None:
        """Write the record of the run below `folder`.

        `<run>.json` holds the metrics, `<run>.card.json` the protocol cards,
        `queries/<run>.parquet` the scores of each query, `breakdown/<run>.json` verification, pairs
        of cameras and groups of queries, and `cmc/<run>/` one table for each test set. Each file is
        written whole or not at all, and holds no time of writing.
        """
        files = _Files(folder, self.run)
        with whole_folder(files.curves) as part:
            _write_curves(part, self.curves)
        table = _query_table(self.queries)
        with whole_file(files.queries) as part:
            pq.write_table(table, part, compression="zstd")
        write_whole(files.breakdowns, _json(self.breakdowns))
        write_whole(files.cards, _json(self.cards))
        write_whole(files.metrics, _json(self.metrics))

    @classmethod
    def load(cls, folder: Path, run: str) -> "Result":
        """Read what `save` wrote.

        Raises:
            DataError: A file is missing or damaged.
        """
        files = _Files(folder, run)
        try:
            cards = json.loads(files.cards.read_text("utf-8"))
            return cls(
                run,
                json.loads(files.metrics.read_text("utf-8")),
                cards,
                _read_curves(files.curves, cards),
                _read_queries(files.queries),
                json.loads(files.breakdowns.read_text("utf-8")),
            )
        except FileNotFoundError as error:
            found = f"{error.filename}: no such file"
        except (ValueError, KeyError, pa.ArrowException) as error:
            found = f"{folder / run}: cannot be read ({' '.join(str(error).split())})"
        raise DataError(found, "the result of a run", "Run the evaluate stage again.")


class _Files:
    """Where the parts of a result stand."""

    def __init__(self, folder: Path, run: str) -> None:
        self.metrics = folder / f"{run}.json"
        self.cards = folder / f"{run}.card.json"
        self.curves = folder / "cmc" / run
        self.queries = folder / "queries" / f"{run}.parquet"
        self.breakdowns = folder / "breakdown" / f"{run}.json"


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=2, sort_keys=True, allow_nan=False) + "\n"


def _write_curves(folder: Path, curves: dict[Key, DoubleArray]) -> None:
    """Write a table for each test set, with fixed column names, as plots are declared by them."""
    for test_set in dict.fromkeys(test_set for test_set, _ in curves):
        mine = {setting: curve for (owner, setting), curve in curves.items() if owner == test_set}
        names = [_column(setting) for setting in mine]
        with (folder / _curve_file(test_set)).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["rank", *names])
            columns = zip(*(curve.tolist() for curve in mine.values()), strict=True)
            writer.writerows((rank, *row) for rank, row in enumerate(columns, start=1))


def _column(setting: str) -> str:
    """Return the name of a setting's column; that of canonical re-ranking has no parameters."""
    return RERANKED if _CANONICAL.fullmatch(setting) else setting


def _read_curves(folder: Path, cards: dict[str, dict[str, Any]]) -> dict[Key, DoubleArray]:
    curves: dict[Key, DoubleArray] = {}
    for test_set, card in cards.items():
        with (folder / _curve_file(test_set)).open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
        settings = {_column(setting): setting for setting in card["trial_mean"]}
        for column in (reader.fieldnames or ())[1:]:
            curve = np.array([float(row[column]) for row in rows])
            curves[test_set, settings[column]] = curve
    return curves


def _curve_file(test_set: str) -> str:
    return f"{test_set.replace('/', '_')}.csv"


def _query_table(queries: dict[Key, QueryScores]) -> pa.Table:
    schema = pa.schema(
        [
            ("test_set", pa.string()),
            ("setting", pa.string()),
            ("query", pa.string()),
            ("valid", pa.bool_()),
            ("average_precision", pa.float64()),
            ("first_match_rank", pa.float64()),
            *((name, pa.string()) for name in DIVISIONS),
            ("first_answer", pa.string()),
            ("first_answer_right", pa.bool_()),
        ]
    )
    parts = [
        pa.table(
            {
                "test_set": [test_set] * len(scores.paths),
                "setting": [setting] * len(scores.paths),
                "query": scores.paths,
                "valid": scores.valid,
                "average_precision": scores.average_precision,
                "first_match_rank": scores.first_match_rank,
                **{
                    name: scores.groups.get(name, pa.nulls(len(scores.paths))) for name in DIVISIONS
                },
                **_answer_columns(scores),
            }
        ).cast(schema)
        for (test_set, setting), scores in queries.items()
    ]
    return pa.concat_tables(parts) if parts else schema.empty_table()


def _answer_columns(scores: QueryScores) -> dict[str, Any]:
    answers = scores.answers
    nothing = [None] * len(scores.paths)
    return {
        "first_answer": answers.paths if answers else nothing,
        "first_answer_right": answers.right if answers else nothing,
    }


def _read_queries(path: Path) -> dict[Key, QueryScores]:
    table = pq.read_table(path)
    return {key: _select(table, key) for key in _keys(table)}


def _keys(table: pa.Table) -> Iterator[Key]:
    pairs = zip(table["test_set"].to_pylist(), table["setting"].to_pylist(), strict=True)
    yield from dict.fromkeys(pairs)


def _select(table: pa.Table, key: Key) -> QueryScores:
    test_set, setting = key
    mine = pc.and_(pc.equal(table["test_set"], test_set), pc.equal(table["setting"], setting))
    rows = table.filter(mine)
    return QueryScores(
        rows["query"].to_numpy().astype(np.str_),
        rows["average_precision"].to_numpy(),
        rows["first_match_rank"].to_numpy(),
        {
            name: rows[name].to_numpy().astype(np.str_)
            for name in DIVISIONS
            if name in rows.column_names and not rows[name].null_count
        },
        _answers(rows),
    )


def _answers(rows: pa.Table) -> FirstAnswers | None:
    if "first_answer" not in rows.column_names or rows["first_answer"].null_count:
        return None
    return FirstAnswers(
        rows["first_answer"].to_numpy().astype(np.str_), rows["first_answer_right"].to_numpy()
    )
