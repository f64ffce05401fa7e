"""The whole examination, as a table or as JSON."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reid.doctor.finding import Finding
from reid.errors import MachineError, first_line

MARKS = {"works": ("yes", "green"), "absent": ("no", "yellow"), "broken": ("BROKEN", "bold red")}
PARTS = {
    "machine": "reid.doctor.machine",
    "packages": "reid.doctor.software",
    "project": "reid.doctor.project",
    "trials": "reid.doctor.trials",
    "selective scan": "reid.doctor.scans",
}
"""Modules with a function `findings`; importing one may fail already where much is missing."""


def doctor(*, as_json: bool = False) -> None:
    """Examine this machine and print what was found; it takes up to half a minute.

    Raises:
        MachineError: A part without which nothing works is missing or broken.
    """
    findings = _examine_all()
    broken = [
        f"{finding.group} {finding.name}" for finding in findings if finding.state == "broken"
    ]
    if as_json:
        record = {"works": not broken, "findings": [asdict(finding) for finding in findings]}
        sys.stdout.write(json.dumps(record, indent=2) + "\n")
    else:
        console = Console()
        # a log has no width of its own
        (console if console.is_terminal else Console(width=120)).print(table_of(findings))
    if broken:
        raise MachineError(
            f"broken here: {', '.join(broken)}",
            "all of it to work",
            "Follow the remedies that `reid doctor` lists.",
        )


def table_of(findings: Sequence[Finding]) -> Table:
    """Lay out the findings below the headings of their groups; remedies stand below."""
    view = Table(box=box.SIMPLE_HEAD)
    view.add_column("part", no_wrap=True)
    view.add_column("works", no_wrap=True)
    view.add_column("found", overflow="fold")
    group = None
    for finding in findings:
        if finding.group != group:
            if group is not None:
                view.add_section()
            group = finding.group
            view.add_row(Text(group, "bold"))
        found = Text(finding.text)
        if finding.remedy:
            found.append(f"\n{finding.remedy}", "dim")
        view.add_row(Text(f"  {finding.name}"), Text(*MARKS[finding.state]), found)
    return view


def _examine_all() -> list[Finding]:
    console = Console(stderr=True)
    found: list[Finding] = []
    if not console.is_terminal:
        return [finding for group in PARTS for finding in _look(group)]
    with console.status("") as status:
        for group in PARTS:
            status.update(f"looking at {group}")
            found += _look(group)
    return found


def _look(group: str) -> list[Finding]:
    try:
        found: list[Finding] = import_module(PARTS[group]).findings()
    except Exception as error:  # a broken installation raises anything
        return [Finding(group, "all of it", "broken", first_line(error), "Run `make install`.")]
    return found
