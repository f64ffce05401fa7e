"""Watch processes and conditions from outside."""

import time
from collections.abc import Callable
from pathlib import Path


def alive(pid: int) -> bool:
    """A zombie does not count: it is dead and merely not yet collected."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # gone before or while it was read
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Return as soon as `condition` holds; the limit only ends a test that has failed."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
