"""The MLflow run of a training: begun with it, or written anew from what DVC keeps."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from reid.data.manifest import EthicsRecord, Manifest
from reid.methods.model_directory import CARD_FILE, RECIPE_FILE, LoadedModel, ModelCard, load_model
from reid.recipe import Recipe
from reid.stages.paths import manifest_file, model_folder
from reid.stages.pretrained import Parent, known_parent
from reid.stages.resumable import CURVES, HISTORY, tracked_run
from reid.study import STUDY_FILE, Study
from reid.tracking.lineage import lineage_tags
from reid.tracking.machine import machine, packages
from reid.tracking.run import TrackedRun, find_run, start_run

HEADING = "train"

_NOTE = """**{run}**: `{method}` trained on `{dataset}` in the study `{study}`, seed {seed}.

- model: `{folder}`, with card, recipe and history
- test results: `results/{study}/{run}.json`; ranked lists: `results/{study}/ranked/{run}/`
- comparison with the other runs: `reports/{study}/comparison.html`
- made by the DVC stage `train@{run}`: `dvc repro train@{run}`

Charts are over epochs (axis *step*): losses under `{heading}/`, the machine under `system/`.
"""


def begin_training_run(
    study: Study,
    name: str,
    recipe: Recipe,
    manifest: Manifest,
    parent: Parent,
    checkpoints: Path,
) -> TrackedRun:
    """Start the MLflow run of a training, or go on with the one of a stopped attempt."""
    params = _params(recipe, study.seed)
    ethics, train = manifest.meta.ethics, study.run(name).train
    tags = _tags(study.study, name, recipe, params, ethics, parent)
    tags["mlflow.note.content"] = _note(study.study, name, recipe, train, study.seed)
    tracked = tracked_run(study.study, name, checkpoints, tags, params)
    tracked.log_dataset(train, manifest.digest, str(manifest_file(train)), "train")
    _log_config(tracked, study, name, recipe)
    tracked.log_text(packages(), "environment/packages.txt")
    tracked.log_text(machine(), "environment/machine.txt")
    return tracked


def log_outcome(tracked: TrackedRun, folder: Path) -> None:
    """Add what a model folder tells of its training, but for the weights."""
    tracked.log_files([folder / CURVES, folder / HISTORY], "training")
    tracked.log_files([folder / CARD_FILE, folder / RECIPE_FILE], "model")


def restore_training_run(study: Study, name: str) -> None:
    """Write the run of a trained model anew, where the store does not know it.

    Parameters, terms, metrics of every epoch and pictures are those of the model folder. What only
    the lost run knew, such as its times and its machine, is left out, and the tag `restored_from`
    says so.
    """
    folder = model_folder(study.study, name)
    model = load_model(folder)
    card = model.card
    if card.mlflow_run_id is None or find_run(card.mlflow_run_id) is not None:
        return
    params = _params(model.recipe, card.seed)
    tags = _tags_of_card(model, params) | {
        "restored_from": str(folder),
        "mlflow.note.content": _note(card.study, name, model.recipe, card.train_dataset, card.seed),
    }
    with start_run(card.study, name, card.mlflow_run_id, tags, params) as tracked:
        source = str(manifest_file(card.train_dataset))
        tracked.log_dataset(card.train_dataset, card.manifest_digest, source, "train")
        _log_config(tracked, study, name, model.recipe)
        tracked.log_metrics(
            (f"{HEADING}/{key}", value, int(row["epoch"]))
            for row in _history(folder)
            for key, value in row.items()
            if key != "epoch"
        )
        log_outcome(tracked, folder)
    print(f"{name}: its MLflow run was lost, and is written anew from {folder}")


def _params(recipe: Recipe, seed: int) -> Mapping[str, Any]:
    return {**recipe.model_dump(mode="json"), "seed": seed}


def _tags(
    study: str,
    name: str,
    recipe: Recipe,
    params: Mapping[str, Any],
    ethics: EthicsRecord | None,
    parent: Parent,
) -> dict[str, str]:
    tags = lineage_tags(
        study=study, method=recipe.method, stage=f"train@{name}", params=params, ethics=ethics
    )
    return {**tags, **parent.tags}


def _tags_of_card(model: LoadedModel, params: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags that the run had, without those of this checkout and machine."""
    card, parent = model.card, known_parent(model.card.parents)
    tags = _tags(card.study, card.run, model.recipe, params, _ethics(card), parent)
    kept = {key: value for key, value in tags.items() if not key.startswith("hardware.")}
    commit, _, dirty = (card.git_commit or "unknown").partition("+")
    return {
        **kept,
        "git.commit": commit,
        "git.dirty": str(bool(dirty)).lower(),
        "mlflow.source.git.commit": commit,
        **{f"backend.{part}": backend for part, backend in card.backends.items()},
    }


def _ethics(card: ModelCard) -> EthicsRecord | None:
    if not card.licence:
        return None
    return EthicsRecord(card.licence, card.status, card.consent, card.acknowledged_by)


def _note(study: str, name: str, recipe: Recipe, dataset: str, seed: int) -> str:
    return _NOTE.format(
        run=name,
        method=recipe.method,
        dataset=dataset,
        study=study,
        seed=seed,
        folder=model_folder(study, name),
        heading=HEADING,
    )


def _log_config(tracked: TrackedRun, study: Study, name: str, recipe: Recipe) -> None:
    """Add recipe, study and the run's entry, each whole and readable."""
    tracked.log_text(_yaml(recipe.model_dump(mode="json")), "config/recipe.yaml")
    tracked.log_text(_yaml(study.run(name).model_dump(mode="json")), "config/run.yaml")
    tracked.log_text(STUDY_FILE.read_text(encoding="utf-8"), "config/study.yaml")


def _yaml(tree: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(tree), sort_keys=False)


def _history(folder: Path) -> list[dict[str, float]]:
    with (folder / HISTORY).open(newline="", encoding="utf-8") as file:
        return [
            {key: float(value) for key, value in row.items() if value != ""}
            for row in csv.DictReader(file)
        ]
