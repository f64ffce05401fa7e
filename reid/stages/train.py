"""Stage `train@<run>`: fit the network of a run and write its model directory."""

import csv
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from reid.data.images import TRAIN_RESAMPLING, ImageTable, image_facts
from reid.data.manifest import Manifest
from reid.errors import DataError, ParamsError
from reid.files import whole_folder, write_whole
from reid.methods.base import DataFacts, EmbeddingNetwork
from reid.methods.model_directory import save_model
from reid.methods.registry import METHODS, build_network, load_recipe
from reid.recipe import Recipe
from reid.stages.cards import model_card
from reid.stages.paths import CHECKPOINTS, manifest_file, model_folder, open_images
from reid.study import RunEntry, Study, load_study
from reid.tracking.lineage import lineage_tags
from reid.tracking.run import TrackedRun, start_run
from reid.training.loop import fit, require_precision

_RUN_ID = "mlflow_run_id"


def train_run(name: str) -> None:
    """Train a run of the active study, resuming where an earlier attempt was stopped."""
    study = load_study()
    run = study.run(name)
    recipe = load_recipe(run.recipe, run.overrides)
    require_precision(recipe.precision)
    manifest = Manifest.load(manifest_file(run.train))
    checkpoints = CHECKPOINTS / _digest(study, name, recipe, manifest)
    with _alone(study, name), _tracked(study, name, recipe, manifest, checkpoints) as tracked:
        network = _network(study, run, recipe, manifest)
        table = _training_table(study, run, recipe, manifest)
        labels = [int(label) for label in manifest.train["label"]]
        sink = _Sink(tracked)
        history = fit(network, recipe, table, labels, study.seed, checkpoints, sink)
        card = model_card(
            run=name,
            study=study.study,
            recipe=recipe,
            manifest=manifest,
            network=network,
            dataset=run.train,
            seed=study.seed,
            parents=(recipe.pretrained,) if recipe.pretrained else (),
            mlflow_run_id=tracked.run_id,
        )
        with whole_folder(model_folder(study.study, name)) as folder:
            save_model(folder, network, recipe, card)
            _write_history(folder / "history.csv", history)
    shutil.rmtree(checkpoints)


@contextmanager
def _alone(study: Study, name: str) -> Iterator[None]:
    """Keep a second process off the same checkpoints: a killed DVC leaves its stage running."""
    CHECKPOINTS.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(CHECKPOINTS / f"{study.study}.{name}.lock", timeout=0):
            yield
    except Timeout:
        raise ParamsError(
            f"another process is training {name}", "one at a time", "Wait for it, or end it."
        ) from None


class _Sink:
    """Send epoch metrics to MLflow."""

    def __init__(self, tracked: TrackedRun) -> None:
        self._tracked = tracked

    def log_epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        self._tracked.log_metrics((f"train/{key}", value, epoch) for key, value in metrics.items())


def _digest(study: Study, name: str, recipe: Recipe, manifest: Manifest) -> str:
    """Name of the checkpoint folder: it changes with everything that decides the weights."""
    facts = [study.study, name, study.seed, recipe.model_dump(mode="json"), manifest.digest]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def _tracked(
    study: Study, name: str, recipe: Recipe, manifest: Manifest, checkpoints: Path
) -> TrackedRun:
    """Start the MLflow run, or go on with the one of the attempt that was stopped."""
    kept = checkpoints / _RUN_ID
    params = {**recipe.model_dump(mode="json"), "seed": study.seed}
    tags = lineage_tags(
        study=study.study,
        method=recipe.method,
        stage=f"train@{name}",
        params=params,
        ethics=manifest.meta.ethics,
    )
    run_id = kept.read_text(encoding="utf-8") if kept.exists() else None
    tracked = start_run(study.study, name, run_id, tags, params)
    write_whole(kept, tracked.run_id)
    train = study.run(name).train
    tracked.log_dataset(train, manifest.digest, str(manifest_file(train)), "train")
    return tracked


def _network(study: Study, run: RunEntry, recipe: Recipe, manifest: Manifest) -> EmbeddingNetwork:
    if manifest.train.empty:
        raise DataError(
            f"{run.train}: the training split is empty",
            "labelled images",
            "Choose another dataset.",
        )
    torch.manual_seed(study.seed)
    facts = DataFacts(manifest.num_classes, manifest.num_cameras, manifest.num_views)
    network = build_network(recipe, facts)
    if recipe.pretrained is not None:
        report = METHODS[recipe.method].load_pretrained(network, recipe.pretrained)
        print(f"{recipe.pretrained}: {report.summary()}")
    return network


def _training_table(study: Study, run: RunEntry, recipe: Recipe, manifest: Manifest) -> ImageTable:
    rows = manifest.train
    storage = open_images(run.train, study.dataset(run.train))
    facts = image_facts(manifest, rows.index.to_numpy(), manifest.train_cameras)
    paths, image = rows["path"].tolist(), recipe.image
    return ImageTable(storage, paths, facts, image.height, image.width, TRAIN_RESAMPLING)


def _write_history(path: Path, history: list[dict[str, float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)
