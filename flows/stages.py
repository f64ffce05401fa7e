"""One stage of the DVC graph as one Prefect task."""

import re
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from flows.errors import (
    FlowError,
    StageBusyError,
    StageError,
    StageKilledError,
    StageTimeoutError,
)
from flows.processes import DVC, ProcessGroups

CACHED = "Cached"
PATIENT_DVC = (DVC, "--wait-for-lock")
# DVC says only in words that it did not run a command; a test pins both
SKIPPED = ("didn't change, skipping", "is cached - skipping run")
BUSY = ("Unable to acquire lock", "is busy, it is being blocked by")
# how DVC names the end of a command by a signal; a shell in between adds it to 128
KILLED = re.compile(r"exited with (-\d+|129|1[3-5]\d)$")

RETRY_DELAY_SECONDS = 10
TAIL_LINES = 15


def _may_go_better(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Only a lock or a kill is worth a second attempt: a real failure would fail again."""
    result = state.result(raise_on_failure=False)
    return isinstance(result, StageBusyError | StageKilledError)


@task(
    task_run_name="{name}",
    retries=1,
    retry_delay_seconds=RETRY_DELAY_SECONDS,
    retry_condition_fn=_may_go_better,
    cache_policy=NO_CACHE,
)
def run_stage(
    name: str, stale: bool, force: bool, share: bool, hours: float, processes: ProcessGroups
) -> State[float]:
    """Run one stage with `dvc repro`, if it is stale or forced, with its output in the run's log.

    What a signal killed is tried once more, and goes on where it was.

    Args:
        name: Stage name such as `train@bot`.
        stale: DVC might have to run it; if not, DVC is not even started.
        force: Run it even if nothing changed.
        share: Take from DVC's remote what another machine has computed, and give it what this does.
        hours: After how many the stage is ended.
        processes: Where the stage is run.

    Returns:
        A state named `Cached` if DVC had nothing to run, else `Completed`, with seconds as result;
        or a failed state with the error.

    Raises:
        StageBusyError: Another process is in the way.
        StageKilledError: A signal ended it.
    """
    if not stale:
        return Completed(name=CACHED, message="Nothing changed.", data=0.0)
    options = ["--force"] * force + ["--pull"] * share
    title = f"stage '{name}'"
    try:
        command = [*PATIENT_DVC, "repro", "-s", *options, name]
        seconds, lines = run_logged(title, command, processes, hours=hours)
        if any(line.startswith(f"Stage '{name}' {why}") for line in lines for why in SKIPPED):
            return Completed(name=CACHED, message="DVC had nothing to run.", data=seconds)
        if share:
            command = [*PATIENT_DVC, "push", "--run-cache", name]
            seconds += run_logged(f"sharing {title}", command, processes, hours=hours)[0]
    except (StageBusyError, StageKilledError):
        raise
    except FlowError as error:
        # returned, not raised: the log shows the stage's own lines and not a traceback of ours
        return Failed(message=str(error), data=error)
    return Completed(data=seconds)


@task(task_run_name="study {name}", cache_policy=NO_CACHE)
def activate_study(name: str, processes: ProcessGroups) -> None:
    """Put the study `name` in place as the active one.

    Raises:
        StageError: There is no such study, or the active one holds changes.
    """
    run_logged(f"activating study '{name}'", ["reid", "study", "use", name], processes)


def run_logged(
    title: str, command: Sequence[str], processes: ProcessGroups, hours: float = 1.0
) -> tuple[float, list[str]]:
    """Run a command with its output in the log of the current task run.

    Args:
        title: What it is, for an error.
        command: Program and arguments.
        processes: Where it is run.
        hours: After how many it is ended.

    Returns:
        Seconds, and the last lines of the output.

    Raises:
        StageBusyError: Another process is in the way.
        StageKilledError: A signal ended it.
        StageTimeoutError: It was ended since it took longer than `hours`.
        StageError: The exit status is not zero for another reason.
    """
    logger = get_run_logger()
    tail: deque[str] = deque(maxlen=TAIL_LINES)

    def log(line: str) -> None:
        tail.append(line)
        logger.info("%s", line)

    start = time.monotonic()
    try:
        code = processes.run(command, log, hours * 3600)
    except TimeoutError:
        raise StageTimeoutError(title, hours) from None
    seconds = time.monotonic() - start
    if code != 0:
        raise _error_class(code, tail)(title, code, list(tail), seconds)
    return seconds, list(tail)


def _error_class(code: int, lines: Iterable[str]) -> type[StageError]:
    """Tell from exit status and output why a command failed."""
    if any(text in line for line in lines for text in BUSY):
        return StageBusyError
    # the supervisor, DVC itself, or the command below DVC
    killed = code < 0 or 128 < code < 160 or any(KILLED.search(line) for line in lines)
    return StageKilledError if killed else StageError
