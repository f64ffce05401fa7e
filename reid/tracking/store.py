"""Where MLflow keeps things: `mlruns/mlflow.db` and `mlruns/artifacts`, or the server you name."""

import logging
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from reid.errors import RegistryError

MLRUNS = Path("mlruns")
DATABASE, ARTIFACTS, SPOOL = "mlflow.db", "artifacts", "spool"

# MLflow stores artifact locations absolute; these are all columns that hold one.
_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)

_EXPERIMENT_NOTE = """Study `{study}` of ReIDFlow.

Each run is a training, or a pretraining that others start from (below it in the list). Useful
columns: the tags `method`, `data.licence`, `git.commit`, `params.hash`; the metrics
`<test set>/<protocol>/mAP`. A metric with `rerank_` in its name is re-ranked, all others are plain.
Charts are over epochs: choose *step* as the axis.

The table with confidence intervals: `reports/{study}/comparison.html`.
"""

_logger = logging.getLogger(__name__)


def open_store(root: Path = MLRUNS) -> str:
    """Return the tracking URI, and make the local database if there is none yet.

    A set `MLFLOW_TRACKING_URI` wins over `root`. Several processes may open the store at once. A
    store that was moved to another folder is mended: its artifact locations follow it.
    """
    if address := server():
        return address
    database = _home(root) / DATABASE
    uri = f"sqlite:///{database}"
    with store_lock(root):
        # the first request creates the tables, which two processes must not do side by side
        MlflowClient(uri, uri).search_experiments(max_results=1)
        _follow_move(database, _artifacts_uri(root))
    return uri


def server() -> str | None:
    """Return the address of the tracking server, if one is named."""
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def without_password(address: str) -> str:
    """Return an address as it may be shown: what stands before its `@` is left out."""
    return re.sub(r"//[^/@]*@", "//", address)


def has_store(root: Path = MLRUNS) -> bool:
    """Tell whether there is a store already: a server that is named, or a local database."""
    return server() is not None or (root / DATABASE).is_file()


def open_client(root: Path = MLRUNS) -> MlflowClient:
    """Return a client of the tracking store and of the registry beside it."""
    uri = open_store(root)
    return MlflowClient(uri, uri)


def open_experiment(study: str, root: Path = MLRUNS) -> str:
    """Return the id of the experiment of a study; it is created, or restored, where needed.

    Raises:
        RegistryError: It was made by way of a server, which keeps its files, and none is named.
    """
    client = open_client(root)
    with store_lock(root):
        found = client.get_experiment_by_name(study)
        if found is None:
            return _create_experiment(client, study, root)
        require_reach(str(found.artifact_location), study)
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)


def require_reach(location: str, study: str) -> None:
    """Check that files of a study can be written where its experiment keeps them.

    Raises:
        RegistryError: A server keeps them, and none is named.
    """
    if server() is None and location.startswith("mlflow-artifacts:"):
        raise RegistryError(
            f"an MLflow server keeps the files of experiment '{study}', and none is named",
            "its address in MLFLOW_TRACKING_URI",
            "Set it, for that of `reid up` to http://127.0.0.1:5000, and repeat the command.",
        )


@contextmanager
def store_lock(root: Path = MLRUNS) -> Iterator[None]:
    """Keep other processes that use the same `root` out while the block runs."""
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".lock"):
        yield


def move_store(target: Path, root: Path = MLRUNS) -> None:
    """Move the local store to another folder and leave links behind, so that it is still found.

    Nothing may use the store meanwhile. An interrupted move leaves a store that works; it is
    finished by another one.

    Raises:
        RegistryError: There is no local store, or the target exists.
    """
    if not (root / DATABASE).is_file():
        raise RegistryError(
            f"{root}: no {DATABASE}", "a local store", "The first `reid train` makes one."
        )
    if target.exists():
        raise RegistryError(
            f"{target} exists", "a folder that does not", "Name another one, or remove it first."
        )
    with store_lock(root):
        target.mkdir(parents=True)
        # the database last: it says where the artifacts are
        for name in (ARTIFACTS, SPOOL, DATABASE):
            link, source = root / name, (root / name).resolve()
            if not source.exists():
                continue
            shutil.move(source, target / name)
            link.unlink(missing_ok=True)
            link.symlink_to((target / name).resolve())
    open_store(root)  # which tells the database


def _home(root: Path) -> Path:
    """Return the folder where the store lies, also after it was moved away from `root`."""
    return (root / DATABASE).resolve().parent


def _artifacts_uri(root: Path) -> str:
    return (_home(root) / ARTIFACTS).as_uri()


def _create_experiment(client: MlflowClient, study: str, root: Path) -> str:
    # a server has its own place for artifacts
    location = f"{_artifacts_uri(root)}/{study}" if server() is None else None
    note = {"mlflow.note.content": _EXPERIMENT_NOTE.format(study=study)}
    try:
        return str(client.create_experiment(study, artifact_location=location, tags=note))
    except MlflowException:
        # on a server, another machine may have been faster
        found = client.get_experiment_by_name(study)
        if found is None:
            raise
        return str(found.experiment_id)


def _follow_move(database: Path, artifacts: str) -> None:
    """Point the artifact locations of a moved store to where its artifacts are now."""
    with closing(sqlite3.connect(database)) as connection, connection:
        rows = connection.execute("SELECT name, artifact_location FROM experiments").fetchall()
        ends = [(location, f"/artifacts/{name}") for name, location in rows]
        olds = {
            location.removesuffix(end) + "/artifacts"
            for location, end in ends
            if location.endswith(end)
        } - {artifacts}
        for old in sorted(olds):
            _logger.warning("MLflow store: artifacts moved from %s to %s", old, artifacts)
            for table, column in _LOCATIONS:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608
                    f"WHERE {column} LIKE ? || '/%'",
                    (artifacts, len(old) + 1, old),
                )
