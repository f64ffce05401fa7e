"""What the gate found, as frozen records and as JSON."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from reid.files import write_whole
from reid.validation.rules import STORED_AS, Severity

ITEMS_SHOWN = 20

_SEVERITIES: dict[str, Severity] = {word: severity for severity, word in STORED_AS.items()}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of one expectation, or of several that share name and severity.

    Args:
        name: Name of the expectation.
        severity: An `error` stops the pipeline, a `warning` is something to look at, an `info` is
            only told.
        success: Whether it holds; an `info` has nothing to hold and always succeeds.
        says: The expectation in words.
        count: Number of rows that break it, or, for an `info`, that stand out.
        items: The first `ITEMS_SHOWN` of them: paths, or what a fact is about.
        pids: The distinct numbers of the persons on these rows.
        remedy: What to do about it.
    """

    name: str
    severity: Severity
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
        counts: Per split what `reid.data.manifest.count_splits` counts.
        expectations: One outcome per name and severity, in the order of the suite.
    """

    dataset: str
    manifest_digest: str
    suite: str
    counts: Mapping[str, Mapping[str, int]]
    expectations: tuple[Outcome, ...]

    @property
    def errors(self) -> tuple[Outcome, ...]:
        """What stops the pipeline."""
        return tuple(o for o in self.expectations if not o.success and o.severity == "error")

    @property
    def warnings(self) -> tuple[Outcome, ...]:
        """What the user should look at."""
        return tuple(o for o in self.expectations if not o.success and o.severity == "warning")

    @property
    def notes(self) -> tuple[Outcome, ...]:
        """What stands out, without being wrong."""
        return tuple(o for o in self.expectations if o.severity == "info" and o.count)

    @property
    def verdict(self) -> str:
        """The report in one line."""
        failed, warned, noted = (
            _number(outcomes, word)
            for outcomes, word in (
                (self.errors, "error"),
                (self.warnings, "warning"),
                (self.notes, "note"),
            )
        )
        if self.errors:
            names = ", ".join(outcome.name for outcome in self.errors)
            return f"FAILED: {failed} ({names}), {warned}, {noted}"
        return f"PASSED: no error, {warned}, {noted}; {len(self.expectations)} expectations"

    def save(self, path: Path) -> None:
        """Write the report as JSON; it holds no time, so equal data give equal bytes."""
        content = {
            "dataset": self.dataset,
            "manifest_digest": self.manifest_digest,
            "suite": self.suite,
            "success": not self.errors,
            "errors": [outcome.name for outcome in self.errors],
            "warnings": [outcome.name for outcome in self.warnings],
            "notes": [outcome.name for outcome in self.notes],
            "counts": {split: dict(cells) for split, cells in self.counts.items()},
            "expectations": [dataclasses.asdict(outcome) for outcome in self.expectations],
        }
        write_whole(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_outcome(entry: Mapping[str, Any]) -> Outcome:
    """Read the outcome of one expectation, without the persons concerned.

    Args:
        entry: An expectation validation result of Great Expectations, as JSON.
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
    severity = _SEVERITIES[config["severity"]]
    return Outcome(
        name=config["meta"]["name"],
        severity=severity,
        success=entry["success"] or (severity == "info" and not message),
        says=config["description"],
        count=max(int(result.get("unexpected_count") or 0), len(items)),
        items=tuple(items[:ITEMS_SHOWN]),
        pids=(),
        remedy=config["meta"]["remedy"],
    )


def add_persons(outcomes: Iterable[Outcome], frame: pd.DataFrame) -> tuple[Outcome, ...]:
    """Name the persons on the images that outcomes list.

    Args:
        outcomes: As read.
        frame: Rows of the manifest.
    """
    outcomes = tuple(outcomes)
    listed = {item for outcome in outcomes for item in outcome.items}
    rows = frame[frame["path"].isin(listed) & frame["pid"].notna()]
    pid_of = dict(zip(rows["path"], rows["pid"].astype(int), strict=True))
    return tuple(
        dataclasses.replace(
            outcome, pids=tuple(sorted({pid_of[i] for i in outcome.items if i in pid_of}))
        )
        for outcome in outcomes
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
        remedy=second.remedy if first.success and not second.success else first.remedy,
    )


def _number(outcomes: Sequence[Outcome], word: str) -> str:
    return f"{len(outcomes) or 'no'} {word}{'' if len(outcomes) < 2 else 's'}"


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
