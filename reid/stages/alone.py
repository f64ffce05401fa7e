"""A stage runs once at a time, and does not outlive the DVC that started it."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from reid.errors import ParamsError

LOCKS = Path(".reid/locks")
# one that is just ending, since its DVC was killed, is waited for
PATIENCE_SECONDS = 60.0

# what DVC sets for the commands that it runs
_DVC_STAGE = "DVC_STAGE"
# set for the processes that a stage starts, among them those that share its batches
_HELD = "REID_STAGE_HELD"
_PR_SET_PDEATHSIG = 1


@contextmanager
def one_at_a_time(stage: str) -> Iterator[None]:
    """Keep a second process off the outputs of a stage such as `train@bot`, in this project.

    DVC guards its stages against each other, but forgets them when it is killed, and knows nothing
    of commands that are started by hand.

    Raises:
        ParamsError: Another process is at it; below DVC, still after a minute.
    """
    if os.environ.get(_HELD) == stage:
        yield
        return
    lock = FileLock(LOCKS / f"{stage.replace('/', '_')}.lock")
    LOCKS.mkdir(parents=True, exist_ok=True)
    _acquire(lock, stage)
    os.environ[_HELD] = stage
    try:
        yield
    finally:
        del os.environ[_HELD]
        lock.release()


def _acquire(lock: FileLock, stage: str) -> None:
    """Take the lock; below DVC, which guards its living stages, the holder is likely to end now."""
    try:
        lock.acquire(timeout=PATIENCE_SECONDS if _DVC_STAGE in os.environ else 0)
    except Timeout:
        raise ParamsError(
            f"another process is at {stage}", "one at a time", "Wait for it, or end it."
        ) from None


def end_with_dvc() -> None:
    """Let this process be ended when the DVC that started it dies; nothing without DVC.

    A killed DVC leaves its command running, and starts it a second time when it is called again.
    On Linux; elsewhere the lock alone keeps the two apart.
    """
    if _DVC_STAGE in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def dvc_stage() -> str | None:
    """Return the stage that DVC runs with this command, if it does."""
    return os.environ.get(_DVC_STAGE)
