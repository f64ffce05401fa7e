"""The columns of a comparison, the same on the page and in Markdown."""

from collections.abc import Callable
from dataclasses import dataclass

from reid.report import cells
from reid.report.comparison import (
    FIGURES,
    RERANKED_FIGURES,
    RUN_FIELDS,
    ComparedRun,
    ComparedRuns,
)
from reid.report.cost import COSTS, cost_cell


@dataclass(frozen=True)
class Column:
    """A column of a table with a line for each run.

    Args:
        head: Its name.
        text: What stands in the cell of a run.
        value: By what runs are sorted; None where it is the text, and for a run without one.
        classes: How it looks on the page.
    """

    head: str
    text: Callable[[ComparedRun], str]
    value: Callable[[ComparedRun], float | None] | None = None
    classes: str = ""


RUN = Column("run", lambda row: row.run, classes="name pinned")


def plain_columns() -> list[Column]:
    """Return the plain figures, who differs, and the difference to the best run."""
    first, *others = (_figure(name) for name in FIGURES)
    return [
        Column("method", lambda row: row.method, classes="name"),
        first,
        Column("95 %", cells.interval, lambda row: row.interval.low, "range"),
        Column("group", cells.groups, classes="name"),
        *others,
        Column("mAP to best", cells.gap, lambda r: r.gap.difference if r.gap else 0.0, "name"),
    ]


def reranked_columns(table: ComparedRuns) -> list[tuple[str, Column]]:
    """Return each figure of each re-ranking, with the name of the re-ranking."""
    return [
        (setting, _reranked(setting, name, place == 0))
        for setting in table.settings
        for place, name in enumerate(RERANKED_FIGURES)
    ]


def cost_columns() -> list[Column]:
    """Return the kinds of cost."""
    return [_cost(name) for name in COSTS]


def making_columns(link: Callable[[str], str]) -> list[Column]:
    """Return what the cards say of the runs.

    Args:
        link: Writes the id of an MLflow run.
    """
    run_id = Column(
        "MLflow run",
        lambda row: link(row.mlflow_run_id) if row.mlflow_run_id else cells.stated(None),
        classes="name",
    )
    return [*(_stated(field) for field in RUN_FIELDS), run_id]


def _figure(name: str) -> Column:
    classes = "main" if name == FIGURES[0] else ""
    return Column(
        cells.HEADS[name], lambda row: cells.figure(row, name), lambda row: row.plain[name], classes
    )


def _reranked(setting: str, name: str, first: bool) -> Column:
    return Column(
        cells.HEADS[name],
        lambda row: cells.reranked(row, setting, name),
        lambda row: row.reranked.get(setting, {}).get(name),
        "reranked first" if first else "reranked",
    )


def _cost(name: str) -> Column:
    return Column(
        COSTS[name].name,
        lambda row: cost_cell(row.cost, name),
        lambda row: row.cost.amounts[name],
    )


def _stated(field: str) -> Column:
    return Column(
        cells.FIELD_HEADS[field], lambda row: cells.stated(row.stated[field]), classes="name"
    )
