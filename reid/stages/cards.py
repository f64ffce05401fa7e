"""The card of a model directory, from what is known of data, recipe and network."""

import reid
from reid.data.manifest import Manifest
from reid.methods.base import EmbeddingNetwork
from reid.methods.model_directory import ModelCard
from reid.recipe import Recipe
from reid.tracking.lineage import git_state


def model_card(
    *,
    run: str,
    study: str,
    recipe: Recipe,
    manifest: Manifest,
    network: EmbeddingNetwork,
    dataset: str,
    seed: int,
    parents: tuple[str, ...] = (),
    mlflow_run_id: str | None = None,
) -> ModelCard:
    """Collect the card; terms that nobody stated are left empty, and the registry refuses them."""
    labelled = manifest.train.drop_duplicates("label").sort_values("label")
    ethics = manifest.meta.ethics
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
        licence=ethics.licence if ethics else "",
        status=ethics.status if ethics else "",
        consent=ethics.consent if ethics else "",
        acknowledged_by=ethics.acknowledged_by if ethics else "",
        parents=parents,
        mlflow_run_id=mlflow_run_id,
        git_commit=f"{state.commit}{'+dirty' if state.dirty else ''}",
        precision=recipe.precision,
        seed=seed,
        world_size=1,
        epochs=recipe.schedule.epochs,
        version=reid.__version__,
    )
