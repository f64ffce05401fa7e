"""The page on which somebody decides: verdict, tables, charts and pictures in one file."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from jinja2 import DictLoader, Environment
from markupsafe import Markup

from reid.report import cells, cost
from reid.report.camera_figure import camera_figure, least_of_cameras
from reid.report.chart import colour
from reid.report.columns import (
    RUN,
    Column,
    cost_columns,
    making_columns,
    plain_columns,
    reranked_columns,
)
from reid.report.comparison import ComparedRun, ComparedRuns
from reid.report.comparison_template import PAGE, SCRIPT, STYLE, TABLE
from reid.report.cost_figure import cost_figures
from reid.report.disagreement import Disagreement, disagreements
from reid.report.matching_figure import matching_figure
from reid.report.thumbnail import thumbnail
from reid.report.verdict import verdict
from reid.retrieval.evaluate import PLAIN

# data set and path of an image to the bytes of its file
ReadImage = Callable[[str, str], bytes]

_MOST_PICTURES = 360  # three for each query that is shown; about 1.2 MB
_MOST_CASES = 4
_ENVIRONMENT = Environment(
    autoescape=True, trim_blocks=True, loader=DictLoader({"page": PAGE, "table": TABLE})
)


@dataclass(frozen=True)
class _Span:
    """A heading over several columns; `again` if they are re-ranked."""

    name: str
    columns: int
    again: bool


@dataclass(frozen=True)
class _Cell:
    text: str
    value: float | str | None


@dataclass(frozen=True)
class _View:
    """A table of runs, ready to be laid out."""

    id: str
    title: str
    table: ComparedRuns
    verdict: str
    scores: Markup
    costs: Markup
    making: Markup
    curves: list[tuple[str, Markup]]
    cost_figures: list[Markup]
    uncounted: str
    cameras: list[tuple[str, Markup]]
    least: int
    disagreements: tuple[Disagreement, ...]
    remarks: list[str]
    conditions: list[tuple[str, str]]


def comparison_page(
    study: str, tables: Sequence[ComparedRuns], read_image: ReadImage, mlflow: str
) -> str:
    """Lay out the page. It loads nothing; only the links to MLflow lead out of it.

    Args:
        read_image: Gives the pictures of queries and answers.
        mlflow: Address of the pages of MLflow, for links.
    """
    views = [_view(*entry, _cases(tables), mlflow) for entry in titled(tables)]
    return _ENVIRONMENT.get_template("page").render(
        study=study,
        views=views,
        overview=_overview(views),
        note=cells.NOTE,
        cost_note=cost.NOTE,
        colour=colour,
        percent=cells.percent,
        picture=lambda table, path: thumbnail(read_image(table.dataset, path)),
        style=Markup(STYLE),  # noqa: S704 - our own
        script=Markup(SCRIPT),  # noqa: S704
    )


def titled(tables: Iterable[ComparedRuns]) -> Iterator[tuple[str, ComparedRuns]]:
    """Name the tables by their test sets, and number those of one set that stand apart."""
    for test_set, group in groupby(tables, lambda table: table.test_set):
        ways = list(group)
        for number, table in enumerate(ways, start=1):
            yield (f"{test_set} ({number} of {len(ways)})" if len(ways) > 1 else test_set), table


def _cases(tables: Sequence[ComparedRuns]) -> int:
    """Return how many queries each pair of runs may show, so that the page stays small."""
    pairs = sum(len({row.method for row in table.rows}) - 1 for table in tables)
    return max(1, min(_MOST_CASES, _MOST_PICTURES // (3 * max(1, pairs))))


def _view(title: str, table: ComparedRuns, cases: int, mlflow: str) -> _View:
    def link(run_id: str) -> Markup:
        return Markup('<a href="{}/#/runs/{}">{}</a>').format(mlflow, run_id, run_id)

    uncounted = [row.run for row in table.rows if row.cost.without]
    return _View(
        id="at-" + "".join(sign if sign.isalnum() else "-" for sign in title),
        title=title,
        table=table,
        verdict=verdict(table),
        scores=_scores(title, table),
        costs=_grid(f"Cost on {title}", table.rows, [RUN, *cost_columns()]),
        making=_grid(
            f"How the runs on {title} were made", table.rows, [RUN, *making_columns(link)]
        ),
        curves=list(_curves(table)),
        cost_figures=list(cost_figures(table)),
        uncounted=", ".join(uncounted),
        cameras=[(row.run, camera_figure(row, table)) for row in table.rows if row.cameras],
        least=least_of_cameras(table),
        disagreements=disagreements(table, cases),
        remarks=cells.remarks(table),
        conditions=cells.conditions(table),
    )


def _curves(table: ComparedRuns) -> Iterator[tuple[str, Markup]]:
    for setting in (PLAIN, *table.settings):
        if any(setting in row.curves for row in table.rows):
            yield setting, matching_figure(table, setting)


def _scores(title: str, table: ComparedRuns) -> Markup:
    plain, again = plain_columns(), reranked_columns(table)
    spans = [_Span("", 1, False), _Span("plain", len(plain), False)]
    for setting, group in groupby(again, lambda entry: entry[0]):
        spans.append(_Span(setting, len(list(group)), True))
    columns = [RUN, *plain, *(column for _, column in again)]
    return _grid(f"Scores on {title}", table.rows, columns, spans)


def _grid(
    caption: str,
    rows: Sequence[ComparedRun],
    columns: Sequence[Column],
    spans: Sequence[_Span] = (),
) -> Markup:
    lines = [[_cell(column, row) for column in columns] for row in rows]
    return _table(caption, columns, lines, spans, ranked=True)


def _cell(column: Column, row: ComparedRun) -> _Cell:
    if column.value is None:
        return _Cell(column.text(row), None)
    value = column.value(row)
    return _Cell(column.text(row), "" if value is None else value)


def _overview(views: Sequence[_View]) -> Markup:
    """Lay out plain and re-ranked mAP of each run on each test set."""
    names = list(dict.fromkeys(row.run for view in views for row in view.table.rows))
    columns, spans = [RUN], [_Span("", 1, False)]
    lines = [[_Cell(name, None)] for name in names]
    for view in views:
        rows = {row.run: row for row in view.table.rows}
        setting = next(iter(view.table.settings), None)
        mine = [_of_table("plain mAP", classes="first main"), _of_table("group", classes="name")]
        if setting:
            mine.append(_of_table("re-ranked mAP", classes="reranked"))
        columns += mine
        spans.append(_Span(view.title, len(mine), False))
        for name, line in zip(names, lines, strict=True):
            line += _overview_cells(rows.get(name), setting)
    return _table("Overview", columns, lines, spans, ranked=False)


def _of_table(head: str, classes: str) -> Column:
    return Column(head, lambda _: "", classes=classes)


def _overview_cells(row: ComparedRun | None, setting: str | None) -> list[_Cell]:
    if row is None:
        return [_Cell("", "")] * (3 if setting else 2)
    found = [
        _Cell(cells.percent(row.plain["mAP"]), row.plain["mAP"]),
        _Cell(cells.groups(row), None),
    ]
    if setting:
        again = row.reranked.get(setting, {}).get("mAP")
        found.append(_Cell(cells.reranked(row, setting, "mAP"), "" if again is None else again))
    return found


def _table(
    caption: str,
    columns: Sequence[Column],
    lines: Sequence[Sequence[_Cell]],
    spans: Sequence[_Span],
    *,
    ranked: bool,
) -> Markup:
    text = _ENVIRONMENT.get_template("table").render(
        caption=caption,
        columns=columns,
        rows=lines,
        spans=spans,
        ranked=ranked,
        sortable=len(lines) > 1,
    )
    return Markup(text)  # noqa: S704 - the template escapes
