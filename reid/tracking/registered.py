"""A version of the registry as a record: name, lineage and metrics, read from MLflow."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from reid.errors import RegistryError
from reid.tracking.store import MLRUNS, has_store, open_store
from reid.tracking.versions import LINEAGE_FILE, MODEL_ID_TAG, download, named_version


def read_version(text: str, root: Path = MLRUNS) -> dict[str, Any]:
    """Return what `register_model` returned for a version.

    Args:
        text: `NAME/VERSION` or `NAME@ALIAS`.

    Raises:
        RegistryError: There is no MLflow store, or no such version in it.
    """
    if not has_store(root):
        raise RegistryError(
            f"{text}: no MLflow store in {root}",
            "the store that the model was registered in",
            "Set MLFLOW_TRACKING_URI, or give the file in registry/.",
        )
    uri = open_store(root)
    client = MlflowClient(uri, uri)
    version = named_version(client, text)
    logged = client.get_logged_model(version.tags[MODEL_ID_TAG])
    metrics = {metric.key: metric.value for metric in logged.metrics or ()}
    return version_record(version, read_lineage(version, uri), metrics)


def version_record(
    version: ModelVersion, lineage: Mapping[str, Any], metrics: Mapping[str, float]
) -> dict[str, Any]:
    """Put together what is kept of a registered version, without wall-clock time."""
    return {
        "name": version.name,
        "version": int(version.version),
        "run_id": version.run_id,
        "model_id": version.tags[MODEL_ID_TAG],
        "lineage": dict(lineage),
        "metrics": dict(sorted(metrics.items())),
    }


def read_lineage(version: ModelVersion, uri: str) -> dict[str, Any]:
    """Return the lineage that lies beside a registered model.

    Args:
        uri: Tracking URI of the store.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy = download(version, Path(scratch), uri, LINEAGE_FILE)
        lineage: dict[str, Any] = json.loads(copy.read_text(encoding="utf-8"))
    return lineage
