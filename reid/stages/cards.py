"""The card of a model directory, from what is known of data, recipe and network."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import reid
from reid.data.manifest import WITHDRAWN, EthicsRecord, Manifest
from reid.methods.base import EmbeddingNetwork
from reid.methods.model_directory import ModelCard
from reid.recipe import Recipe
from reid.stages.pretrained import Parent
from reid.tracking.lineage import git_state

IMPORTED = "imported"
"""Study of models that were trained elsewhere, whose parent is the checkpoint they come from."""


def model_card(
    *,
    run: str,
    study: str,
    recipe: Recipe,
    manifest: Manifest,
    network: EmbeddingNetwork,
    dataset: str,
    seed: int,
    parent: Parent,
    mlflow_run_id: str | None = None,
    backends: Mapping[str, str] = MappingProxyType({}),
    training_seconds: float | None = None,
    world_size: int = 1,
) -> ModelCard:
    """Collect the card; terms that nobody stated are left empty, and the registry refuses them.

    Args:
        backends: Those it was trained with here.
        training_seconds: Time of all epochs here.
        world_size: Processes that trained together here.
    """
    labelled = manifest.train.drop_duplicates("label").sort_values("label")
    terms = joined_terms(manifest.meta.ethics, parent)
    state = git_state()
    return ModelCard(
        run=run,
        study=study,
        method=recipe.method,
        person_ids=tuple(int(person) for person in labelled["pid"]),
        camera_ids=manifest.train_cameras,
        num_views=manifest.num_views,
        feature_size=network.feature_size,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        train_dataset=dataset,
        manifest_digest=manifest.digest,
        licence=terms.licence,
        status=terms.status,
        consent=terms.consent,
        acknowledged_by=terms.acknowledged_by,
        parents=parent.names,
        pretraining=parent.facts,
        mlflow_run_id=mlflow_run_id,
        git_commit=f"{state.commit}{'+dirty' if state.dirty else ''}",
        precision=recipe.precision,
        seed=seed,
        world_size=world_size,
        backends=dict(backends),
        training_seconds=training_seconds and round(training_seconds, 1),
        epochs=recipe.schedule.epochs,
        version=reid.__version__,
    )


class Terms(NamedTuple):
    """Terms of use; empty where nobody stated them."""

    licence: str
    status: str
    consent: str
    acknowledged_by: str


def joined_terms(ethics: EthicsRecord | None, parent: Parent) -> Terms:
    """Join the terms of the training data with those of the data that the parent learned from.

    Of two different statements both are kept, but a withdrawn dataset marks all that comes of it.
    """
    sources = [source for source in (ethics, parent.card) if source is not None]
    joined = Terms(*(_joined(sources, name) for name in Terms._fields))
    if any(source.status == WITHDRAWN for source in sources):
        return joined._replace(status=WITHDRAWN)
    return joined


def _joined(sources: Sequence[object], name: str) -> str:
    if any(name != "acknowledged_by" and not getattr(source, name) for source in sources):
        return ""  # a part without terms leaves the whole without
    return "; ".join(dict.fromkeys(filter(None, (getattr(source, name) for source in sources))))
