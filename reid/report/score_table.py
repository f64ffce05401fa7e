"""The scores of a test set for the terminal: plain and re-ranked rows that say which they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from reid.report.cells import HEADS, percent

ORDER = ("mAP", "rank1", "rank5", "rank10", "rank20", "mINP")
_MORE_HEADS = {"rank20": "R20"}


@dataclass(frozen=True)
class ScoreRow:
    """One row: a setting, of one file or of all.

    Args:
        file: Name of the file, or `mean`; empty for a single file.
        setting: `plain`, or the name of the re-ranking.
        figures: Values in [0, 1].
        deviations: Standard deviations over trials or files; empty for one.
    """

    file: str
    setting: str
    figures: Mapping[str, float]
    deviations: Mapping[str, float]


def score_table(test_set: str, rows: Sequence[ScoreRow]) -> Table:
    """Lay out the rows; columns are those figures that there are."""
    view = Table(title=Text(f"{test_set} (per cent)"), box=box.SIMPLE_HEAD)
    several = any(row.file for row in rows)
    if several:
        view.add_column("file")
    view.add_column("distances", no_wrap=True)
    names = [name for name in ORDER if name in rows[0].figures]
    for name in names:
        view.add_column((HEADS | _MORE_HEADS)[name], justify="right", no_wrap=True)
    for row in rows:
        cells = [Text(row.setting), *(Text(_figure(row, name)) for name in names)]
        style = "bold" if row.file in ("", "mean") else None
        view.add_row(*([Text(row.file)] if several else []), *cells, style=style)
    return view


def _figure(row: ScoreRow, name: str) -> str:
    value = percent(row.figures[name])
    return f"{value} ± {percent(row.deviations[name])}" if name in row.deviations else value
