"""Stage `pretrain@<name>`: a backbone from unlabelled images, and all that it grew from."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import reid
from reid.data.images import TRAIN_RESAMPLING, ImageTable, image_facts
from reid.data.manifest import Manifest
from reid.files import whole_folder
from reid.pretrain.distillation import SelfDistillation, build_distillation
from reid.pretrain.parent import BACKBONE_FILE, load_parent, parent_file
from reid.pretrain.pretrained_directory import (
    PretrainCard,
    backbone_facts,
    save_card,
    save_pretrained,
)
from reid.pretrain.recipe import PretrainRecipe, load_pretrain_recipe
from reid.pretrain.score_file import read_scores
from reid.pretrain.selection import select
from reid.stages.alone import one_at_a_time
from reid.stages.paths import manifest_file, open_images, pretrained_folder
from reid.stages.resumable import (
    EpochSink,
    SilentSink,
    checkpoint_folder,
    tracked_run,
    write_history,
)
from reid.stages.select import pretraining_rows
from reid.study import AT_RANDOM, FRESH, PretrainingEntry, Study, load_study
from reid.tracking.digest import sha256
from reid.tracking.lineage import git_state, lineage_tags
from reid.tracking.logged_backbone import log_backbone
from reid.tracking.run import TrackedRun
from reid.training.callbacks import MetricSink
from reid.training.precision import require_precision
from reid.training.pretraining import KEPT, pretrain
from reid.training.processes import Processes

METHOD = "pretrain"


class _Task(NamedTuple):
    """A pretraining of the active study, with what it reads."""

    study: Study
    name: str
    entry: PretrainingEntry
    recipe: PretrainRecipe
    manifest: Manifest
    rows: NDArray[np.int64]
    checkpoints: Path

    @property
    def params(self) -> Mapping[str, Any]:
        """All that decides the weights beside code and data."""
        entry = self.entry.model_dump(mode="json", exclude={"recipe", "overrides"})
        return {**self.recipe.model_dump(mode="json"), **entry, "seed": self.study.seed}


def pretrain_backbone(name: str, devices: int = 1) -> None:
    """Run a pretraining of the active study, resuming where an earlier attempt was stopped.

    Args:
        devices: Processes that share each batch. Those after the first come here too; they train
            and write nothing.
    """
    task = _task(name)
    if not Processes(devices).first:
        _fit(task, SilentSink(), devices)
        return
    with one_at_a_time(f"pretrain@{name}"), _tracked(task) as tracked:
        distillation, history = _fit(task, EpochSink(tracked, "pretrain"), devices)
        with whole_folder(pretrained_folder(task.study.study, name)) as folder:
            kept = sorted((task.checkpoints / KEPT).glob("*.safetensors"))
            save_pretrained(folder, distillation, task.recipe, kept)
            write_history(folder, history, f"{name} pretrained on {task.entry.data}")
            card = _card(task, distillation, folder, tracked.run_id, devices)
            save_card(folder, card)
            log_backbone(tracked, folder, card, task.params)
    shutil.rmtree(task.checkpoints)


def _task(name: str) -> _Task:
    study = load_study()
    entry = study.pretraining(name)
    recipe = load_pretrain_recipe(entry.recipe, entry.overrides)
    require_precision(recipe.precision)
    manifest = Manifest.load(manifest_file(entry.data))
    rows = _rows(entry, manifest, study.seed)
    parent = "" if entry.starts_from == FRESH else sha256(parent_file(entry.starts_from))
    facts = (study.study, name, study.seed, recipe.model_dump(mode="json"), manifest.digest)
    chosen = hashlib.sha256(rows.tobytes()).hexdigest()  # of millions of rows
    checkpoints = checkpoint_folder(*facts, chosen, parent)
    return _Task(study, name, entry, recipe, manifest, rows, checkpoints)


def _rows(entry: PretrainingEntry, manifest: Manifest, seed: int) -> NDArray[np.int64]:
    """Return the rows of the manifest that are used."""
    frame = pretraining_rows(entry.data, manifest)
    scores = None if entry.selected_by == AT_RANDOM else read_scores(entry.selected_by)
    chosen = select(frame["path"].tolist(), entry.share, scores, seed)
    return np.asarray(frame.index.to_numpy()[chosen], np.int64)


def _fit(
    task: _Task, sink: MetricSink, devices: int
) -> tuple[SelfDistillation, list[dict[str, float]]]:
    torch.manual_seed(task.study.seed)
    distillation = build_distillation(task.recipe)
    if task.entry.starts_from != FRESH:
        report = load_parent(distillation, task.entry.starts_from)
        print(f"{task.entry.starts_from}: {report.summary()}")
    storage = open_images(task.entry.data, task.study.dataset(task.entry.data))
    table = ImageTable(
        storage,
        task.manifest.frame["path"].iloc[task.rows].tolist(),
        image_facts(task.manifest, task.rows, ()),
        *task.recipe.views.source_size,
        TRAIN_RESAMPLING,
    )
    history = pretrain(
        distillation, task.recipe, table, task.study.seed, task.checkpoints, sink, devices
    )
    return distillation, history


def _tracked(task: _Task) -> TrackedRun:
    study, entry, manifest = task.study, task.entry, task.manifest
    tags = lineage_tags(
        study=study.study,
        method=METHOD,
        stage=f"pretrain@{task.name}",
        params=task.params,
        ethics=manifest.meta.ethics,
    )
    title = f"{task.name} (pretraining)"
    tracked = tracked_run(study.study, title, task.checkpoints, tags, task.params)
    source = str(manifest_file(entry.data))
    tracked.log_dataset(entry.data, manifest.digest, source, "pretrain")
    return tracked


def _card(
    task: _Task, distillation: SelfDistillation, folder: Path, run_id: str, devices: int
) -> PretrainCard:
    ethics, state = task.manifest.meta.ethics, git_state()
    entry, recipe = task.entry, task.recipe
    return PretrainCard(
        name=task.name,
        study=task.study.study,
        dataset=entry.data,
        manifest_digest=task.manifest.digest,
        images=len(task.rows),
        selected_by=str(entry.selected_by),
        licence=ethics.licence if ethics else "",
        status=ethics.status if ethics else "",
        consent=ethics.consent if ethics else "",
        acknowledged_by=ethics.acknowledged_by if ethics else "",
        parents=() if entry.starts_from == FRESH else (str(entry.starts_from),),
        backbone=backbone_facts(distillation.teacher.backbone, recipe),
        weights_sha256=sha256(folder / BACKBONE_FILE),
        mlflow_run_id=run_id,
        git_commit=f"{state.commit}{'+dirty' if state.dirty else ''}",
        precision=recipe.precision,
        seed=task.study.seed,
        world_size=devices,
        epochs=recipe.epochs,
        version=reid.__version__,
    )
