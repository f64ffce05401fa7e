"""The model registry: who may enter, who is champion, and where each version comes from.

One registered model per study and training set, `<study>.<dataset>`; each run is a version of it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from reid.data.manifest import WITHDRAWN
from reid.errors import RegistryError
from reid.methods.model_directory import WEIGHTS_FILE, LoadedModel, ModelCard, load_model
from reid.tracking.digest import dvc_md5, sha256
from reid.tracking.lineage import params_hash
from reid.tracking.logged_model import (
    WEIGHTS_TAG,
    find_logged_model,
    log_model,
    require_equal_copy,
)
from reid.tracking.model_card import Conditions, describe_lineage, render_model_card
from reid.tracking.provenance import SECTIONS, condensed, identity
from reid.tracking.registered import read_lineage
from reid.tracking.run import TrackedRun, attach_run
from reid.tracking.store import MLRUNS, open_store, store_lock

_MODEL_ID = "model_id"  # a tag, as MLflow's SQL registry does not keep the id itself
_NOT_ALIAS = re.compile(r"[^\w\-]")


def register_model(
    folder: Path,
    metrics: Mapping[str, float],
    tests: Mapping[str, Conditions],
    intended_use: str,
    root: Path = MLRUNS,
    provenance: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Register a trained and measured model, and decide the aliases anew.

    The model is stored under the run that trained it, its metrics are linked with it and with the
    test set, and the stored copy is loaded and compared with the local model. Registering the same
    model with the same lineage and metrics again returns the version that exists.

    For each test, `champion-<dataset>-<protocol>` is the version with the best plain mAP and
    `challenger-…` the best of another run, among versions measured under the same protocol on the
    same manifest. `champion` and `challenger` are those of the first test. A model trained on
    withdrawn data gets no alias.

    Args:
        folder: Model directory.
        metrics: Full name (`<dataset>/<protocol>/…`) to value.
        tests: `<dataset>/<protocol>` to the conditions of the test; the home test first.
        intended_use: What the model may be used for.
        provenance: What `collect_provenance` found. Code and machine alone make no new version.

    Returns:
        `name`, `version`, `run_id`, `model_id`, `lineage` and `metrics`, without wall-clock time.

    Raises:
        RegistryError: Licence, intended use or a plain mAP is missing, or the stored copy does
            not give the same numbers; then no version remains.
    """
    model = load_model(folder)
    _require_terms(model.card, intended_use)
    _require_measured(model.card, metrics, tests)
    weights = sha256(folder / WEIGHTS_FILE)
    lineage = describe_lineage(
        model.card, dvc_md5(folder), weights, tests, intended_use, provenance
    )
    uri = open_store(root)
    client = MlflowClient(uri, uri)
    name = f"{model.card.study}.{model.card.train_dataset}"
    fingerprint = params_hash({"lineage": identity(lineage), "metrics": dict(metrics)})
    versions = _versions(client, name)
    version = next((v for v in versions if v.tags.get("fingerprint") == fingerprint), None)
    if version is None:
        run = attach_run(model.card.study, model.card.run, model.card.mlflow_run_id, root)
        parent = _parent_model_id(client, model.card.parents)
        tags = {**_tags(lineage, metrics, tests), "parent_model_id": parent}
        version = _add_version(client, run, name, folder, model, lineage, metrics, tags)
        _link_metrics(run, version.tags[_MODEL_ID], metrics, tests)
        _require_copy(client, model, version, uri)
        client.set_model_version_tag(name, version.version, "fingerprint", fingerprint)
    else:
        lineage = read_lineage(version, uri)
    with store_lock(root):
        _promote(client, name, tests)
    return {
        "name": name,
        "version": int(version.version),
        "run_id": version.run_id,
        "model_id": version.tags[_MODEL_ID],
        "lineage": lineage,
        "metrics": dict(sorted(metrics.items())),
    }


def _require_terms(card: ModelCard, intended_use: str) -> None:
    for what, value, remedy in (
        ("licence of its training data", card.licence, "State it in the dataset's ethics record"),
        ("intended use", intended_use, "State it in the study under registration.intended_use"),
    ):
        if not value.strip():
            raise RegistryError(
                f"{card.run}: no {what}", f"the {what}", f"{remedy}, and try again."
            )


def _require_measured(
    card: ModelCard, metrics: Mapping[str, float], tests: Mapping[str, Conditions]
) -> None:
    missing = [f"{name}/mAP" for name in tests if f"{name}/mAP" not in metrics]
    if missing or not tests:
        raise RegistryError(
            f"{card.run}: no metric {', '.join(missing) or 'at all'}",
            "a plain mAP for every test",
            "Run `reid evaluate` first.",
        )


def _versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    return list(client.search_model_versions(f"name='{name}'"))


def _parent_model_id(client: MlflowClient, parents: Sequence[str]) -> str:
    """Name the registered models that hold the parents' weights; else the parents themselves."""
    return ", ".join(_registered(client, parent) or parent for parent in parents) or "none"


def _registered(client: MlflowClient, parent: str) -> str | None:
    """Return the id of the newest model with the weights of a file, if there is one.

    A version of the registry comes before a backbone that was only logged.
    """
    if not Path(parent).is_file():
        return None
    weights = sha256(Path(parent))
    same = client.search_model_versions(f"tags.{WEIGHTS_TAG} = '{weights}'")
    newest = max(same, key=lambda version: int(version.creation_timestamp), default=None)
    return str(newest.tags[_MODEL_ID]) if newest else find_logged_model(client, weights)


def _tags(
    lineage: Mapping[str, Any], metrics: Mapping[str, float], tests: Mapping[str, Conditions]
) -> dict[str, str]:
    flat = {
        key: str(value)
        for key, value in lineage.items()
        if key not in ("parents", "tests", *SECTIONS)
    }
    plain = {key: repr(value) for key, value in metrics.items() if "/rerank_" not in key}
    conditions = {_condition_key(name): _condition(test) for name, test in tests.items()}
    return {**flat, **condensed(lineage), **plain, **conditions}


def _condition_key(test: str) -> str:
    return f"{test}/conditions"


def _condition(test: Conditions) -> str:
    """Return what two versions must share to be ranked against each other."""
    return params_hash({"manifest": test.manifest_digest, "protocol": dict(test.protocol)})


def _add_version(
    client: MlflowClient,
    run: TrackedRun,
    name: str,
    folder: Path,
    model: LoadedModel,
    lineage: Mapping[str, Any],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
) -> ModelVersion:
    card = render_model_card(lineage, metrics)
    model_id = log_model(client, run.run_id, folder, model, lineage, card)
    client.set_logged_model_tags(model_id, dict(tags))
    source = client.get_logged_model(model_id).artifact_location
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = client.create_model_version(
        name, source, run.run_id, tags={**tags, _MODEL_ID: model_id}, description=card
    )
    link = json.dumps([{"name": name, "version": version.version}])
    client.set_logged_model_tags(model_id, {"mlflow.modelVersions": link})  # for MLflow's pages
    return version


def _link_metrics(
    run: TrackedRun, model_id: str, metrics: Mapping[str, float], tests: Mapping[str, Conditions]
) -> None:
    for name, test in tests.items():
        chosen = {key: value for key, value in metrics.items() if key.startswith(f"{name}/")}
        run.log_results(chosen, model_id, test.dataset, test.manifest_digest)


def _require_copy(
    client: MlflowClient, model: LoadedModel, version: ModelVersion, uri: str
) -> None:
    try:
        require_equal_copy(model, version, uri)
    except RegistryError:
        client.delete_model_version(version.name, version.version)
        client.delete_logged_model(version.tags[_MODEL_ID])
        raise


def _promote(client: MlflowClient, name: str, tests: Mapping[str, Conditions]) -> None:
    versions = [v for v in _versions(client, name) if "fingerprint" in v.tags]
    for position, (test, conditions) in enumerate(tests.items()):
        ranked = _rank(versions, test, _condition(conditions))
        suffixes = [f"-{_NOT_ALIAS.sub('-', test)}", *([""] if position == 0 else [])]
        for place, word in enumerate(("champion", "challenger")):
            for alias in (word + suffix for suffix in suffixes):
                if place < len(ranked):
                    client.set_registered_model_alias(name, alias, ranked[place].version)
                elif alias in client.get_registered_model(name).aliases:
                    client.delete_registered_model_alias(name, alias)


def _rank(versions: Sequence[ModelVersion], test: str, condition: str) -> list[ModelVersion]:
    """Return the best promotable version of each run, best first; of equals the newest."""
    best: dict[str, ModelVersion] = {}
    comparable = [
        v
        for v in versions
        if v.tags.get(_condition_key(test)) == condition and v.tags["status"] != WITHDRAWN
    ]

    def order(version: ModelVersion) -> tuple[float, int]:
        return float(version.tags[f"{test}/mAP"]), int(version.version)

    for version in sorted(comparable, key=order, reverse=True):
        best.setdefault(version.tags["run"], version)
    return list(best.values())
