"""Train a network: Lightning's loop with our sampler, schedule and checkpoints."""

import logging
import math
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from lightning import Trainer
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.strategies import Strategy

from reid.data.images import ImageTable
from reid.methods.base import EmbeddingNetwork
from reid.recipe import Precision, Recipe
from reid.training.callbacks import (
    LAST_CHECKPOINT,
    AdaptiveEnd,
    AtomicCheckpoint,
    EpochLines,
    History,
    MetricSink,
)
from reid.training.epoch_batches import EpochBatches
from reid.training.learner import Learner
from reid.training.precision import require_precision, trainer_precision


@dataclass(frozen=True)
class Trained:
    """What a training leaves beside the weights.

    Args:
        history: One row per epoch: epoch, learning rate, mean of every loss.
        seconds: Of all epochs, those before a resume included; None where that is not known.
    """

    history: list[dict[str, float]]
    seconds: float | None


def fit(
    network: EmbeddingNetwork,
    recipe: Recipe,
    table: ImageTable,
    labels: list[int],
    seed: int,
    checkpoints: Path,
    sink: MetricSink,
) -> Trained:
    """Train `network` in place, resuming from `checkpoints` if a run was stopped there.

    Args:
        labels: Class of every image of `table`.
        checkpoints: Folder that belongs to exactly these parameters and data.

    Raises:
        ParamsError: fp16 without a GPU.
    """
    require_precision(recipe.precision)
    checkpoints.mkdir(parents=True, exist_ok=True)
    learner = Learner(network, recipe, seed)
    history = History(sink, lambda: learner.learning_rate)
    ends = [] if learner.adaptive is None else [AdaptiveEnd(learner.adaptive)]
    trainer = make_trainer(
        recipe.schedule.epochs,
        recipe.precision,
        [*ends, history, AtomicCheckpoint(checkpoints)],
    )
    last = checkpoints / LAST_CHECKPOINT
    trainer.fit(
        learner,
        datamodule=EpochBatches(network, recipe, table, labels, seed),
        ckpt_path=last if last.exists() else None,
        weights_only=True,
    )
    return Trained(history.rows, None if math.isnan(history.seconds) else history.seconds)


def make_trainer(
    epochs: int,
    precision: Precision,
    callbacks: list[Callback],
    devices: int = 1,
    strategy: str | Strategy = "auto",
) -> Trainer:
    """Return Lightning's trainer as all our trainings use it: our records, no files of its own."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    shown: Callback = RichProgressBar() if sys.stderr.isatty() else EpochLines()
    return Trainer(
        accelerator="auto",
        devices=devices,
        strategy=strategy,
        max_epochs=epochs,
        **trainer_precision(precision),
        callbacks=[shown, *callbacks],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=isinstance(shown, RichProgressBar),
        use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
    )
