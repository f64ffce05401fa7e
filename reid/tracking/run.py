"""One MLflow run: started or continued, with its data, parameters and metrics."""

import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from reid.tracking.store import MLRUNS, has_store, open_client, open_experiment

# A single write costs about a tenth of a second on SQLite, whatever its size.
BUFFERED_METRICS = 500
BUFFERED_SECONDS = 10.0
PARAMS_PER_WRITE = 100  # MLflow refuses more
LONGEST_PARAM = 6000  # MLflow refuses longer values
SHORT_DIGEST = 36  # what MLflow keeps of a digest; the source holds the whole

Status = Literal["FINISHED", "FAILED", "KILLED"]

_logger = logging.getLogger(__name__)


class TrackedRun:
    """A run that is being written.

    As a context manager it finishes itself: `FINISHED`, `KILLED` on an interrupt, else `FAILED`.
    Metrics are buffered; they are visible to others after `flush`, at the latest when the buffer
    is full, when ten seconds have passed at the next `log_metrics`, or at the end.

    Attributes:
        run_id: The MLflow run id, to be kept for a continuation.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.run_id = run_id
        self._client = client
        self._buffer: list[Metric] = []
        self._flushed = time.monotonic()

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log a parameter tree flat, its keys joined by dots.

        A parameter that the run already has with another value raises `MlflowException`.
        """
        flat = [Param(key, str(value)[:LONGEST_PARAM]) for key, value in flatten(params)]
        for start in range(0, len(flat), PARAMS_PER_WRITE):
            self._client.log_batch(self.run_id, params=flat[start : start + PARAMS_PER_WRITE])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; existing ones of the same name are replaced."""
        self._client.log_batch(
            self.run_id, tags=[RunTag(key, value) for key, value in tags.items()]
        )

    def log_dataset(self, name: str, digest: str, source: str, context: str) -> None:
        """Name a data set as input of the run.

        Args:
            digest: Digest of its manifest, or the one of DVC.
            source: Path of the manifest.
            context: What it is used for, such as `train` or `test`.
        """
        where = json.dumps({"uri": source, "digest": digest})
        dataset = Dataset(name, digest[:SHORT_DIGEST], "local", where)
        tag = InputTag("mlflow.data.context", context)
        self._client.log_inputs(self.run_id, datasets=[DatasetInput(dataset, [tag])])

    def log_metrics(self, metrics: Iterable[tuple[str, float, int]]) -> None:
        """Buffer metrics, each a (key, value, step)."""
        now = int(time.time() * 1000)
        self._buffer.extend(Metric(key, value, now, step) for key, value, step in metrics)
        overdue = time.monotonic() - self._flushed > BUFFERED_SECONDS
        if overdue or len(self._buffer) >= BUFFERED_METRICS:
            self.flush()

    def log_results(
        self, metrics: Mapping[str, float], model_id: str, dataset: str, digest: str
    ) -> None:
        """Write final metrics at once, linked with a logged model and the data they are of."""
        now = int(time.time() * 1000)
        self._client.log_batch(
            self.run_id,
            metrics=[
                Metric(key, value, now, 0, model_id, dataset, digest[:SHORT_DIGEST])
                for key, value in metrics.items()
            ],
        )

    def log_files(self, paths: Iterable[Path], folder: str) -> None:
        """Store files as artifacts of the run, in a folder of its own."""
        for path in paths:
            self._client.log_artifact(self.run_id, str(path), folder)

    def flush(self) -> None:
        """Write the buffered metrics."""
        while self._buffer:
            batch, self._buffer = self._buffer[:BUFFERED_METRICS], self._buffer[BUFFERED_METRICS:]
            self._client.log_batch(self.run_id, metrics=batch)
        self._flushed = time.monotonic()

    def finish(self, status: Status = "FINISHED") -> None:
        """Write what is buffered and close the run."""
        self.flush()
        self._client.set_terminated(self.run_id, status)

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
    experiment = open_experiment(study, root)
    client = open_client(root)
    if run_id is not None and _is_known(client, run_id):
        client.update_run(run_id, status="RUNNING")
        run = TrackedRun(client, run_id)
    else:
        run = TrackedRun(client, client.create_run(experiment, run_name=run_name).info.run_id)
        if run_id is not None:
            _logger.warning("MLflow run %s is not in this store: started %s", run_id, run.run_id)
            run.set_tags({"continues": run_id})
    if tags:
        run.set_tags(tags)
    if params:
        run.log_params(params)
    return run


def attach_run(study: str, run_name: str, run_id: str | None, root: Path = MLRUNS) -> TrackedRun:
    """Return a run to add to, leaving its status and times alone.

    A run that this store does not know is replaced by a new one, see `start_run`.
    """
    client = open_client(root)
    if run_id is not None and _is_known(client, run_id):
        return TrackedRun(client, run_id)
    run = start_run(study, run_name, run_id, root=root)
    run.finish()
    return run


def find_run(run_id: str, root: Path = MLRUNS) -> TrackedRun | None:
    """Return a run to add to, or None where there is no store or it does not know the run."""
    if not has_store(root):
        return None
    client = open_client(root)
    return TrackedRun(client, run_id) if _is_known(client, run_id) else None


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a tree of mappings with their keys joined by dots."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _is_known(client: MlflowClient, run_id: str) -> bool:
    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException:
        return False
