"""Where a run is written: to the store, and while that is away to the spool."""

import logging
import time
from pathlib import Path

from mlflow import MlflowClient

from reid.tracking.away import is_away, is_full, quiet, reason
from reid.tracking.operations import Change, File, LoggedFiles, Open, Text, find_run_id
from reid.tracking.spool import journal_of, replay_turn
from reid.tracking.store import open_client

RETRY_SECONDS = 10.0  # between two attempts to reach a store that is away
PATIENCE = 20  # an attempt that took long is repeated after so many times its duration
SLICE_SECONDS = 2.0  # of replaying, at most, while a training waits

_logger = logging.getLogger(__name__)


class Outlet:
    """Writes operations of one run in order; none is lost while the store is away.

    Args:
        key: The id by which the run is known.
        client: Of the store; None to begin with one that is away.
    """

    def __init__(self, root: Path, key: str, client: MlflowClient | None) -> None:
        self.key = key
        self._root, self._client = root, client
        self._journal = journal_of(root, key)
        self._run_id: str | None = None
        self._away = False
        self._held: list[Open | Change] = []  # for which even the spool has no room
        self._retry_at = 0.0

    @property
    def client(self) -> MlflowClient:
        """A client of the store, which may be away."""
        if self._client is None:
            self._client = open_client(self._root)
        return self._client

    @property
    def run_id(self) -> str:
        """The id of the run in the store; while the store has not named it, the one it has here."""
        return self._run_id or self.key

    def is_known(self) -> bool:
        """Tell whether the store knows the run."""
        self._run_id = find_run_id(self.client, self.key)
        return self._run_id is not None

    def write(self, operation: Open | Change) -> None:
        """Write one operation, behind all that still wait.

        Raises:
            Exception: The store refuses it.
        """
        if not self._held and not self._journal.pending:
            self._say_back()
            begun = time.monotonic()
            try:
                with quiet():
                    self._apply(operation)
                return
            except Exception as error:
                if not is_away(error):
                    raise
                self._wait(time.monotonic() - begun)
                self._say_away(operation, error)
        self._store(operation)
        if time.monotonic() >= self._retry_at:
            self.replay(SLICE_SECONDS)

    def replay(self, seconds: float) -> None:
        """Try to write what waits, for so many seconds at most."""
        begun = time.monotonic()
        try:
            with quiet(), replay_turn(self._root) as ours:
                if ours and not self._held:
                    self._journal.replay(self.client, self._root, begun + seconds)
                    self._run_id = self._run_id or find_run_id(self.client, self.key)
        except Exception as error:
            if not is_away(error):
                raise
            self._wait(time.monotonic() - begun)
        if not self._held and not self._journal.pending:
            self._say_back()

    def close(self) -> None:
        """Try once more to write what waits, and say what goes on waiting."""
        if self._held or self._journal.pending:
            self.replay(SLICE_SECONDS * 15)
        if self._held:
            _logger.warning(
                "MLflow: the disk has no room to keep the last %d records of run %s; losses of "
                "every epoch are in `history.csv` of the model folder",
                len(self._held),
                self.run_id,
            )
        elif self._journal.pending:
            _logger.warning(
                "MLflow: %d records of run %s wait in %s; the next stage writes them, or "
                "`reid tracking replay`",
                self._journal.waiting,
                self.run_id,
                self._journal.folder,
            )

    def _apply(self, operation: Open | Change) -> None:
        if isinstance(operation, Open):
            self._run_id = operation.apply_to(self.client, self._root)
            return
        if self._run_id is None:
            self._run_id = find_run_id(self.client, self.key)
        operation.apply(self.client, self.run_id, Path())

    def _say_away(self, operation: Open | Change, error: Exception) -> None:
        if is_full(error) and isinstance(operation, File | Text | LoggedFiles):
            _logger.warning(
                "MLflow: not uploaded for run %s: %s (%s); free the disk and run "
                "`reid tracking replay`",
                self.run_id,
                _named(operation),
                reason(error),
            )
        else:
            _logger.warning(
                "MLflow is away (%s): run %s is written to %s until it is back",
                reason(error),
                self.run_id,
                self._journal.folder,
            )
        self._away = True

    def _store(self, operation: Open | Change) -> None:
        """Write down what is held and the operation, as far as the disk has room."""
        self._held.append(operation)
        try:
            while self._held:
                self._journal.append(self._held[0])
                self._held.pop(0)
        except OSError as error:
            if not is_full(error):
                raise

    def _wait(self, lost: float) -> None:
        self._retry_at = time.monotonic() + max(RETRY_SECONDS, PATIENCE * lost)

    def _say_back(self) -> None:
        if self._away:
            self._away = False
            _logger.warning("MLflow is back: run %s is written whole", self.run_id)


def _named(operation: File | Text | LoggedFiles) -> str:
    match operation:
        case File():
            return str(operation.source)
        case Text():
            return operation.path
    return operation.name
