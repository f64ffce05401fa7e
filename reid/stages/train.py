"""Stage `train@<run>`: fit the network of a run and write its model directory."""

import shutil

from reid.data.images import TRAIN_RESAMPLING, ImageTable, image_facts
from reid.data.manifest import Manifest
from reid.errors import DataError
from reid.files import whole_folder
from reid.methods.base import DataFacts, EmbeddingNetwork
from reid.methods.embedding import best_device
from reid.methods.model_directory import save_model
from reid.methods.registry import load_recipe
from reid.recipe import Recipe
from reid.stages.cards import model_card
from reid.stages.paths import manifest_file, model_folder, open_images
from reid.stages.pretrained import Parent, begin_network, find_parent
from reid.stages.resumable import (
    EpochSink,
    checkpoint_folder,
    write_history,
)
from reid.stages.training_run import HEADING, begin_training_run, log_outcome
from reid.study import RunEntry, Study, load_study
from reid.tracking.lineage import backend_tags
from reid.training.loop import fit
from reid.training.precision import require_precision


def train_run(name: str) -> None:
    """Train a run of the active study, resuming where an earlier attempt was stopped."""
    study = load_study()
    run = study.run(name)
    recipe = load_recipe(run.recipe, run.overrides)
    require_precision(recipe.precision)
    manifest = Manifest.load(manifest_file(run.train))
    parent = find_parent(run.starts_from, recipe)
    checkpoints = checkpoint_folder(
        study.study,
        name,
        study.seed,
        recipe.model_dump(mode="json"),
        manifest.digest,
        parent.digest,
    )
    with begin_training_run(study, name, recipe, manifest, parent, checkpoints) as tracked:
        network = _network(study, run, recipe, manifest, parent)
        backends = network.backends(best_device().type)
        tracked.set_tags(backend_tags(backends))
        table = _training_table(study, run, recipe, manifest)
        labels = [int(label) for label in manifest.train["label"]]
        sink = EpochSink(tracked, HEADING)
        trained = fit(network, recipe, table, labels, study.seed, checkpoints, sink)
        card = model_card(
            run=name,
            study=study.study,
            recipe=recipe,
            manifest=manifest,
            network=network,
            dataset=run.train,
            seed=study.seed,
            parent=parent,
            mlflow_run_id=tracked.run_id,
            backends={part: choice.name for part, choice in backends.items()},
            training_seconds=trained.seconds,
        )
        with whole_folder(model_folder(study.study, name)) as folder:
            save_model(folder, network, recipe, card)
            write_history(
                folder, trained.history, f"{name} ({recipe.method}) trained on {run.train}"
            )
        log_outcome(tracked, model_folder(study.study, name))
    shutil.rmtree(checkpoints)


def _network(
    study: Study, run: RunEntry, recipe: Recipe, manifest: Manifest, parent: Parent
) -> EmbeddingNetwork:
    if manifest.train.empty:
        raise DataError(
            f"{run.train}: the training split is empty",
            "labelled images",
            "Choose another dataset.",
        )
    facts = DataFacts(manifest.num_classes, manifest.num_cameras, manifest.num_views)
    return begin_network(recipe, facts, study.seed, parent.weights)


def _training_table(study: Study, run: RunEntry, recipe: Recipe, manifest: Manifest) -> ImageTable:
    rows = manifest.train
    storage = open_images(run.train, study.dataset(run.train))
    facts = image_facts(manifest, rows.index.to_numpy(), manifest.train_cameras)
    paths, image = rows["path"].tolist(), recipe.image
    return ImageTable(storage, paths, facts, image.height, image.width, TRAIN_RESAMPLING)
