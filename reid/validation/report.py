"""What the gate found, as frozen records and as JSON."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from reid.files import write_whole

ITEMS_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of one expectation, or of several that share name and severity.

    Args:
        name: Name of the expectation.
        severity: An `error` stops the pipeline.
        success: Whether it holds.
        says: The expectation in words.
        count: Number of rows that break it.
        items: The first `ITEMS_SHOWN` of them: paths, or what a fact is about.
        pids: The distinct numbers of the persons on these rows.
        remedy: What to do about it.
    """

    name: str
    severity: Literal["error", "warning"]
    success: bool
    says: str
    count: int
    items: tuple[str, ...]
    pids: tuple[int, ...]
    remedy: str


@dataclasses.dataclass(frozen=True)
class GateReport:
    """The outcome of all expectations for one manifest.

    Args:
        dataset: Key of the data set.
        manifest_digest: Digest of the manifest that was looked at.
        suite: Name of the suite.
        expectations: One outcome per name and severity, in the order of the suite.
    """

    dataset: str
    manifest_digest: str
    suite: str
    expectations: tuple[Outcome, ...]

    @property
    def errors(self) -> tuple[Outcome, ...]:
        """What stops the pipeline."""
        return tuple(o for o in self.expectations if not o.success and o.severity == "error")

    @property
    def warnings(self) -> tuple[Outcome, ...]:
        """What the user should look at."""
        return tuple(o for o in self.expectations if not o.success and o.severity == "warning")

    def save(self, path: Path) -> None:
        """Write the report as JSON; it holds no time, so equal data give equal bytes."""
        content = {
            "dataset": self.dataset,
            "manifest_digest": self.manifest_digest,
            "suite": self.suite,
            "success": not self.errors,
            "errors": [outcome.name for outcome in self.errors],
            "warnings": [outcome.name for outcome in self.warnings],
            "expectations": [dataclasses.asdict(outcome) for outcome in self.expectations],
        }
        write_whole(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_outcome(entry: Mapping[str, Any], pid_of: Mapping[str, int]) -> Outcome:
    """Read the outcome of one expectation.

    Args:
        entry: An expectation validation result of Great Expectations, as JSON.
        pid_of: Person by path.
    """
    config, result, trouble = (
        entry["expectation_config"],
        entry["result"],
        entry["exception_info"],
    )
    rows = result.get("partial_unexpected_index_list") or []
    items = [str(row.get("path", row.get("subject"))) for row in rows]
    items += [f"column {name}" for name in _missing_columns(result)]
    if message := _exception(trouble):
        items.append(message)
    return Outcome(
        name=config["meta"]["name"],
        severity="warning" if config["severity"] == "warning" else "error",
        success=entry["success"],
        says=config["description"],
        count=max(int(result.get("unexpected_count") or 0), len(items)),
        items=tuple(items[:ITEMS_SHOWN]),
        pids=tuple(sorted({pid_of[item] for item in items if item in pid_of})),
        remedy=config["meta"]["remedy"],
    )


def merge_outcomes(outcomes: list[Outcome]) -> tuple[Outcome, ...]:
    """Put outcomes of the same name and severity together, at the place of the first."""
    merged: dict[tuple[str, str], Outcome] = {}
    for outcome in outcomes:
        key = (outcome.name, outcome.severity)
        merged[key] = _join(merged[key], outcome) if key in merged else outcome
    return tuple(merged.values())


def _join(first: Outcome, second: Outcome) -> Outcome:
    items = tuple(dict.fromkeys(first.items + second.items))[:ITEMS_SHOWN]
    return dataclasses.replace(
        first,
        success=first.success and second.success,
        says=f"{first.says} {second.says}",
        count=first.count + second.count,
        items=items,
        pids=tuple(sorted({*first.pids, *second.pids})),
    )


def _missing_columns(result: Mapping[str, Any]) -> list[str]:
    mismatched = result.get("details", {}).get("mismatched", {})
    return [str(name) for name in mismatched.get("missing", [])]


def _exception(trouble: Mapping[str, Any]) -> str:
    """Find the message if an expectation could not be computed; it may lie one level down."""
    if trouble.get("raised_exception"):
        return str(trouble["exception_message"])
    messages = [
        str(inner["exception_message"])
        for inner in trouble.values()
        if isinstance(inner, Mapping) and inner.get("raised_exception")
    ]
    return messages[0] if messages else ""
