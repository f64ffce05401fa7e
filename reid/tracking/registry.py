"""The model registry: who may enter, and where each version comes from.

One registered model per study and training set, `<study>.<dataset>`; each run is a version of it.
Who is champion is decided by people, see `reid.tracking.promotion`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from reid.errors import RegistryError
from reid.methods.model_directory import WEIGHTS_FILE, LoadedModel, ModelCard, load_model
from reid.retrieval.result import Result
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
from reid.tracking.registered import read_lineage, version_record
from reid.tracking.run import TrackedRun, attach_run
from reid.tracking.store import MLRUNS, open_store, store_lock
from reid.tracking.stored_evaluation import store_evaluation
from reid.tracking.versions import (
    FINGERPRINT_TAG,
    MODEL_ID_TAG,
    condition,
    condition_key,
    family_name,
    list_versions,
    name_challenger,
)


def register_model(
    folder: Path,
    result: Result,
    tests: Mapping[str, Conditions],
    intended_use: str,
    root: Path = MLRUNS,
    provenance: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Register a trained and measured model, and name the challengers anew.

    The model is stored under the run that trained it, its metrics are linked with it and with the
    test set, and the stored copy is loaded and compared with the local model. The whole result is
    stored in its folder `evaluation/`, for `promote`. Registering the same model with the same
    lineage and metrics again returns the version that exists, and stores the result anew.
    Challengers are named, see `name_challenger`; nobody becomes champion here.

    Args:
        folder: Model directory.
        result: What was measured of it.
        tests: `<dataset>/<protocol>` to the conditions of the test; the home test first.
        intended_use: What the model may be used for.
        provenance: What `collect_provenance` found. Code and machine alone make no new version.

    Returns:
        `name`, `version`, `run_id`, `model_id`, `lineage` and `metrics`, without wall-clock time.

    Raises:
        RegistryError: Licence, intended use or a plain mAP is missing, other weights were measured,
            or the stored copy does not give the same numbers; then no version remains.
    """
    model = load_model(folder)
    weights, metrics = sha256(folder / WEIGHTS_FILE), result.metrics
    _require_terms(model.card, intended_use)
    _require_measured(model.card, result, tests, weights)
    digests = dvc_md5(folder), weights
    lineage = describe_lineage(model.card, *digests, tests, intended_use, provenance)
    uri = open_store(root)
    client = MlflowClient(uri, uri)
    name = family_name(model.card.study, model.card.train_dataset)
    fingerprint = params_hash({"lineage": identity(lineage), "metrics": metrics})
    known = list_versions(client, name)
    version = next((v for v in known if v.tags[FINGERPRINT_TAG] == fingerprint), None)
    if version is None:
        run = attach_run(model.card.study, model.card.run, model.card.mlflow_run_id, root)
        parent = _parent_model_id(client, model.card.parents)
        tags = {**_tags(lineage, metrics, tests), "parent_model_id": parent}
        version = _add_version(client, run, name, folder, model, lineage, metrics, tags)
        _link_metrics(run, version.tags[MODEL_ID_TAG], metrics, tests)
        _require_copy(client, model, version, uri)
        client.set_model_version_tag(name, version.version, FINGERPRINT_TAG, fingerprint)
    else:
        lineage = read_lineage(version, uri)
    store_evaluation(client, version, result, next(iter(tests)))
    with store_lock(root):
        _name_challengers(client, name, tests)
    return version_record(version, lineage, metrics)


def _name_challengers(client: MlflowClient, name: str, tests: Mapping[str, Conditions]) -> None:
    home = next(iter(tests))
    for test, conditions in tests.items():
        name_challenger(client, name, test, condition(conditions), home=test == home)


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
    card: ModelCard, result: Result, tests: Mapping[str, Conditions], weights: str
) -> None:
    missing = [f"{name}/mAP" for name in tests if f"{name}/mAP" not in result.metrics]
    if missing or not tests:
        raise RegistryError(
            f"{card.run}: no metric {', '.join(missing) or 'at all'}",
            "a plain mAP for every test",
            "Run `reid evaluate` first.",
        )
    for name in tests:
        measured = str(result.cards[name].get("model_digest"))
        if measured != weights:
            raise RegistryError(
                f"{card.run}: {name} was measured with the weights {measured[:12]}",
                f"those of the model, {weights[:12]}",
                "Run `reid embed` and `reid evaluate` again.",
            )


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
    return str(newest.tags[MODEL_ID_TAG]) if newest else find_logged_model(client, weights)


def _tags(
    lineage: Mapping[str, Any], metrics: Mapping[str, float], tests: Mapping[str, Conditions]
) -> dict[str, str]:
    flat = {
        key: str(value)
        for key, value in lineage.items()
        if key not in ("parents", "tests", *SECTIONS)
    }
    plain = {key: repr(value) for key, value in metrics.items() if "/rerank_" not in key}
    conditions = {condition_key(name): condition(test) for name, test in tests.items()}
    return {**flat, **condensed(lineage), **plain, **conditions}


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
        name,
        source,
        run.run_id,
        tags={**tags, MODEL_ID_TAG: model_id},
        description=card,
        model_id=model_id,  # a server takes its own store of files as a source only by this
    )
    link = json.dumps([{"name": name, "version": version.version}])
    # for MLflow's pages; a server does it by itself
    client.set_logged_model_tags(model_id, {"mlflow.modelVersions": link})
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
        client.delete_logged_model(version.tags[MODEL_ID_TAG])
        raise
