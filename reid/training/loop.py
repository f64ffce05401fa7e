"""Train a network: Lightning's loop with our sampler, schedule and checkpoints."""

import logging
import os
import sys
import warnings
from pathlib import Path

import torch
from lightning import LightningDataModule, Trainer
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.strategies import Strategy
from torch.utils.data import DataLoader

from reid.data.images import Batch, ImageTable, keep_batch
from reid.data.samplers.identity import IdentityBatchSampler
from reid.methods.base import EmbeddingNetwork
from reid.recipe import Precision, Recipe
from reid.training.callbacks import (
    LAST_CHECKPOINT,
    AtomicCheckpoint,
    EpochLines,
    History,
    MetricSink,
)
from reid.training.learner import Learner
from reid.training.precision import require_precision, trainer_precision


class _Batches(LightningDataModule):
    """Give Lightning a fresh loader for every epoch: the number of batches differs."""

    def __init__(self, table: ImageTable, labels: list[int], recipe: Recipe, seed: int) -> None:
        super().__init__()
        self._table, self._labels, self._recipe, self._seed = table, labels, recipe, seed

    def train_dataloader(self) -> DataLoader[Batch]:
        trainer = self.trainer
        if trainer is None:
            raise RuntimeError("the loader is made by a running trainer")
        sampler = IdentityBatchSampler(
            self._labels,
            self._recipe.sampler.identities,
            self._recipe.sampler.images,
            self._seed,
            trainer.global_rank,
            trainer.world_size,
        )
        sampler.set_epoch(trainer.current_epoch)
        return DataLoader(
            self._table,
            batch_sampler=sampler,
            num_workers=loader_workers(self._table),
            collate_fn=keep_batch,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else each iterator takes a draw from the global one
        )


def fit(
    network: EmbeddingNetwork,
    recipe: Recipe,
    table: ImageTable,
    labels: list[int],
    seed: int,
    checkpoints: Path,
    sink: MetricSink,
) -> list[dict[str, float]]:
    """Train `network` in place, resuming from `checkpoints` if a run was stopped there.

    Args:
        labels: Class of every image of `table`.
        checkpoints: Folder that belongs to exactly these parameters and data.

    Returns:
        One row per epoch: epoch, learning rate, mean of every loss.

    Raises:
        ParamsError: fp16 without a GPU.
    """
    require_precision(recipe.precision)
    checkpoints.mkdir(parents=True, exist_ok=True)
    history = History(sink)
    trainer = make_trainer(
        recipe.schedule.epochs, recipe.precision, [history, AtomicCheckpoint(checkpoints)]
    )
    last = checkpoints / LAST_CHECKPOINT
    trainer.fit(
        Learner(network, recipe, seed),
        datamodule=_Batches(table, labels, recipe, seed),
        ckpt_path=last if last.exists() else None,
        weights_only=True,
    )
    return history.rows


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


def loader_workers(table: ImageTable) -> int:
    """Return how many processes decode images: none where all are in memory already."""
    return 0 if table.preloaded else min(os.cpu_count() or 1, 8)
