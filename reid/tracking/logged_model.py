"""A model directory as an MLflow model: written, finalised, and loaded back."""

import json
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.models import Model
from numpy.typing import NDArray
from PIL import Image

import reid
from reid.errors import RegistryError
from reid.methods.model_directory import WEIGHTS_FILE, LoadedModel, load_model
from reid.tracking import serving
from reid.tracking.digest import sha256
from reid.tracking.run import flatten
from reid.tracking.versions import LINEAGE_FILE, download

PATCH_FILE = "source/uncommitted.patch"
WEIGHTS_TAG = "weights_sha256"
PROBE_IMAGES = 4
TOLERANCE = 1e-6

_REMEDY = "The version was taken back. Register again; if it stays, train the run again."
_CODE = Path(__file__).with_name("pyfunc_model.py")
# What `reid.tracking.pyfunc_model` imports. Named here because MLflow's own search would load the
# model in a second process and look packages up over the network.
_PACKAGES = ("mlflow", "numpy", "pandas", "pillow", "pydantic", "pyyaml", "safetensors", "timm")


def log_model(
    client: MlflowClient,
    run_id: str,
    folder: Path,
    model: LoadedModel,
    lineage: Mapping[str, Any],
    model_card: str,
) -> str:
    """Store a model directory with its card and lineage under a run.

    Uses the client alone, so that no global state of MLflow changes and the run keeps its times.

    Returns:
        The id of the logged model.
    """
    run = client.get_run(run_id)
    logged = client.create_logged_model(
        run.info.experiment_id,
        name=model.card.run,
        source_run_id=run_id,
        params={key: str(value) for key, value in flatten(model.recipe.model_dump(mode="json"))},
        model_type=f"person re-identification {_kind(model)}",
    )
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "model"
        mlflow.pyfunc.save_model(
            str(target),
            python_model=str(_CODE),
            artifacts={"model": str(folder)},
            pip_requirements=_requirements(),
            mlflow_model=Model(run_id=run_id, model_id=logged.model_id),
        )
        (target / LINEAGE_FILE).write_text(json.dumps(lineage, indent=2) + "\n", encoding="utf-8")
        if patch := lineage.get("source", {}).get("patch"):
            (target / "source").mkdir()
            (target / PATCH_FILE).write_bytes(patch.encode(errors="surrogateescape"))
        (target / "model_card.md").write_text(model_card, encoding="utf-8")
        client.log_model_artifacts(logged.model_id, str(target))
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return str(logged.model_id)


def require_equal_copy(model: LoadedModel, version: ModelVersion, uri: str) -> None:
    """Load a registered version; embed or score one batch with it and with the local model.

    Args:
        uri: Tracking URI of the store.

    Raises:
        RegistryError: The copy cannot be loaded, or its numbers differ by more than 1e-6, times the
            largest if that is above 1.
    """
    name = f"models:/{version.name}/{version.version}"
    with tempfile.TemporaryDirectory() as scratch:
        probe = _probe(model, Path(scratch) / "probe")
        expected = serving.predict(model, probe)
        copy = str(download(version, Path(scratch), uri))
        try:
            found = mlflow.pyfunc.load_model(copy).predict(probe)
        except Exception as error:
            raise RegistryError(
                f"{name} cannot be loaded back ({' '.join(str(error).split())})",
                "the model as it was logged",
                _REMEDY,
            ) from error
    gap = float(np.abs(found - expected).max()) if found.shape == expected.shape else np.inf
    tolerance = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if not gap <= tolerance:  # also refuses NaN
        raise RegistryError(
            f"{_kind(model)}s of {name} differ from those of the local model by {gap:.3g}",
            f"at most {tolerance:g}",
            _REMEDY,
        )


def trouble_with_copy(version: ModelVersion, uri: str) -> str | None:
    """Load a registered version and run it on one batch, without any local model.

    Args:
        uri: Tracking URI of the store.

    Returns:
        What is wrong with it, or None.
    """
    with tempfile.TemporaryDirectory() as scratch:
        try:
            copy = download(version, Path(scratch), uri)
            (weights,) = copy.rglob(WEIGHTS_FILE)
            model = load_model(weights.parent)
            found = mlflow.pyfunc.load_model(str(copy)).predict(
                _probe(model, Path(scratch) / "probe")
            )
        except Exception as error:  # whatever code and files of a stored model may raise
            return f"it cannot be loaded ({' '.join(str(error).split())})"
        digest = sha256(weights)
    if digest != version.tags[WEIGHTS_TAG]:
        return f"other weights are stored ({digest[:12]}) than were registered"
    return None if np.isfinite(found).all() else f"a {_kind(model)} of it is no number"


def _kind(model: LoadedModel) -> str:
    """Say what the model gives."""
    return "embedding" if model.network.scorer() is None else "pair score"


def _probe(model: LoadedModel, folder: Path) -> NDArray[np.uint8] | pd.DataFrame:
    """Return random images, or for a model that scores pairs all pairs of them, as files."""
    size = model.recipe.image
    shape = (PROBE_IMAGES, size.height, size.width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    if model.network.scorer() is None:
        return pixels
    folder.mkdir()
    files = [str(folder / f"{number}.png") for number in range(PROBE_IMAGES)]
    for file, image in zip(files, pixels, strict=True):
        Image.fromarray(image).save(file)
    return pd.DataFrame(list(product(files, files)), columns=serving.PAIR_COLUMNS)


def _requirements() -> list[str]:
    pinned = [f"{name}=={version(name)}" for name in (*_PACKAGES, "torch", "torchvision")]
    try:
        return [*pinned, f"reidflow=={version('reidflow')}"]
    except PackageNotFoundError:  # run from a checkout that was never installed
        return [*pinned, f"reidflow=={reid.__version__}"]


def find_logged_model(client: MlflowClient, weights_sha256: str) -> str | None:
    """Return the id of the newest logged model with these weights, if there is one."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_logged_models(
        experiments, filter_string=f"tags.{WEIGHTS_TAG} = '{weights_sha256}'"
    )
    newest = max(found, key=lambda model: int(model.creation_timestamp), default=None)
    return str(newest.model_id) if newest else None
