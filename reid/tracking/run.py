"""One MLflow run: started or continued, with its data, parameters and metrics."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

from mlflow import MlflowClient
from mlflow.entities import Metric

from reid.tracking.away import is_away, quiet
from reid.tracking.operations import (
    PROVISIONAL,
    Batch,
    Ending,
    File,
    Input,
    LoggedFiles,
    Open,
    Status,
    Text,
)
from reid.tracking.outlet import Outlet
from reid.tracking.spool import replay_all
from reid.tracking.store import MLRUNS, has_store, open_client

# A single write costs about a tenth of a second on SQLite, whatever its size.
BUFFERED_METRICS = 500
BUFFERED_SECONDS = 10.0
PARAMS_PER_WRITE = 100  # MLflow refuses more
LONGEST_PARAM = 6000  # MLflow refuses longer values
SHORT_DIGEST = 36  # what MLflow keeps of a digest; the source holds the whole


class TrackedRun:
    """A run that is being written.

    As a context manager it finishes itself: `FINISHED`, `KILLED` on an interrupt, else `FAILED`.
    Metrics are buffered; they are visible to others after `flush`, at the latest when the buffer
    is full, when ten seconds have passed at the next `log_metrics`, or at the end.
    While the store is away everything goes to the spool, see `reid.tracking.spool`.
    """

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._buffer: list[tuple[str, float, int, int]] = []
        self._flushed = time.monotonic()

    @property
    def run_id(self) -> str:
        """The MLflow run id, to be kept for a continuation.

        While the store is away, an id by which the run will be found later.
        """
        return self._outlet.run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log a parameter tree flat, its keys joined by dots.

        A parameter that the run already has with another value raises `MlflowException`.
        """
        flat = [(key, str(value)[:LONGEST_PARAM]) for key, value in flatten(params)]
        for start in range(0, len(flat), PARAMS_PER_WRITE):
            self._outlet.write(Batch(params=tuple(flat[start : start + PARAMS_PER_WRITE])))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; existing ones of the same name are replaced."""
        self._outlet.write(Batch(tags=tuple(tags.items())))

    def log_dataset(self, name: str, digest: str, source: str, context: str) -> None:
        """Name a data set as input of the run.

        Args:
            digest: Digest of its manifest, or the one of DVC.
            source: Path of the manifest.
            context: What it is used for, such as `train` or `test`.
        """
        where = json.dumps({"uri": source, "digest": digest})
        self._outlet.write(
            Input(name=name, digest=digest[:SHORT_DIGEST], source=where, context=context)
        )

    def log_metrics(self, metrics: Iterable[tuple[str, float, int]]) -> None:
        """Buffer metrics, each a (key, value, step)."""
        now = milliseconds()
        self._buffer.extend((key, float(value), now, step) for key, value, step in metrics)
        overdue = time.monotonic() - self._flushed > BUFFERED_SECONDS
        if overdue or len(self._buffer) >= BUFFERED_METRICS:
            self.flush()

    def log_results(
        self, metrics: Mapping[str, float], model_id: str, dataset: str, digest: str
    ) -> None:
        """Write final metrics at once, linked with a logged model and the data they are of.

        Both are of the registry, which has to be there: this is never spooled.
        """
        now = milliseconds()
        self._outlet.client.log_batch(
            self.run_id,
            metrics=[
                Metric(key, value, now, 0, model_id, dataset, digest[:SHORT_DIGEST])
                for key, value in metrics.items()
            ],
        )

    def log_files(self, paths: Iterable[Path], folder: str) -> None:
        """Store files as artifacts of the run, in a folder of its own."""
        for path in paths:
            self._outlet.write(File(source=path, folder=folder))

    def log_text(self, text: str, path: str) -> None:
        """Store a text as an artifact of the run."""
        self._outlet.write(Text(text=text, path=path))

    def log_logged_files(self, model: LoggedFiles) -> None:
        """Store files as a logged model under the run."""
        self._outlet.write(model)

    def flush(self) -> None:
        """Write the buffered metrics."""
        while self._buffer:
            batch, self._buffer = self._buffer[:BUFFERED_METRICS], self._buffer[BUFFERED_METRICS:]
            self._outlet.write(Batch(metrics=tuple(batch)))
        self._flushed = time.monotonic()

    def finish(self, status: Ending = "FINISHED") -> None:
        """Write what is buffered and close the run."""
        self.flush()
        self._outlet.write(Status(status=status, end_time=milliseconds()))
        self._outlet.close()

    def __enter__(self) -> "TrackedRun":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.finish("FINISHED")
        else:
            self.finish("KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED")


def start_run(
    study: str,
    run_name: str,
    run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    root: Path = MLRUNS,
) -> TrackedRun:
    """Start a run, or continue the one with `run_id`.

    A `run_id` that this store does not know (it was made on another machine, or the store was
    deleted) starts a new run with the tag `continues`, and says so in the log.

    Args:
        study: Name of the experiment.
        tags: Lineage, see `reid.tracking.lineage`.
        params: Parameter tree; a continued run must have been started with the same values.
    """
    key = f"{PROVISIONAL}{uuid4().hex}" if run_id is None else run_id
    outlet = Outlet(root, key, _reach(root))
    outlet.write(Open(study=study, run_name=run_name, key=key, start_time=milliseconds()))
    run = TrackedRun(outlet)
    if tags:
        run.set_tags(tags)
    if params:
        run.log_params(params)
    return run


def attach_run(study: str, run_name: str, run_id: str | None, root: Path = MLRUNS) -> TrackedRun:
    """Return a run to add to, leaving its status and times alone.

    A run that this store does not know is replaced by a new one, see `start_run`.
    """
    run = None if run_id is None else find_run(run_id, root)
    if run is None:
        run = start_run(study, run_name, run_id, root=root)
        run.finish()
    return run


def find_run(run_id: str, root: Path = MLRUNS) -> TrackedRun | None:
    """Return a run to add to, or None where there is no store or it does not know the run.

    While the store is away the run is taken to be there.
    """
    if not has_store(root):
        return None
    client = _reach(root)
    outlet = Outlet(root, run_id, client)
    return TrackedRun(outlet) if client is None or outlet.is_known() else None


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a tree of mappings with their keys joined by dots."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def milliseconds() -> int:
    """Return the time in milliseconds since 1970."""
    return int(time.time() * 1000)


def _reach(root: Path) -> MlflowClient | None:
    """Open the store and write what waits for it; return None where it is away."""
    try:
        with quiet():
            client = open_client(root)
            replay_all(client, root)
            return client
    except Exception as error:
        if not is_away(error):
            raise
        return None
