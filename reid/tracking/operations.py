"""What can be written to a run, as values that can be stored, applied later, and applied twice."""

import logging
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    RunTag,
)
from mlflow.exceptions import MlflowException
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from reid.tracking.store import open_experiment, require_reach

PROVISIONAL = "run-"  # begins an id of our own, as the store may be away when a run begins
KEY_TAG = "reid.key"  # the id by which this project asks for a run whose own id is another one
_RUN_TAGS = ("mlflow.parentRunId", "parent.run_id")

Ending = Literal["FINISHED", "FAILED", "KILLED"]

_logger = logging.getLogger(__name__)


class _Operation(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Open(_Operation):
    """Start a run, or go on with the one that is known by `key`.

    Args:
        start_time: Milliseconds since 1970.
    """

    kind: Literal["open"] = "open"
    study: str
    run_name: str
    key: str
    start_time: int

    def apply_to(self, client: MlflowClient, root: Path) -> str:
        """Return the id of the run in the store."""
        known = find_run_id(client, self.key)
        if known is not None:
            require_reach(str(client.get_run(known).info.artifact_uri), self.study)
            client.update_run(known, status="RUNNING")
            return known
        tags = {KEY_TAG: self.key}
        if not self.key.startswith(PROVISIONAL):
            tags["continues"] = self.key
        experiment = open_experiment(self.study, root)
        info = client.create_run(experiment, self.start_time, tags, self.run_name).info
        if "continues" in tags:
            _logger.warning("MLflow run %s is not in this store: started %s", self.key, info.run_id)
        return str(info.run_id)


class Batch(_Operation):
    """Metrics (key, value, milliseconds since 1970, step), parameters and tags."""

    kind: Literal["batch"] = "batch"
    metrics: tuple[tuple[str, float, int, int], ...] = ()
    params: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()

    def apply(self, client: MlflowClient, run_id: str, _folder: Path) -> None:
        """Write them; the store ignores a metric that it has, and a parameter with equal value."""
        client.log_batch(
            run_id,
            metrics=[Metric(*metric) for metric in self.metrics],
            params=[Param(*param) for param in self.params],
            tags=[RunTag(key, _real(client, key, value)) for key, value in self.tags],
        )


class Input(_Operation):
    """A data set as input of the run."""

    kind: Literal["input"] = "input"
    name: str
    digest: str
    source: str
    context: str

    def apply(self, client: MlflowClient, run_id: str, _folder: Path) -> None:
        """Name it; the store ignores one that it has."""
        dataset = Dataset(self.name, self.digest, "local", self.source)
        tag = InputTag("mlflow.data.context", self.context)
        client.log_inputs(run_id, datasets=[DatasetInput(dataset, [tag])])


class File(_Operation):
    """A file for a folder of the run's artifacts; a relative source lies in the spool."""

    kind: Literal["file"] = "file"
    source: Path
    folder: str

    def apply(self, client: MlflowClient, run_id: str, folder: Path) -> None:
        """Upload it, over an earlier one of the same name."""
        client.log_artifact(run_id, str(folder / self.source), self.folder or None)


class Text(_Operation):
    """A text for a file of the run's artifacts."""

    kind: Literal["text"] = "text"
    text: str
    path: str

    def apply(self, client: MlflowClient, run_id: str, _folder: Path) -> None:
        """Upload it, over an earlier one of the same name."""
        client.log_text(run_id, self.text, self.path)


class Status(_Operation):
    """The end of a run, in milliseconds since 1970."""

    kind: Literal["status"] = "status"
    status: Ending
    end_time: int

    def apply(self, client: MlflowClient, run_id: str, _folder: Path) -> None:
        """Close the run."""
        client.set_terminated(run_id, self.status, self.end_time)


class LoggedFiles(_Operation):
    """Files as a logged model under the run; relative sources lie in the spool."""

    kind: Literal["model"] = "model"
    name: str
    model_type: str
    tags: dict[str, str]
    params: dict[str, str]
    sources: tuple[Path, ...]

    def apply(self, client: MlflowClient, run_id: str, folder: Path) -> None:
        """Log it, unless the run has it; what an interrupted attempt left is removed."""
        experiment = client.get_run(run_id).info.experiment_id
        same = f"name = '{self.name}' AND source_run_id = '{run_id}'"
        for found in client.search_logged_models([experiment], filter_string=same):
            if found.status == LoggedModelStatus.READY:
                return
            client.delete_logged_model(found.model_id)
        logged = client.create_logged_model(
            experiment,
            name=self.name,
            source_run_id=run_id,
            tags=self.tags,
            params=self.params,
            model_type=self.model_type,
        )
        with tempfile.TemporaryDirectory() as scratch:
            for source in self.sources:
                shutil.copyfile(folder / source, Path(scratch) / source.name)
            client.log_model_artifacts(logged.model_id, scratch)
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)


Change = Batch | Input | File | Text | Status | LoggedFiles
Operation = Annotated[Open | Change, Field(discriminator="kind")]
OPERATION: TypeAdapter[Open | Change] = TypeAdapter(
    Operation,
    config=ConfigDict(ser_json_inf_nan="constants"),  # a loss may be NaN
)


def find_run_id(client: MlflowClient, key: str) -> str | None:
    """Return the id in the store of the run that is known by an id, or None.

    A run that began while the store was away, or that was written anew after the store was lost,
    has another id there than the one that model cards keep.

    Raises:
        MlflowException: The store does not answer.
    """
    if not key.startswith(PROVISIONAL):
        try:
            info = client.get_run(key).info
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
        else:
            if info.lifecycle_stage == "active":
                return key
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(experiments, f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
    return str(found[0].info.run_id) if found else None


def _real(client: MlflowClient, key: str, value: str) -> str:
    """Name a parent run by its id in the store."""
    if key in _RUN_TAGS and value.startswith(PROVISIONAL):
        return find_run_id(client, value) or value
    return value
