"""Train a network: Lightning's loop with our sampler, schedule and checkpoints."""

import logging
import math
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lightning import Trainer
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.strategies import DDPStrategy, Strategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from torch.distributed import DistError

from reid.data.images import ImageTable
from reid.errors import TrainingError, first_line
from reid.methods.base import EmbeddingNetwork
from reid.recipe import Precision, Recipe
from reid.training.callbacks import (
    LAST_CHECKPOINT,
    AdaptiveEnd,
    AtomicCheckpoint,
    EpochLines,
    EqualBuffers,
    History,
    MetricSink,
)
from reid.training.epoch_batches import EpochBatches
from reid.training.learner import Learner
from reid.training.precision import require_precision, trainer_precision
from reid.training.processes import ONE_PROCESS, Processes, require_processes, share_network


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
    processes: Processes = ONE_PROCESS,
) -> Trained:
    """Train `network` in place, resuming from `checkpoints` if a run was stopped there.

    Args:
        labels: Class of every image of `table`.
        checkpoints: Folder that belongs to exactly these parameters and data; all processes see it.
        processes: They share each batch. With several, Lightning starts the program again for each
            of the others on this node, if no launcher has.

    Raises:
        ParamsError: fp16 without a GPU, or processes that cannot share a batch of this recipe.
        TrainingError: Another process has ended.
    """
    require_precision(recipe.precision)
    require_processes(processes, recipe)
    several = processes.count > 1
    if several:
        share_network(network)
    checkpoints.mkdir(parents=True, exist_ok=True)
    learner = Learner(network, recipe, seed)
    history = History(sink, lambda: learner.learning_rate)
    ends = [] if learner.adaptive is None else [AdaptiveEnd(learner.adaptive)]
    trainer = make_trainer(
        recipe.schedule.epochs,
        recipe.precision,
        [*ends, history, *([EqualBuffers()] if several else []), AtomicCheckpoint(checkpoints)],
        processes,
        _strategy(network) if several else "auto",
    )
    last = checkpoints / LAST_CHECKPOINT
    with _ending_together(trainer):
        trainer.fit(
            learner,
            datamodule=EpochBatches(network, recipe, table, labels, seed),
            ckpt_path=last if last.exists() else None,
            weights_only=True,
        )
    return Trained(history.rows, None if math.isnan(history.seconds) else history.seconds)


def _strategy(network: EmbeddingNetwork) -> DDPStrategy:
    # buffers are made equal at the end of an epoch, not by taking those of the first process
    return DDPStrategy(find_unused_parameters=network.idle_parameters, broadcast_buffers=False)


@contextmanager
def _ending_together(trainer: Trainer) -> Iterator[None]:
    """Leave no process behind where this one fails, and say in a line where another one did."""
    try:
        yield
    except BaseException as error:
        launcher = trainer.strategy.launcher
        if isinstance(launcher, _SubprocessScriptLauncher):
            launcher.kill(signal.SIGKILL)
        # gloo's errors have no type of their own
        if isinstance(error, DistError) or (
            isinstance(error, RuntimeError) and "gloo" in str(error)
        ):
            raise TrainingError(
                f"another process of this training has ended ({first_line(error)})",
                f"all {trainer.world_size} of them",
                "See what it said, then repeat the command: it resumes.",
            ) from error
        raise


def make_trainer(
    epochs: int,
    precision: Precision,
    callbacks: list[Callback],
    processes: Processes = ONE_PROCESS,
    strategy: str | Strategy = "auto",
) -> Trainer:
    """Return Lightning's trainer as all our trainings use it: our records, no files of its own."""
    for part in ("pytorch", "fabric"):
        logging.getLogger(f"lightning.{part}").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    shown: Callback = RichProgressBar() if sys.stderr.isatty() else EpochLines()
    return Trainer(
        accelerator="auto",
        devices=processes.devices,
        num_nodes=processes.nodes,
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
