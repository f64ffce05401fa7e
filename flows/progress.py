"""How far a walk is: a progress artifact with the time that it took and that it may still take."""

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import cast
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows.graph import kind_of
from flows.summary import StageOutcome
from reid.files import write_whole

# of this machine, so not in git: seconds of each stage when it last ran here
SECONDS = ".dvc/tmp/stage_seconds.json"


class Progress:
    """Shows a walk's progress on the Prefect page; a server that is away misses some of it.

    Args:
        project: The project's folder.
        names: All stages of the walk.
        to_run: Those that may have to run.
        at_once: How many run side by side.
    """

    def __init__(
        self, project: Path, names: Iterable[str], to_run: Iterable[str], at_once: int
    ) -> None:
        self._file = project / SECONDS
        self._known = _read(self._file)
        self._total, self._done = len(list(names)), 0
        self._waiting = set(to_run)
        self._at_once = at_once
        self._begun = time.monotonic()
        self._artifact: UUID | None = None
        with suppress(httpx.HTTPError):
            made = create_progress_artifact(0.0, key="progress", description=self.text)
            self._artifact = cast(UUID, made)

    def note(self, outcome: StageOutcome) -> None:
        """Take the end of a stage."""
        self._done += 1
        self._waiting.discard(outcome.name)
        if outcome.state == "Completed" and outcome.seconds:
            self._known[outcome.name] = round(outcome.seconds, 2)
            write_whole(self._file, json.dumps(self._known, indent=1, sort_keys=True))
        # a row of cached stages ends within a second: only what took time is worth a call
        if outcome.seconds or self._done == self._total:
            self._show()

    @property
    def text(self) -> str:
        """For example `7 of 33 stages after 2:10 min, about 4:05 min left`."""
        spent = _minutes(time.monotonic() - self._begun)
        text = f"{self._done} of {self._total} stages after {spent} min"
        guesses = [self._guess(name) for name in self._waiting]
        known = [guess for guess in guesses if guess is not None]
        if not guesses or len(known) < len(guesses):
            return text
        return f"{text}, about {_minutes(sum(known) / self._at_once)} min left"

    def _guess(self, name: str) -> float | None:
        """Seconds of the last time, or of others of its kind; None if none ever ran here."""
        if name in self._known:
            return self._known[name]
        kin = [seconds for other, seconds in self._known.items() if kind_of(other) == kind_of(name)]
        return sum(kin) / len(kin) if kin else None

    def _show(self) -> None:
        with suppress(httpx.HTTPError):
            if self._artifact is not None:
                share = 100 * self._done / self._total
                update_progress_artifact(self._artifact, share, description=self.text)


def _read(file: Path) -> dict[str, float]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return {str(name): float(seconds) for name, seconds in found.items()}


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
