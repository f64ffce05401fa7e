"""The registry in the terminal: gates, versions, aliases and history as tables."""

from rich import box
from rich.table import Table
from rich.text import Text

from reid.tracking.gates import Gate
from reid.tracking.history import Decision
from reid.tracking.overview import RegisteredModel
from reid.tracking.promotion import Proposal


def gate_table(proposal: Proposal) -> Table:
    """Lay out what each gate found."""
    table = _table(f"{proposal.candidate} as champion of {proposal.test}", "gate", "", "found")
    for gate in proposal.gates:
        table.add_row(gate.name, _verdict(gate), Text(gate.found))
    return table


def version_table(model: RegisteredModel) -> Table:
    """Lay out the versions, with plain mAP in per cent on each test."""
    tests = sorted({test for version in model.versions for test in version.scores})
    names = "version", "run", "method", *tests, "licence", "data", "evaluation"
    table = _table(f"{model.name}: versions (plain mAP, per cent)", *names)
    for version in model.versions:
        scores = (version.scores.get(test) for test in tests)
        table.add_row(
            str(version.version),
            version.run,
            version.method,
            *("" if score is None else f"{100 * score:.2f}" for score in scores),
            Text(version.licence),
            Text(version.status),
            "stored" if version.promotable else "missing",
        )
    return table


def alias_table(model: RegisteredModel) -> Table:
    """Lay out which version each alias points at."""
    runs = {version.version: version.run for version in model.versions}
    table = _table(f"{model.name}: aliases", "alias", "version", "run")
    for alias, version in model.aliases.items():
        table.add_row(alias, str(version), runs.get(version, ""))
    return table


def history_table(model: RegisteredModel) -> Table:
    """Lay out the decisions, the oldest first."""
    names = "when", "who", "what", "test", "version", "predecessor", "reason", "gates"
    table = _table(f"{model.name}: history", *names)
    for decision in model.history:
        table.add_row(
            decision.when,
            Text(decision.who),
            decision.what,
            decision.test,
            f"{decision.version} ({decision.run})",
            "none" if decision.predecessor is None else str(decision.predecessor),
            Text(decision.reason),
            _summary(decision),
        )
    return table


def _summary(decision: Decision) -> Text:
    """Name the gates that say something, which is what failed, was waived, or compared."""
    said = [
        f"{gate.name}: {gate.found}"
        for gate in decision.gates
        if not gate.passed or gate.waived or gate.name == "significance"
    ]
    return Text("; ".join(said))


def _verdict(gate: Gate) -> str:
    if gate.waived:
        return "[yellow]waived[/]"
    return "[green]pass[/]" if gate.passed else "[red]FAIL[/]"


def _table(title: str, *names: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name)
    return table
