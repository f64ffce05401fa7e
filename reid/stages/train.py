"""Stage `train@<run>`: fit the network of a run and write its model directory."""

import io
import shutil
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

from reid.data.images import TRAIN_RESAMPLING, ImageTable, image_facts
from reid.data.manifest import Manifest
from reid.errors import DataError, ReidWarning
from reid.files import whole_folder
from reid.methods.base import DataFacts, EmbeddingNetwork
from reid.methods.embedding import best_device
from reid.methods.model_directory import save_model
from reid.methods.registry import load_recipe
from reid.recipe import Recipe
from reid.stages.alone import one_at_a_time
from reid.stages.cards import model_card
from reid.stages.paths import manifest_file, model_folder, open_images
from reid.stages.pretrained import Parent, begin_network, find_parent
from reid.stages.resumable import (
    EpochSink,
    SilentSink,
    checkpoint_folder,
    write_history,
)
from reid.stages.training_run import HEADING, begin_training_run, log_outcome
from reid.study import RunEntry, Study, load_study
from reid.tracking.lineage import backend_tags
from reid.training.callbacks import MetricSink
from reid.training.loop import Trained, fit
from reid.training.precision import require_precision
from reid.training.processes import (
    ONE_PROCESS,
    Processes,
    announce_first,
    end_with_first,
    require_processes,
)


class _Task(NamedTuple):
    """A run of the active study, with what it reads."""

    study: Study
    name: str
    run: RunEntry
    recipe: Recipe
    manifest: Manifest
    parent: Parent
    checkpoints: Path


def train_run(name: str, processes: Processes = ONE_PROCESS) -> None:
    """Train a run of the active study, resuming where an earlier attempt was stopped.

    Args:
        processes: They share each batch. All come here; those after the first train, and write and
            say nothing. A training may be resumed with another number of them.
    """
    if processes.first:
        announce_first()
        _train_and_write(_task(name, processes), processes)
        return
    end_with_first()
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", ReidWarning)
        task = _task(name, processes)
        _fit(task, _network(task), SilentSink(), processes)


def _train_and_write(task: _Task, processes: Processes) -> None:
    study, name = task.study, task.name
    with (
        one_at_a_time(f"train@{name}"),
        begin_training_run(
            study, name, task.recipe, task.manifest, task.parent, task.checkpoints
        ) as tracked,
    ):
        network = _network(task)
        backends = network.backends(best_device().type)
        tracked.set_tags(backend_tags(backends))
        trained = _fit(task, network, EpochSink(tracked, HEADING), processes)
        card = model_card(
            run=name,
            study=study.study,
            recipe=task.recipe,
            manifest=task.manifest,
            network=network,
            dataset=task.run.train,
            seed=study.seed,
            parent=task.parent,
            mlflow_run_id=tracked.run_id,
            backends={part: choice.name for part, choice in backends.items()},
            training_seconds=trained.seconds,
            world_size=processes.count,
        )
        with whole_folder(model_folder(study.study, name)) as folder:
            save_model(folder, network, task.recipe, card)
            title = f"{name} ({task.recipe.method}) trained on {task.run.train}"
            write_history(folder, trained.history, title)
        log_outcome(tracked, model_folder(study.study, name))
    shutil.rmtree(task.checkpoints)


def _task(name: str, processes: Processes) -> _Task:
    study = load_study()
    run = study.run(name)
    recipe = load_recipe(run.recipe, run.overrides)
    require_precision(recipe.precision)
    require_processes(processes, recipe)
    manifest = Manifest.load(manifest_file(run.train))
    parent = find_parent(run.starts_from, recipe)
    facts = (study.study, name, study.seed, recipe.model_dump(mode="json"), manifest.digest)
    return _Task(
        study, name, run, recipe, manifest, parent, checkpoint_folder(*facts, parent.digest)
    )


def _network(task: _Task) -> EmbeddingNetwork:
    manifest = task.manifest
    if manifest.train.empty:
        raise DataError(
            f"{task.run.train}: the training split is empty",
            "labelled images",
            "Choose another dataset.",
        )
    facts = DataFacts(manifest.num_classes, manifest.num_cameras, manifest.num_views)
    return begin_network(task.recipe, facts, task.study.seed, task.parent.weights)


def _fit(task: _Task, network: EmbeddingNetwork, sink: MetricSink, processes: Processes) -> Trained:
    table, seed = _training_table(task), task.study.seed
    labels = [int(label) for label in task.manifest.train["label"]]
    return fit(network, task.recipe, table, labels, seed, task.checkpoints, sink, processes)


def _training_table(task: _Task) -> ImageTable:
    run, manifest, image = task.run, task.manifest, task.recipe.image
    rows = manifest.train
    storage = open_images(run.train, task.study.dataset(run.train))
    facts = image_facts(manifest, rows.index.to_numpy(), manifest.train_cameras)
    paths = rows["path"].tolist()
    return ImageTable(storage, paths, facts, image.height, image.width, TRAIN_RESAMPLING)
