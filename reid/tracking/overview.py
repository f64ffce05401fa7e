"""What the registry holds: versions, aliases and decisions, for people."""

from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from reid.errors import RegistryError
from reid.tracking.history import Decision, read_history
from reid.tracking.store import MLRUNS, open_client
from reid.tracking.versions import (
    EVALUATION_TAG,
    list_versions,
    registered_names,
    require_registered,
    tests_of,
)


@dataclass(frozen=True)
class VersionRow:
    """A version in short.

    Args:
        scores: `<dataset>/<protocol>` to plain mAP.
        promotable: Whether its evaluation is stored.
    """

    version: int
    run: str
    method: str
    scores: dict[str, float]
    licence: str
    status: str
    promotable: bool


@dataclass(frozen=True)
class RegisteredModel:
    """A registered model in short.

    Args:
        aliases: Each to a version.
        history: The oldest decision first.
    """

    name: str
    versions: tuple[VersionRow, ...]
    aliases: dict[str, int]
    history: tuple[Decision, ...]


def read_overview(name: str | None, prefix: str = "", root: Path = MLRUNS) -> list[RegisteredModel]:
    """Read one registered model, or all whose names begin with a prefix.

    Raises:
        RegistryError: There is none.
    """
    client = open_client(root)
    if name is not None:
        require_registered(client, name)
        return [_read(client, name)]
    names = [found for found in registered_names(client) if found.startswith(prefix)]
    if not names:
        raise RegistryError(
            f"no registered model {prefix}…", "at least one", "Run `dvc repro`, or name one."
        )
    return [_read(client, found) for found in names]


def _read(client: MlflowClient, name: str) -> RegisteredModel:
    aliases = client.get_registered_model(name).aliases
    return RegisteredModel(
        name,
        tuple(_row(version) for version in list_versions(client, name)),
        {alias: int(aliases[alias]) for alias in sorted(aliases)},
        tuple(read_history(client, name)),
    )


def _row(version: ModelVersion) -> VersionRow:
    tags = version.tags
    return VersionRow(
        int(version.version),
        tags["run"],
        tags["method"],
        {test: float(tags[f"{test}/mAP"]) for test in tests_of(version)},
        tags["licence"],
        tags["status"],
        EVALUATION_TAG in tags,
    )
