"""The evaluation of a registered version, kept beside its model: what a decision rests on."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from reid.errors import DataError, RegistryError
from reid.retrieval.result import Result
from reid.tracking.digest import dvc_md5
from reid.tracking.registered import read_lineage
from reid.tracking.versions import EVALUATION_TAG, HOME_TAG, MODEL_ID_TAG, download, label

FOLDER = "evaluation"


@dataclass(frozen=True, eq=False)
class Measured:
    """A version with what was measured of it.

    Args:
        result: As it was registered; per-query scores and breakdowns included.
        tests: Each `<dataset>/<protocol>` to `dataset`, `manifest_digest` and `protocol`.
    """

    version: ModelVersion
    result: Result
    tests: Mapping[str, Mapping[str, Any]]


def store_evaluation(
    client: MlflowClient, version: ModelVersion, result: Result, home_test: str
) -> None:
    """Store a result in the folder `evaluation/` of the logged model, and its digest as a tag."""
    with tempfile.TemporaryDirectory() as scratch:
        result.save(Path(scratch))
        digest = dvc_md5(Path(scratch))
        client.log_model_artifacts(version.tags[MODEL_ID_TAG], scratch, FOLDER)
    # the digest comes last: a version that has one has everything
    for key, value in ((HOME_TAG, home_test), (EVALUATION_TAG, digest)):
        client.set_model_version_tag(version.name, version.version, key, value)


def load_measured(version: ModelVersion, uri: str) -> Measured:
    """Read what is stored with a version.

    Args:
        uri: Tracking URI of the store.

    Raises:
        RegistryError: The version has no evaluation, or it is not the one that was registered.
    """
    if EVALUATION_TAG not in version.tags:
        raise _unusable(version, f"{label(version)} was registered without per-query scores")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            folder = download(version, Path(scratch), uri, FOLDER)
            if dvc_md5(folder) != version.tags[EVALUATION_TAG]:
                raise _unusable(version, f"the stored evaluation of {label(version)} was changed")
            result = Result.load(folder, version.tags["run"])
            tests = read_lineage(version, uri)["tests"]
        except (MlflowException, OSError, DataError) as error:
            reason = " ".join(str(error).split())
            raise _unusable(
                version, f"the stored evaluation of {label(version)} cannot be read ({reason})"
            ) from error
    return Measured(version, result, tests)


def _unusable(version: ModelVersion, found: str) -> RegistryError:
    return RegistryError(
        found,
        "the evaluation that registration stores beside the model",
        f"Register again with `reid register {version.tags['run']}`.",
    )
