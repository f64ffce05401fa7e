"""The comparison of a study for the terminal, narrow enough for 80 columns."""

from rich import box
from rich.table import Table

from reid.report import cells
from reid.report.comparison import FIGURES, RERANKED_FIGURES, ComparedRun, ComparedRuns

LUCK = "~ not significant: the 95 % interval of a paired bootstrap over queries holds zero."


def terminal_table(table: ComparedRuns) -> Table:
    """Lay out one table: plain figures, and re-ranked ones in columns that say so."""
    digest = cells.stated(table.conditions["manifest_digest"])[:12]
    drawn = cells.stated(table.conditions["gallery_draw"])
    gallery = "" if drawn == "all" else f", gallery {drawn}"
    view = Table(
        title=f"{table.test_set} (per cent, manifest {digest}{gallery})",
        caption=" ".join(filter(None, (LUCK, table.apart, *cells.remarks(table)))),
        box=box.SIMPLE_HEAD,
        padding=0,
    )
    view.add_column("run", no_wrap=True)
    for name in FIGURES:
        view.add_column(cells.HEADS[name], justify="right")
    view.add_column("to best", justify="right")
    for setting in table.settings:
        head = setting.replace("_", "\n", 1)
        for name in RERANKED_FIGURES:
            view.add_column(f"{head}\n{cells.HEADS[name]}", justify="right", style="yellow")
    for row in table.rows:
        values = [row.run, *(cells.figure(row, name) for name in FIGURES), _gap(row)]
        for setting in table.settings:
            values += [cells.reranked(row, setting, name) for name in RERANKED_FIGURES]
        view.add_row(*values)
    return view


def _gap(row: ComparedRun) -> str:
    if row.gap is None:
        return "best"
    mark = "" if row.gap.significant else " ~"
    return f"{cells.percent(row.gap.difference)}{mark}"
