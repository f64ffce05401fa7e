"""Plain mAP of the runs of a table against each kind of cost."""

from collections.abc import Iterator

from markupsafe import Markup

from reid.report.chart import Axis, Chart
from reid.report.comparison import ComparedRuns
from reid.report.cost import COSTS, cost_cell


def cost_figures(table: ComparedRuns) -> Iterator[Markup]:
    """Draw a chart for each cost that is known, whole, of two runs at least."""
    for name, quantity in COSTS.items():
        known = {
            number: amount
            for number, row in enumerate(table.rows)
            if (amount := row.cost.whole(name)) is not None
        }
        if len(known) < 2:
            continue
        unit = f" ({quantity.unit})" if quantity.unit else ""
        better = "right" if quantity.more else "left"
        levels = [100 * table.rows[number].plain["mAP"] for number in known]
        said = "; ".join(
            f"{table.rows[number].run} {level:.1f} with {cost_cell(table.rows[number].cost, name)}"
            for number, level in zip(known, levels, strict=True)
        )
        chart = Chart(
            f"mAP against {quantity.name} on {table.test_set}: {said}",
            Axis.around(f"{quantity.name}{unit}, better to the {better}", known.values(), True),
            Axis.around("plain mAP (%)", levels, False),
        )
        for (number, amount), level in reversed([*zip(known.items(), levels, strict=True)]):
            row = table.rows[number]
            chart.mark(
                amount, level, number, f"{row.run}: {level:.2f}, {cost_cell(row.cost, name)}"
            )
        yield chart.svg()
