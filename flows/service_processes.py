"""The processes of a service: which they are, and how they are ended, with all their children."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from reid.files import write_whole

# every process that a service starts inherits it, whatever becomes of its parent or its session
MARK = "REID_SERVICE"
# what Prefect gives to the process of a flow run
FLOW_RUN = "PREFECT__FLOW_RUN_ID"
# a flow has its stages to end, which takes them 2 s
GRACE_SECONDS = 15.0
POLL_SECONDS = 0.1
# the system says when a process began to the hundredth of a second, counted from its own start
SAME_START_SECONDS = 1.0


@dataclass(frozen=True)
class ServiceRecord:
    """What is remembered of a service that was started.

    Attributes:
        pid: Its first process, the leader of a session.
        started: When that began, in seconds since 1970; tells it from a later owner of the number.
        port: Where it listens; None if it does not.
    """

    pid: int
    started: float
    port: int | None

    @property
    def process(self) -> psutil.Process | None:
        """The process, if it still runs."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < SAME_START_SECONDS
            if same and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


def write_record(path: Path, pid: int, port: int | None) -> None:
    """Remember a process that was just started."""
    record = ServiceRecord(pid, psutil.Process(pid).create_time(), port)
    write_whole(path, json.dumps(asdict(record)) + "\n")


def read_record(path: Path) -> ServiceRecord | None:
    """Return what is remembered; None if there is nothing, or nothing that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return ServiceRecord(int(found["pid"]), float(found["started"]), found["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def end_service(mark: str, record: ServiceRecord | None) -> int:
    """End the processes of a service, SIGTERM first and SIGKILL after a grace.

    Only those that nobody above them would end get a signal at first: a server ends its own
    children, a flow its stages. What outlives them is ended in the next round.

    Args:
        mark: The value of `MARK` of its processes.
        record: Where it is known; its children count too, even without a mark that can be read.

    Returns:
        How many processes there were.
    """
    deadline = time.monotonic() + GRACE_SECONDS
    known, told = set[psutil.Process](), set[psutil.Process]()
    while members := _members(mark, record, known):
        known |= members
        late = time.monotonic() > deadline
        heads = {each for each in members if not _parents(each) & members}
        for process in members if late else heads - told:
            with suppress(psutil.NoSuchProcess):
                process.kill() if late else process.terminate()
        told |= heads
        time.sleep(POLL_SECONDS)
    return len(known)


def flow_runs_with_process() -> set[str]:
    """Return the ids of the flow runs of which a process runs here, whoever started it."""
    found = (_environment(process).get(FLOW_RUN) for process in _processes())
    return {run for run in found if run}


def _members(
    mark: str, record: ServiceRecord | None, known: set[psutil.Process]
) -> set[psutil.Process]:
    marked = {each for each in _processes() if _environment(each).get(MARK) == mark}
    family = {each for each in known if _runs(each)}
    if record is not None and (first := record.process) is not None:
        family.add(first)
        with suppress(psutil.Error):
            family.update(first.children(recursive=True))
    myself = psutil.Process()
    # who calls from a stage of a flow would else end before it is done
    return (marked | family) - {myself, *_parents(myself)}


def _processes() -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        if _runs(process):
            yield process


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _environment(process: psutil.Process) -> dict[str, str]:
    # those of other users cannot be read; they are not ours
    with suppress(psutil.Error, OSError):
        if process.uids().real == os.getuid():
            return dict(process.environ())
    return {}


def _parents(process: psutil.Process) -> set[psutil.Process]:
    with suppress(psutil.Error):
        return set(process.parents())
    return set()
