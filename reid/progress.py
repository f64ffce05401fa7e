"""Progress of long work: a bar in a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Advance = Callable[[int, int], None]

_SECONDS_BETWEEN_LINES = 5.0


def silent(_done: int, _total: int) -> None:
    """Show nothing."""


@contextmanager
def progress(title: str) -> Iterator[Advance]:
    """Yield a function to call with (done, total)."""
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
    else:
        yield _lines(title)


def _lines(title: str) -> Advance:
    shown = time.monotonic()

    def advance(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if done == total or now - shown > _SECONDS_BETWEEN_LINES:
            shown = now
            print(f"{title}: {done}/{total}", file=sys.stderr, flush=True)  # noqa: T201

    return advance
