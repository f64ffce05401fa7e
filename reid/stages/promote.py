"""`reid promote`, `reid demote` and `reid registry`: who is champion, and who decided it."""

from rich.console import Console
from rich.text import Text

from reid.stages.registry_tables import alias_table, gate_table, history_table, version_table
from reid.study import Study, load_study
from reid.tracking.away import store_needed
from reid.tracking.overview import read_overview
from reid.tracking.promotion import Proposal, Rules, demote, promote
from reid.tracking.versions import family_name


def promote_model(model: str, test: str | None, reason: str, *, accept_tie: bool) -> None:
    """Show what the gates find, and make a version champion if all let it pass.

    Args:
        model: A run of the active study, `NAME/VERSION` or `NAME@ALIAS`.
        test: `<dataset>/<protocol>`; None for the home test of the version.
        reason: Is kept in the history.
        accept_tie: Let a difference pass whose interval holds zero.
    """
    study = load_study()
    rules = Rules(study.registration, study.seed, accept_tie)
    with store_needed():
        decision = promote(model, test, reason, rules, lambda run: _family(study, run), _show)
    before = f", after version {decision.predecessor}" if decision.predecessor else ""
    print(f"{decision.run}, version {decision.version}: champion of {decision.test}{before}")


def demote_model(name: str, test: str | None, reason: str) -> None:
    """Take the title of a test from its champion, and give it back to the one before if it may."""
    with store_needed():
        decision = demote(name, test, reason, _show)
    heir = f"version {decision.predecessor}" if decision.predecessor else "nobody"
    print(
        f"{decision.run}, version {decision.version}: champion of {decision.test} no more; {heir}"
    )


def show_registry(name: str | None) -> None:
    """Print versions, aliases and history of a registered model, or of those of the study."""
    prefix = family_name(load_study().study, "") if name is None else ""
    with store_needed():
        models = read_overview(name, prefix)
    console = _console()
    for model in models:
        for table in (version_table(model), alias_table(model), history_table(model)):
            console.print(table)


def _family(study: Study, run: str) -> str:
    return family_name(study.study, study.run(run).train)


def _show(proposal: Proposal) -> None:
    console = _console()
    console.print(gate_table(proposal))
    if proposal.champion:
        console.print(Text(f"champion so far: {proposal.champion}"))


def _console() -> Console:
    console = Console()
    # a log has no width of its own
    return console if console.is_terminal else Console(width=140)
