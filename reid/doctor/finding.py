"""One line of the examination: what was looked at, what was found, and the remedy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from reid.errors import first_line

Figure = str | int | float | bool | None
State = Literal["works", "absent", "broken"]


@dataclass(frozen=True)
class Seen:
    """What a probe saw.

    Attributes:
        text: For people, one line.
        figures: The same for programs.
    """

    text: str
    figures: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """What came of one probe.

    Attributes:
        group: Heading below which it is listed.
        name: What was examined.
        state: `works`; `absent`, where one does without; `broken`, where one cannot.
        text: What was found, or what went wrong.
        remedy: What to do, unless it works.
        figures: What was measured.
    """

    group: str
    name: str
    state: State
    text: str
    remedy: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)


def examine(
    group: str, name: str, look: Callable[[], Seen], remedy: str, *, needed: bool = True
) -> Finding:
    """Run one probe; whatever it raises becomes one line.

    Args:
        look: The probe.
        remedy: Shown where it fails.
        needed: A failure is `broken`; otherwise `absent`.
    """
    try:
        seen = look()
    except Exception as error:  # a broken installation raises anything
        return Finding(group, name, "broken" if needed else "absent", first_line(error), remedy)
    return Finding(group, name, "works", seen.text, figures=seen.figures)
