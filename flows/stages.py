"""One stage of the DVC graph as one Prefect task."""

import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from flows.errors import FlowError, StageBusyError, StageError
from flows.processes import ProcessGroups

CACHED = "Cached"
# DVC says only in words that it did not run a command; a test pins both
SKIPPED = ("didn't change, skipping", "is cached - skipping run")
BUSY = ("Unable to acquire lock", "is busy, it is being blocked by")

BUSY_DELAY_SECONDS = 10
TAIL_LINES = 15


def _was_busy(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Only a lock is worth a second attempt: a real failure would fail again."""
    return isinstance(state.result(raise_on_failure=False), StageBusyError)


@task(
    task_run_name="{name}",
    retries=1,
    retry_delay_seconds=BUSY_DELAY_SECONDS,
    retry_condition_fn=_was_busy,
    cache_policy=NO_CACHE,
)
def run_stage(name: str, stale: bool, force: bool, processes: ProcessGroups) -> State[float]:
    """Run one stage with `dvc repro`, if it is stale or forced, with its output in the run's log.

    Args:
        name: Stage name such as `train@bot`.
        stale: DVC might have to run it; if not, DVC is not even started.
        force: Run it even if nothing changed.
        processes: Where the stage is run.

    Returns:
        A state named `Cached` if DVC had nothing to run, else `Completed`, with seconds as result;
        or a failed state with the `StageError`.

    Raises:
        StageBusyError: Another process is in the way.
    """
    if not stale:
        return Completed(name=CACHED, message="Nothing changed.", data=0.0)
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "-s", name]
    if force:
        command.append("--force")
    try:
        seconds, lines = run_logged(f"stage '{name}'", command, processes)
    except StageBusyError:
        raise
    except FlowError as error:
        # returned, not raised: the log shows the stage's own lines and not a traceback of ours
        return Failed(message=str(error), data=error)
    if any(line.startswith(f"Stage '{name}' {why}") for line in lines for why in SKIPPED):
        return Completed(name=CACHED, message="DVC had nothing to run.", data=seconds)
    return Completed(data=seconds)


@task(task_run_name="study {name}", cache_policy=NO_CACHE)
def activate_study(name: str, processes: ProcessGroups) -> None:
    """Put the study `name` in place as the active one.

    Raises:
        StageError: There is no such study, or the active one holds changes.
    """
    run_logged(f"activating study '{name}'", ["reid", "study", "use", name], processes)


def run_logged(
    title: str, command: Sequence[str], processes: ProcessGroups
) -> tuple[float, list[str]]:
    """Run a command with its output in the log of the current task run.

    Returns:
        Seconds, and the last lines of the output.

    Raises:
        StageBusyError: Another process is in the way.
        StageError: The exit status is not zero.
    """
    logger = get_run_logger()
    tail: deque[str] = deque(maxlen=TAIL_LINES)

    def log(line: str) -> None:
        tail.append(line)
        logger.info("%s", line)

    start = time.monotonic()
    code = processes.run(command, log)
    seconds = time.monotonic() - start
    if code != 0:
        busy = any(text in line for line in tail for text in BUSY)
        raise (StageBusyError if busy else StageError)(title, code, list(tail), seconds)
    return seconds, list(tail)
