"""What a table says, in a sentence: the best run, by how much, and who may be as good."""

from reid.report import cells
from reid.report.comparison import ComparedRuns


def verdict(table: ComparedRuns) -> str:
    """Name the best run by plain mAP, and those that are not significantly worse."""
    best, *others = table.rows
    said = f"{best.run}: plain mAP {cells.percent(best.plain['mAP'])} {cells.interval(best)}"
    if not others:
        return f"{said}. No other run was measured in the same way."
    second = others[0]
    if second.gap is not None:
        gap = -second.gap.difference, -second.gap.high, -second.gap.low
        ahead, least, most = map(cells.percent, gap)
        said += f", {ahead} [{least}, {most}] ahead of {second.run}"
    alike = [row.run for row in others if set(row.groups) & set(best.groups)]
    if not alike:
        return f"{said}. All other runs are significantly worse."
    worse = len(others) - len(alike)
    rest = f"; significantly worse: the other {worse}" if worse else ""
    return f"{said}. Not significantly worse: {', '.join(alike)}{rest}."
