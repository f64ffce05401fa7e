"""What happens at the end of every epoch: record, report, checkpoint."""

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from lightning import Callback, LightningModule, Trainer
from typing_extensions import override

from reid.training.schedule import AdaptiveStep

LAST_CHECKPOINT = "last.ckpt"


class MetricSink(Protocol):
    """Where the numbers of an epoch go beside the history, for example to MLflow."""

    def log_epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """Take the metrics of an epoch, counted from 1."""


class History(Callback):
    """Keep the epoch means of all losses, and the learning rate; they survive a resume.

    So do the `seconds` that all epochs took together; of an epoch that was stopped nothing is left,
    its time neither.

    Args:
        rate: Returns the learning rate of now, without the factors of single parameters.
    """

    def __init__(self, sink: MetricSink, rate: Callable[[], float]) -> None:
        self.rows: list[dict[str, float]] = []
        self.seconds = 0.0
        self._sink, self._rate = sink, rate
        self._started = time.monotonic()

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = time.monotonic()

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        losses = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        epoch = trainer.current_epoch + 1
        row = {"learning_rate": self._rate(), **losses}
        self.rows.append({"epoch": float(epoch), **row})
        seconds = time.monotonic() - self._started
        self.seconds += seconds
        self._sink.log_epoch(epoch, {**row, "epoch_seconds": seconds})

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "seconds": self.seconds}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])
        # checkpoints once had none: what such a training took in all is not known
        self.seconds = float(state_dict.get("seconds", math.nan))


class AdaptiveEnd(Callback):
    """Show `step` the loss of every epoch, and end the training where it says; before others look.

    What it knows survives a resume.
    """

    def __init__(self, step: AdaptiveStep) -> None:
        self._step = step

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.fit_loop.max_epochs = self._step.last_epoch

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loss = float(trainer.callback_metrics["loss"])
        self._step.end_epoch(trainer.current_epoch + 1, loss)
        trainer.fit_loop.max_epochs = self._step.last_epoch

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"reference": self._step.reference, "fallen_at": self._step.fallen_at}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._step.reference = state_dict["reference"]
        self._step.fallen_at = state_dict["fallen_at"]


class EpochLines(Callback):
    """One line per epoch, at most one in two seconds: for logs, where a bar would be noise."""

    def __init__(self) -> None:
        self._begun = self._shown = time.monotonic()
        self._first = 0

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begun, self._first = time.monotonic(), trainer.current_epoch

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch, last = trainer.current_epoch + 1, trainer.max_epochs or 0
        now = time.monotonic()
        if not trainer.is_global_zero or (epoch < last and now - self._shown < 2):
            return
        self._shown = now
        remaining = (now - self._begun) / (epoch - self._first) * (last - epoch)
        parts = " ".join(f"{k} {float(v):.3f}" for k, v in sorted(trainer.callback_metrics.items()))
        line = f"epoch {epoch}/{last}: {parts}, {remaining:.0f} s left"
        print(line, file=sys.stderr, flush=True)  # noqa: T201


class EqualBuffers(Callback):
    """Give all processes the mean of their running statistics, after every epoch.

    It is what one process has: such statistics follow the batch linearly, and nothing reads them
    within an epoch. Those that all processes compute of the whole batch keep their values.
    """

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for buffer in pl_module.buffers():
            if buffer.is_floating_point():
                buffer.copy_(trainer.strategy.reduce(buffer.clone(), reduce_op="mean"))


class AtomicCheckpoint(Callback):
    """Save the state after every epoch; a kill at any moment leaves a whole checkpoint."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        part = self._folder / "part.ckpt"
        trainer.save_checkpoint(part)
        if trainer.is_global_zero:
            part.replace(self._folder / LAST_CHECKPOINT)
