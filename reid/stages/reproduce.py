"""Train and measure a registered model again, and compare every number."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from warnings import warn

from rich import box
from rich.console import Console
from rich.table import Table

from reid.errors import ReidWarning, ReproductionError
from reid.stages.lineage import find_record
from reid.stages.paths import results_folder
from reid.stages.worktree import fetch_inputs, open_worktree, recorded_code, stage_environment
from reid.tracking.dvc_lock import LOCK_FILE, read_lock
from reid.tracking.lineage_differences import MISSING, Pairs, environment_differences
from reid.tracking.provenance import state_of

WORKTREES = Path(".reid/reproduce")
FIRST = 3
"""How many differences the error names; the table has all."""


def reproduce(model: str, folder: Path | None = None, *, check: bool = False) -> None:
    """Run the stages of a registered model again in a worktree of its code, and compare.

    Args:
        model: See `find_record`.
        folder: Where to make the worktree; None for a folder below `.reid/reproduce`.
        check: Only make the worktree and fetch what is needed.

    Raises:
        RegistryError: There is no such record, or it does not hold all of the code.
        DataError: Commit or data cannot be reached from here.
        ReproductionError: A stage failed, or a number is another one.
    """
    record = find_record(model)
    lineage, run = record["lineage"], record["lineage"]["run"]
    name = f"{record['name']}-v{record['version']}"
    code = recorded_code(lineage)
    _warn(lineage)
    project = open_worktree(folder or WORKTREES / name, WORKTREES / f"{name}.json", code)
    env = stage_environment(project, lineage["environment"]["threads"])
    fetch_inputs(project, lineage, env)
    if check:
        print(f"{name} can be reproduced in {project}")
        return
    # neither a lock file nor the memory of earlier runs: every stage really runs
    command = [sys.executable, "-m", "dvc", "repro", "--no-run-cache", f"evaluate@{run}"]
    code_of_exit = subprocess.run(command, cwd=project, env=env, check=False).returncode
    if code_of_exit:
        raise ReproductionError(
            f"`dvc repro evaluate@{run}` left with exit code {code_of_exit} in {project}",
            "all stages to run",
            "Mend what it names above; the same command goes on.",
        )
    found = json.loads((project / results_folder(lineage["study"]) / f"{run}.json").read_text())
    _compare(name, record["metrics"], found, _other_data(lineage, project))


def metric_differences(then: Mapping[str, float], now: Mapping[str, float]) -> Pairs:
    """Return the metrics that are not the same to the last bit, with all digits."""
    both = {key: (_digits(then.get(key)), _digits(now.get(key))) for key in sorted({*then, *now})}
    return {key: pair for key, pair in both.items() if pair[0] != pair[1]}


def _digits(value: float | None) -> str:
    return MISSING if value is None else repr(float(value))  # distinguishes all doubles


def _warn(lineage: Mapping[str, Any]) -> None:
    if differences := environment_differences(lineage):
        listed = "; ".join(f"{key} {then}, here {now}" for key, (then, now) in differences.items())
        warn(f"other packages or machine, so last bits may differ: {listed}", ReidWarning, 2)
    if (state := state_of(lineage["stages"])).startswith("not"):
        warn(f"{state}; what DVC runs now may be something else", ReidWarning, 2)


def _other_data(lineage: Mapping[str, Any], project: Path) -> list[str]:
    """Name the data sets that came out differently."""
    lock = read_lock(project / LOCK_FILE)
    return [
        path
        for name, stage in lineage["stages"].items()
        if name.startswith("data@") and name in lock
        for path, md5 in stage.get("outs", {}).items()
        if lock[name].outs.get(path) != md5
    ]


def _compare(
    name: str, then: Mapping[str, float], now: Mapping[str, float], other_data: list[str]
) -> None:
    differences = metric_differences(then, now)
    table = Table(title=f"{name}, to the last bit", box=box.SIMPLE_HEAD)
    for column in ("metric", "registered", "reproduced", ""):
        table.add_column(column, justify="left" if column == "metric" else "right", no_wrap=True)
    for key in sorted({*then, *now}):
        equal = key not in differences
        mark = "[green]equal[/green]" if equal else "[bold red]differs[/bold red]"
        table.add_row(key, _digits(then.get(key)), _digits(now.get(key)), mark)
    console = Console()
    (console if console.is_terminal else Console(width=140)).print(table)
    if differences:
        first = [f"{key} {a}, now {b}" for key, (a, b) in list(differences.items())[:FIRST]]
        data = f"; data differ too: {', '.join(other_data)}" if other_data else ""
        raise ReproductionError(
            f"{len(differences)} of {len({*then, *now})} metrics of {name} differ: "
            f"{'; '.join(first)}{data}",
            "the registered numbers to the last bit",
            "Look at `reid lineage` for packages and machine that are others here.",
        )
    print(f"{name}: all {len(then)} metrics are equal to the last bit")
