"""What could not be written to the tracking store yet: `mlruns/spool/<store>/<run>/`.

One journal per run, a JSON line per operation, in the order in which they were written; files that
are to be uploaded lie beside it. `applied` counts the lines that the store has. Every operation may
be applied twice, so a replay that is killed is simply repeated.
"""

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from reid.errors import RegistryError
from reid.files import write_whole
from reid.tracking.away import NO_ROOM, is_away, store_needed
from reid.tracking.operations import OPERATION, Change, File, LoggedFiles, Open, find_run_id
from reid.tracking.store import MLRUNS, SPOOL, open_client, server, without_password

_JOURNAL, _APPLIED, _REFUSED = "journal.jsonl", "applied", "refused.jsonl"

_logger = logging.getLogger(__name__)


class Replayed(NamedTuple):
    """What a replay did.

    Attributes:
        applied: Operations that the store took.
        refused: Those that it will never take; they are kept in `refused.jsonl` of their run.
        whole: Whether the journal came to its end.
    """

    applied: int
    refused: int
    whole: bool


@dataclass(frozen=True)
class Journal:
    """The operations of one run that wait for the store.

    Args:
        folder: Where they lie; it exists while something waits, or was refused.
        key: The id by which the run is known, see `find_run_id`.
    """

    folder: Path
    key: str

    @property
    def pending(self) -> bool:
        """Whether anything waits: then whatever comes later must wait behind it."""
        return (self.folder / _JOURNAL).exists()

    @property
    def waiting(self) -> int:
        """Number of operations that wait."""
        return len(self._lines()) - self._applied() if self.pending else 0

    @property
    def refused(self) -> int:
        """Number of operations that the store refused."""
        return len(_whole_lines(self.folder / _REFUSED))

    def append(self, operation: Open | Change) -> None:
        """Write an operation down, to the disk, with the files that it names.

        Raises:
            OSError: The disk is full.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        line = OPERATION.dump_json(self._with_files(operation)) + b"\n"
        with _lock(self.folder.parent), (self.folder / _JOURNAL).open("ab+") as file:
            _drop_torn_line(file)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def replay(self, client: MlflowClient, root: Path, until: float | None = None) -> Replayed:
        """Apply what waits, in order, and remove it.

        Args:
            until: Time of `time.monotonic` at which to stop; the rest waits for the next replay.

        Raises:
            Exception: The store is away, see `is_away`; the rest waits.
        """
        taken = refused = 0
        run_id: str | None = None
        while lines := self._take():
            for line in lines:
                if until is not None and time.monotonic() > until:
                    return Replayed(taken, refused, False)
                try:
                    run_id = self._apply(client, root, run_id, line)
                    taken += 1
                except Exception as error:
                    if is_away(error):
                        raise
                    self._refuse(line, error)
                    refused += 1
                write_whole(self.folder / _APPLIED, str(self._applied() + 1))
        return Replayed(taken, refused, True)

    def _apply(self, client: MlflowClient, root: Path, run_id: str | None, line: bytes) -> str:
        operation = OPERATION.validate_json(line)
        if isinstance(operation, Open):
            return operation.apply_to(client, root)
        run_id = run_id or find_run_id(client, self.key)
        if run_id is None:
            raise MlflowException(f"run {self.key} is not in this store")
        operation.apply(client, run_id, self.folder)
        return run_id

    def _take(self) -> list[bytes]:
        """Return the lines to apply; where there are none, remove journal and files."""
        with _lock(self.folder.parent):
            rest = self._lines()[self._applied() :]
            if not rest and self.folder.exists():
                # the journal goes first: without it the rest has no meaning
                (self.folder / _JOURNAL).unlink(missing_ok=True)
                (self.folder / _APPLIED).unlink(missing_ok=True)
                if not self.refused:  # what was refused may still need its files
                    shutil.rmtree(self.folder)
        return rest

    def _refuse(self, line: bytes, error: Exception) -> None:
        why = " ".join(str(error).split())
        with (self.folder / _REFUSED).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"why": why, "operation": json.loads(line)}) + "\n")
        _logger.warning(
            "MLflow refused a record of run %s, kept in %s: %s", self.key, file.name, why
        )

    def _with_files(self, operation: Open | Change) -> Open | Change:
        """Copy what an operation uploads; where there is no room for a copy, name the original."""
        if isinstance(operation, File):
            return operation.model_copy(update={"source": self._keep(operation.source)})
        if isinstance(operation, LoggedFiles):
            kept = tuple(self._keep(source) for source in operation.sources)
            return operation.model_copy(update={"sources": kept})
        return operation

    def _keep(self, source: Path) -> Path:
        place = Path("files") / f"{time.time_ns()}" / source.name
        (self.folder / place).parent.mkdir(parents=True)
        try:
            shutil.copyfile(source, self.folder / place)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            shutil.rmtree((self.folder / place).parent)
            return source.absolute()
        return place

    def _lines(self) -> list[bytes]:
        return _whole_lines(self.folder / _JOURNAL)

    def _applied(self) -> int:
        path = self.folder / _APPLIED
        return int(path.read_text(encoding="utf-8")) if path.exists() else 0


def journal_of(root: Path, key: str) -> Journal:
    """Return the journal of a run, for the store that is in use now."""
    return Journal(_folder(root) / key, key)


def journals(root: Path = MLRUNS) -> list[Journal]:
    """Return all runs of which something waits for this store, or was refused, oldest first."""
    folders = [path for path in _folder(root).glob("*") if path.is_dir()]
    return [Journal(path, path.name) for path in sorted(folders, key=lambda p: p.stat().st_ctime)]


@contextmanager
def replay_turn(root: Path) -> Iterator[bool]:
    """Take the turn to replay; yield whether it is ours, or another process has it."""
    folder = _folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".replay.lock", timeout=0):
            yield True
    except Timeout:
        yield False


def replay_all(client: MlflowClient, root: Path = MLRUNS) -> Replayed:
    """Replay every journal, unless another process does.

    Raises:
        Exception: The store is away, see `is_away`; what waits goes on waiting.
    """
    waiting = [journal for journal in journals(root) if journal.pending]
    if not waiting:
        return Replayed(0, 0, True)
    with replay_turn(root) as ours:
        done = [journal.replay(client, root) for journal in waiting] if ours else []
    applied, refused = (sum(each[part] for each in done) for part in (0, 1))
    if applied or refused:
        _logger.warning("MLflow: %d records that had waited are written now", applied)
    return Replayed(applied, refused, ours)


def replay_now(root: Path = MLRUNS) -> Replayed:
    """Replay every journal, because somebody asked for it.

    Raises:
        RegistryError: The store is away, or another process replays.
    """
    if not any(journal.pending for journal in journals(root)):
        return Replayed(0, 0, True)
    with store_needed():
        done = replay_all(open_client(root), root)
    if not done.whole:
        raise RegistryError("another process replays", "one at a time", "Wait for it.")
    return done


def describe(root: Path = MLRUNS) -> str:
    """Say where the store is and what waits for it, a line per run."""
    found = journals(root)
    lines = [f"store: {without_password(server() or str(root))}"]
    lines += [
        f"run {journal.key}: {journal.waiting} waiting, {journal.refused} refused; {journal.folder}"
        for journal in found
    ]
    return "\n".join(lines if found else [*lines, "nothing waits"])


def _folder(root: Path) -> Path:
    """Return the spool of the store in use: what is meant for one server goes to no other."""
    address = server()
    name = "local" if address is None else hashlib.sha256(address.encode()).hexdigest()[:16]
    return root / SPOOL / name


def _lock(folder: Path) -> FileLock:
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / ".lock")


def _whole_lines(path: Path) -> list[bytes]:
    """Return the lines of a file; one that was being written when its process died is none."""
    if not path.exists():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def _drop_torn_line(file: BinaryIO) -> None:
    """Cut off what a process that died left of a line."""
    file.seek(0)
    content = file.read()
    if content and not content.endswith(b"\n"):
        file.truncate(content.rfind(b"\n") + 1)
