"""Which flow runs of a project are alive: one whose process died is not shown running for ever.

Every flow run holds a file lock while its process lives; the hold ends with the process, however it
ends. Whoever comes next finds the file without a holder, frees what the dead run had taken and
tells the server that it crashed.
"""

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from reid.files import write_whole

FOLDER = ".dvc/tmp/flow_runs"
DIED = "Its process died; what it had finished is kept. Start the flow again to go on."


class LiveFlowRun:
    """The mark of this flow run in the project, for as long as its process lives.

    Args:
        project: The project's folder.
        flow_run: Id of the flow run.
    """

    def __init__(self, project: Path, flow_run: UUID) -> None:
        self.id = flow_run
        self._lock = project / FOLDER / f"{flow_run}.lock"

    def __enter__(self) -> "LiveFlowRun":
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        new = self._lock.with_suffix(".new")
        self._file = new.open("a")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        # held before it can be seen: a file without a holder always means a dead run
        new.replace(self._lock)
        return self

    def __exit__(self, *_: object) -> None:
        _leases_file(self._lock).unlink(missing_ok=True)
        self._lock.unlink(missing_ok=True)
        self._file.close()

    def note_leases(self, leases: Sequence[UUID]) -> None:
        """Note which leases on slots this run holds now."""
        write_whole(_leases_file(self._lock), json.dumps([str(lease) for lease in leases]))


def settle_dead_runs(project: Path) -> list[UUID]:
    """Tell the server of runs whose process died, free their slots, and return their ids.

    A server that does not answer, or refuses, leaves them for the next call.
    """
    settled: list[UUID] = []
    locks = sorted((project / FOLDER).glob("*.lock"))
    if not locks:
        return settled
    with get_client(sync_client=True) as client:
        for lock in locks:
            with _taken(lock) as dead, suppress(httpx.HTTPError):
                if dead:
                    _release(client, _leases_file(lock))
                    _mark_crashed(client, UUID(lock.stem))
                    _leases_file(lock).unlink(missing_ok=True)
                    lock.unlink(missing_ok=True)
                    settled.append(UUID(lock.stem))
    return settled


@contextmanager
def _taken(lock: Path) -> Iterator[bool]:
    """Yield whether the lock had no holder; it is held meanwhile, so that one settler is at it."""
    file: IO[str]
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _leases_file(lock: Path) -> Path:
    return lock.with_suffix(".json")


def _release(client: SyncPrefectClient, leases: Path) -> None:
    for lease in json.loads(leases.read_text(encoding="utf-8")) if leases.exists() else ():
        # one that has run out by now is unknown to the server
        with suppress(httpx.HTTPStatusError):
            client.release_concurrency_slots_with_lease(UUID(lease))


def _mark_crashed(client: SyncPrefectClient, flow_run: UUID) -> None:
    try:
        state = client.read_flow_run(flow_run).state
    except ObjectNotFound:  # of another server, or deleted there
        return
    if state is None or not state.is_final():
        client.set_flow_run_state(flow_run, Crashed(message=DIED), force=True)
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
    for task in client.read_task_runs(flow_run_filter=mine):
        if task.state is None or not task.state.is_final():
            client.set_task_run_state(task.id, Crashed(message=DIED), force=True)
