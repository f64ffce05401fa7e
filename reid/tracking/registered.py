"""A version of the registry as a record: name, lineage and metrics, read from MLflow."""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from reid.errors import RegistryError
from reid.tracking.store import MLRUNS, has_store, open_store

LINEAGE_FILE = "lineage.json"

_NAMED = re.compile(r"(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[\w\-]+))")


def is_version_name(text: str) -> bool:
    """Tell whether a text names a version of the registry: `NAME/VERSION` or `NAME@alias`."""
    return _NAMED.fullmatch(text) is not None


def read_version(text: str, root: Path = MLRUNS) -> dict[str, Any]:
    """Return what `register_model` returned for a version.

    Args:
        text: `NAME/VERSION` or `NAME@alias`.

    Raises:
        RegistryError: There is no MLflow store, or no such version in it.
    """
    named = _NAMED.fullmatch(text)
    if named is None or not has_store(root):
        raise RegistryError(
            f"{text}: no MLflow store in {root}",
            "the store that the model was registered in",
            "Set MLFLOW_TRACKING_URI, or give the file in registry/.",
        )
    uri = open_store(root)
    client = MlflowClient(uri, uri)
    try:
        if named["alias"]:
            version = client.get_model_version_by_alias(named["name"], named["alias"])
        else:
            version = client.get_model_version(named["name"], named["version"])
    except MlflowException as error:
        raise RegistryError(
            f"{text}: {' '.join(str(error).split())}",
            "a version of a registered model",
            f"There are: {_known(client)}.",
        ) from None
    logged = client.get_logged_model(version.tags["model_id"])
    return {
        "name": version.name,
        "version": int(version.version),
        "run_id": version.run_id,
        "model_id": version.tags["model_id"],
        "lineage": read_lineage(version, uri),
        "metrics": {metric.key: metric.value for metric in logged.metrics or ()},
    }


def read_lineage(version: ModelVersion, uri: str) -> dict[str, Any]:
    """Return the lineage that lies beside a registered model.

    Args:
        uri: Tracking URI of the store.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy = mlflow.artifacts.download_artifacts(
            f"{version.source}/{LINEAGE_FILE}", dst_path=scratch, tracking_uri=uri
        )
        lineage: dict[str, Any] = json.loads(Path(copy).read_text(encoding="utf-8"))
    return lineage


def _known(client: MlflowClient) -> str:
    versions = client.search_model_versions(max_results=20)
    return ", ".join(sorted(f"{v.name}/{v.version}" for v in versions)) or "none"
