"""Numbers for the persons, cameras and views that people name as they like."""

import json
import re
from collections.abc import Iterable, Mapping

from reid.errors import DataError

MOST_CAMERAS, MOST_VIEWS = 1 << 15, 1 << 7

JUNK = "-1"
"""Name of what is nobody: such images are never scored and never trained on."""

PERSON = "person"
"""Attribute that keeps the name of a person whose number is not the name."""

_WHOLE = re.compile(r"[0-9]{1,19}")


def number_people(names: Iterable[str]) -> dict[str, int]:
    """Give each person a number: the name if all names are whole numbers, else its rank from 0.

    Raises:
        DataError: Two names are the same number.
    """
    distinct = set(names)
    if are_numbers(distinct):
        return _as_numbers(distinct, PERSON)
    return {name: rank for rank, name in enumerate(sorted(distinct))}


def rank_names(names: Iterable[str], what: str, most: int) -> dict[str, int]:
    """Give each name its rank from 0, in the order of numbers if all are whole numbers.

    Args:
        names: Names, in any order and number.
        what: What they name, for messages.
        most: How many a manifest can hold.

    Raises:
        DataError: Two names are the same number, or there are too many.
    """
    distinct = set(names)
    if len(distinct) > most:
        raise DataError(
            f"{len(distinct)} {what}s, such as '{min(distinct)}'",
            f"at most {most}",
            f"Correct what is taken for the {what}.",
        )
    numbers = _as_numbers(distinct, what) if are_numbers(distinct) else None
    ordered = sorted(distinct, key=numbers.__getitem__) if numbers else sorted(distinct)
    return {name: rank for rank, name in enumerate(ordered)}


def are_numbers(names: Iterable[str]) -> bool:
    """Tell whether all names are whole numbers that a manifest can hold."""
    return all(_WHOLE.fullmatch(name) and int(name) < 1 << 63 for name in names)


def attributes(values: Mapping[str, object]) -> str | None:
    """Write attributes as the manifest keeps them; None if there are none."""
    return json.dumps(values, sort_keys=True, ensure_ascii=False, default=str) if values else None


def _as_numbers(names: Iterable[str], what: str) -> dict[str, int]:
    first: dict[int, str] = {}
    for name in sorted(names):
        other = first.setdefault(int(name), name)
        if other != name:
            raise DataError(
                f"{what}s '{other}' and '{name}' are the same number",
                f"one spelling of each {what}",
                "Rename one of them.",
            )
    return {name: number for number, name in first.items()}
