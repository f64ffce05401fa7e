"""Where a registered model comes from, and what is different here."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from reid.errors import RegistryError
from reid.report.lineage_tree import lineage_tree, short
from reid.stages.paths import registry_file
from reid.study import load_study
from reid.tracking.away import store_needed
from reid.tracking.lineage_differences import Differences, find_differences
from reid.tracking.registered import read_version
from reid.tracking.versions import is_version_name

_HEADINGS = {
    "commit": "Commit",
    "code": "Code and other given inputs",
    "params": "Parameters",
    "made": "Data, models and results",
    "environment": "Packages and machine",
}


def show_lineage(model: str, *, as_json: bool = False) -> None:
    """Print the lineage of a model as a tree, and what is different in this checkout."""
    record = find_record(model)
    differences = find_differences(record["lineage"])
    if as_json:
        told = {**record, "differences": asdict(differences)}
        sys.stdout.write(json.dumps(told, indent=2, sort_keys=True) + "\n")
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)  # a log has no width of its own
    console.print(lineage_tree(f"{record['name']} version {record['version']}", record["lineage"]))
    for line in _lines(differences):
        console.print(line)


def find_record(model: str) -> dict[str, Any]:
    """Find what was registered.

    Args:
        model: Run of the active study, `NAME/VERSION` or `NAME@alias` of the registry, or the file
            of a record.

    Returns:
        What `register_model` returned.

    Raises:
        RegistryError: There is no such record, or it does not say which stages made the model.
        ParamsError: The active study has no such run.
    """
    if model.endswith(".json"):
        record = _read_record(Path(model))
    elif is_version_name(model):
        with store_needed():
            record = read_version(model)
    else:
        study = load_study()
        study.run(model)
        record = _read_record(registry_file(study.study, model))
    if not record["lineage"].get("stages"):
        raise RegistryError(
            f"{model}: its lineage names no stages",
            "a model that `reid register` of this version registered",
            "Register it again.",
        )
    return record


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RegistryError(
            f"{path}: no such file",
            "the record of a registered model",
            "Run `reid register RUN`, or name a version as NAME/VERSION.",
        ) from None
    except ValueError as error:
        record = f"not JSON ({error})"
    if not isinstance(record, dict) or not {"name", "version", "lineage", "metrics"} <= set(record):
        raise RegistryError(
            f"{path}: {record if isinstance(record, str) else 'something else'}",
            "the record of a registered model",
            "Name a file that `reid register` wrote, such as registry/STUDY/RUN.json.",
        )
    return record


def _lines(differences: Differences) -> Iterator[str]:
    yield "[bold]Differences of the present checkout[/bold]"
    if not differences:
        yield "  none"
    for name, heading in _HEADINGS.items():
        pairs: Mapping[str, tuple[str, str]] = getattr(differences, name)
        if pairs:
            yield f"{heading}:"
        for key, (then, now) in pairs.items():
            if name in ("commit", "code", "made"):
                then, now = short(then), short(now)
            yield escape(f"  {key}: {then}, now {now}")
        if pairs and name == "code":
            yield from (escape(f"    {line}") for line in differences.code_stat)
