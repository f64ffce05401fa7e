"""Matching curves of the runs of a table, plain and re-ranked in charts of their own."""

from markupsafe import Markup

from reid.report.chart import Axis, Chart
from reid.report.comparison import ComparedRuns
from reid.retrieval.evaluate import PLAIN


def matching_figure(table: ComparedRuns, setting: str = PLAIN) -> Markup:
    """Draw the share of queries with a match up to each rank, of runs that have the setting."""
    curves = {
        number: 100 * row.curves[setting]
        for number, row in enumerate(table.rows)
        if setting in row.curves
    }
    least = 10 * (min(curve.min() for curve in curves.values()) // 10)
    longest = max(len(curve) for curve in curves.values())
    firsts = ", ".join(f"{table.rows[n].run} {curve[0]:.1f}" for n, curve in curves.items())
    chart = Chart(
        f"Matching curves, {setting}, on {table.test_set}; per cent at rank 1: {firsts}",
        Axis("rank", 1, max(2, longest)),
        Axis("queries with a match so far (%)", min(least, 90), 100),
        (440, 300),
    )
    for number, curve in reversed(curves.items()):  # the best on top
        points = enumerate(curve.tolist(), start=1)
        chart.line(points, number, f"{table.rows[number].run}: {curve[0]:.2f} % at rank 1")
    return chart.svg()
