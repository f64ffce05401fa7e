"""Versions of registered models: how they are named, found and ranked."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from reid.data.manifest import WITHDRAWN
from reid.errors import RegistryError
from reid.params import nearest
from reid.tracking.lineage import params_hash
from reid.tracking.model_card import Conditions

CHAMPION, CHALLENGER = "champion", "challenger"
FINGERPRINT_TAG = "fingerprint"  # of lineage and metrics; a version is whole when it has one
HOME_TAG = "home_test"
LINEAGE_FILE = "lineage.json"  # beside the model
EVALUATION_TAG = "evaluation_md5"
MODEL_ID_TAG = "model_id"  # a tag, as MLflow's SQL registry does not keep the id itself

_NOT_ALIAS = re.compile(r"[^\w\-]")
_MISSING = "RESOURCE_DOES_NOT_EXIST"


def family_name(study: str, train_dataset: str) -> str:
    """Name the registered model whose versions are the runs of a study on a training set."""
    return f"{study}.{train_dataset}"


def aliases(word: str, test: str, *, home: bool) -> list[str]:
    """Return the aliases of a test: `<word>-<dataset>-<protocol>`, and the bare word at home."""
    return [f"{word}-{_NOT_ALIAS.sub('-', test)}", *([word] if home else [])]


def condition_key(test: str) -> str:
    """Return the tag that says under which conditions a version was measured."""
    return f"{test}/conditions"


def condition(test: Conditions) -> str:
    """Return what two versions must share to be ranked against each other."""
    return params_hash({"manifest": test.manifest_digest, "protocol": dict(test.protocol)})


def list_versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    """Return the versions that were registered to the end, oldest first."""
    found = client.search_model_versions(f"name='{name}'")
    whole = (version for version in found if FINGERPRINT_TAG in version.tags)
    return sorted(whole, key=lambda version: int(version.version))


def tests_of(version: ModelVersion) -> list[str]:
    """Return each `<dataset>/<protocol>` on which a version was measured."""
    end = condition_key("")
    return sorted(key.removesuffix(end) for key in version.tags if key.endswith(end))


def label(version: ModelVersion) -> str:
    """Name a version for people."""
    return f"{version.tags['run']} ({version.name}/{version.version})"


def download(version: ModelVersion, target: Path, uri: str, name: str = "") -> Path:
    """Copy what is stored of a version, or one file or folder of it, below `target`.

    Args:
        uri: Tracking URI of the store.
    """
    # `models:/` itself would need MLflow's global tracking address; the source is behind it
    source = f"{version.source}/{name}" if name else version.source
    return Path(mlflow.artifacts.download_artifacts(source, dst_path=str(target), tracking_uri=uri))


def champion_of(client: MlflowClient, name: str, test: str) -> ModelVersion | None:
    """Return the champion of a test, or None where there is none."""
    (alias,) = aliases(CHAMPION, test, home=False)
    version = client.get_registered_model(name).aliases.get(alias)
    return None if version is None else client.get_model_version(name, str(version))


def give_aliases(
    client: MlflowClient,
    name: str,
    word: str,
    test: str,
    version: ModelVersion | None,
    *,
    home: bool,
) -> None:
    """Point the aliases of a test at a version, or take them away."""
    held = client.get_registered_model(name).aliases
    for alias in aliases(word, test, home=home):
        if version is not None:
            client.set_registered_model_alias(name, alias, version.version)
        elif alias in held:
            client.delete_registered_model_alias(name, alias)


def name_challenger(
    client: MlflowClient, name: str, test: str, conditions: str, *, home: bool
) -> None:
    """Make the best version that may be promoted, and is not the champion, the challenger.

    Only versions that were measured under the same conditions are ranked; of equals the newest
    comes first.

    Args:
        conditions: As the tag `condition_key(test)` of a version has them.
    """
    champion = champion_of(client, name, test)
    rivals = [
        version
        for version in list_versions(client, name)
        if version.tags.get(condition_key(test)) == conditions
        and version.tags["status"] != WITHDRAWN
        and EVALUATION_TAG in version.tags
        and (champion is None or version.version != champion.version)
    ]
    best = max(rivals, key=lambda v: (float(v.tags[f"{test}/mAP"]), int(v.version)), default=None)
    give_aliases(client, name, CHALLENGER, test, best, home=home)


def is_version_name(text: str) -> bool:
    """Tell whether a text names a version of the registry: `NAME/VERSION` or `NAME@ALIAS`."""
    return "/" in text or "@" in text


def named_version(client: MlflowClient, text: str) -> ModelVersion:
    """Find the version with a name, see `is_version_name`.

    Raises:
        RegistryError: There is no such version.
    """
    if "@" in text:
        name, _, alias = text.partition("@")
        held = {str(a): str(v) for a, v in _registered_model(client, name).aliases.items()}
        return _choose(client, name, "alias", alias, held)
    name, _, number = text.rpartition("/")
    _registered_model(client, name)
    known = {str(version.version): str(version.version) for version in list_versions(client, name)}
    return _choose(client, name, "version", number, known)


def find_version(client: MlflowClient, model: str, family: Callable[[str], str]) -> ModelVersion:
    """Find the version that a user means.

    Args:
        model: `NAME/VERSION`, `NAME@ALIAS`, or a run, of which the newest version is taken.
        family: Gives the registered model of a run, or raises where there is no such run.

    Raises:
        RegistryError: There is no such version.
    """
    if is_version_name(model):
        return named_version(client, model)
    name = family(model)
    mine = [version for version in list_versions(client, name) if version.tags["run"] == model]
    if not mine:
        raise RegistryError(
            f"{name} has no version of the run '{model}'",
            "a registered run",
            f"Register it with `reid register {model}`.",
        )
    return mine[-1]


def registered_names(client: MlflowClient) -> list[str]:
    """Return the names of all registered models."""
    return sorted(found.name for found in client.search_registered_models())


def require_registered(client: MlflowClient, name: str) -> None:
    """Refuse the name of a registered model that does not exist, naming the nearest one."""
    _registered_model(client, name)


def _registered_model(client: MlflowClient, name: str) -> Any:
    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != _MISSING:
            raise
    known = registered_names(client)
    raise RegistryError(
        f"no registered model '{name}'{nearest(name, known)}",
        f"one of {', '.join(known)}" if known else "a registered model",
        "Correct the name; `reid registry` lists those of the study.",
    )


def _choose(
    client: MlflowClient, name: str, kind: str, wanted: str, known: Mapping[str, str]
) -> ModelVersion:
    if wanted not in known:
        raise RegistryError(
            f"{name} has no {kind} '{wanted}'{nearest(wanted, known)}",
            f"one of {', '.join(known)}" if known else "a model that has one",
            f"Correct the {kind}; `reid registry {name}` lists them.",
        )
    return client.get_model_version(name, known[wanted])
