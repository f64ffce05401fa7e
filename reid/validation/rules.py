"""A rule of a suite: one expectation, how severe it is, and what to do if it does not hold."""

import dataclasses
from typing import Any, Literal

Table = Literal["images", "facts"]
TABLES: tuple[Table, ...] = ("images", "facts")

Severity = Literal["error", "warning", "info"]
STORED_AS: dict[Severity, str] = {"error": "critical", "warning": "warning", "info": "info"}
"""Severity to the word of Great Expectations."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """One expectation of the suite.

    Args:
        name: Name under which the rule is reported; several expectations may share one.
        kind: Great Expectations' name of the expectation type.
        arguments: What the type takes.
        says: The expectation in words.
        remedy: What to do if it does not hold.
        table: Whether it looks at the images or at the facts of the whole.
        severity: An `error` stops the pipeline, a `warning` is something to look at, and an `info`
            never fails: it lists what stands out.
    """

    name: str
    kind: str
    arguments: dict[str, Any]
    says: str
    remedy: str
    table: Table = "images"
    severity: Severity = "error"

    def to_json(self) -> dict[str, Any]:
        """Write the rule as Great Expectations stores an expectation."""
        return {
            "type": self.kind,
            "kwargs": self.arguments,
            "severity": STORED_AS[self.severity],
            "description": self.says,
            "meta": {"name": self.name, "table": self.table, "remedy": self.remedy},
        }


def holds(name: str, says: str, remedy: str, column: str = "", **more: Any) -> Rule:
    """Build a rule whose column, named like the rule if not given, must be true everywhere."""
    arguments = {"column": column or name, "value_set": [True]}
    return Rule(name, "expect_column_values_to_be_in_set", arguments, says, remedy, **more)


def within(
    name: str, column: str, bounds: dict[str, float], says: str, remedy: str, **more: Any
) -> Rule:
    """Build a rule whose column must lie within bounds."""
    arguments = {"column": column, **bounds}
    return Rule(name, "expect_column_values_to_be_between", arguments, says, remedy, **more)
