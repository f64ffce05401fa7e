"""The comparison of a study as HTML, Markdown and CSV."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from reid.files import write_whole
from reid.report import cells, cost
from reid.report.columns import (
    RUN,
    Column,
    cost_columns,
    making_columns,
    plain_columns,
    reranked_columns,
)
from reid.report.comparison import RERANKED_FIGURES, ComparedRun, ComparedRuns
from reid.report.comparison_page import ReadImage, comparison_page, titled
from reid.report.disagreement import disagreements
from reid.report.verdict import verdict


def write_comparison(
    folder: Path, study: str, tables: Sequence[ComparedRuns], read_image: ReadImage, mlflow: str
) -> None:
    """Write `comparison.html`, `comparison.md` and `comparison.csv`.

    The page is complete in itself: it loads nothing. No file holds a time of writing.

    Args:
        read_image: Gives the pictures of queries and answers.
        mlflow: Address of the pages of MLflow, for links.
    """
    write_whole(folder / "comparison.html", comparison_page(study, tables, read_image, mlflow))
    write_whole(folder / "comparison.md", _markdown(study, tables, mlflow))
    write_whole(folder / "comparison.csv", _csv(study, tables))


def _markdown(study: str, tables: Sequence[ComparedRuns], mlflow: str) -> str:
    lines = [f"# Comparison of study {study}", ""]
    lines += [f"- {title}: {verdict(table)}" for title, table in titled(tables)]
    lines += ["", cells.NOTE, "", cost.NOTE]
    making = making_columns(lambda run_id: f"[{run_id}]({mlflow}/#/runs/{run_id})")
    for title, table in titled(tables):
        lines += ["", f"## {title}", ""]
        if table.apart:
            lines += [f"> {table.apart}", ""]
        again = [
            replace(column, head=f"{setting} {column.head}")
            for setting, column in reranked_columns(table)
        ]
        lines += _grid(table, [*plain_columns(), *again])
        for remark in cells.remarks(table):
            lines += [remark, ""]
        lines += [*(f"- {key}: {value}" for key, value in cells.conditions(table)), ""]
        lines += [*_grid(table, cost_columns()), *_grid(table, making)]
        lines += (
            f"- {found.first} alone is right at once on {found.won[0]}, {found.second} alone on "
            f"{found.won[1]}, both on {found.both}, neither on {found.neither} queries."
            for found in disagreements(table, count=0)
        )
    return "\n".join(lines) + "\n"


def _grid(table: ComparedRuns, columns: Sequence[Column]) -> Iterator[str]:
    columns = [RUN, *columns]
    yield _line([column.head for column in columns])
    yield _line(["---"] * len(columns))
    for row in table.rows:
        yield _line([column.text(row) for column in columns])
    yield ""


def _line(values: Sequence[str]) -> str:
    return f"| {' | '.join(value.replace('|', chr(92) + '|') for value in values)} |"


def _csv(study: str, tables: Sequence[ComparedRuns]) -> str:
    """Write one row per run and table; `table` counts the ways in which a test set was measured."""
    settings = list(dict.fromkeys(setting for table in tables for setting in table.settings))
    rows: list[dict[str, object]] = []
    seen: dict[str, int] = {}
    for table in tables:
        seen[table.test_set] = seen.get(table.test_set, 0) + 1
        for place, row in enumerate(table.rows, start=1):
            head = {"study": study, "test_set": table.test_set, "table": seen[table.test_set]}
            rows.append({**head, "place": place, **_csv_row(row, settings), **table.conditions})
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]) if rows else ["study"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _csv_row(row: ComparedRun, settings: Sequence[str]) -> dict[str, object]:
    gap = row.gap
    return {
        "run": row.run,
        "method": row.method,
        **row.plain,
        "mAP_low": row.interval.low,
        "mAP_high": row.interval.high,
        "groups": cells.groups(row),
        "difference": gap.difference if gap else None,
        "difference_low": gap.low if gap else None,
        "difference_high": gap.high if gap else None,
        "significant": gap.significant if gap else None,
        **{
            f"{setting}/{name}": row.reranked.get(setting, {}).get(name)
            for setting in settings
            for name in RERANKED_FIGURES
        },
        **row.stated,
        **row.cost.amounts,
        "flops_without": " ".join(row.cost.without),
        "mlflow_run_id": row.mlflow_run_id,
    }
