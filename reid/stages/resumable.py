"""What every training stage needs: checkpoints of its own, and an MLflow run that goes on."""

import csv
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reid.files import write_whole
from reid.stages.paths import CHECKPOINTS
from reid.tracking.machine import Meter
from reid.tracking.run import TrackedRun, start_run

HISTORY, CURVES = "history.csv", "curves.png"
_RUN_ID = "mlflow_run_id"


def checkpoint_folder(*facts: Any) -> Path:
    """Return the folder whose name changes with everything that decides the weights."""
    text = json.dumps(facts, sort_keys=True)
    return CHECKPOINTS / hashlib.sha256(text.encode()).hexdigest()[:24]


def tracked_run(
    study: str, name: str, checkpoints: Path, tags: Mapping[str, str], params: Mapping[str, Any]
) -> TrackedRun:
    """Start the MLflow run, or go on with the one of the attempt that was stopped."""
    kept = checkpoints / _RUN_ID
    run_id = kept.read_text(encoding="utf-8") if kept.exists() else None
    tracked = start_run(study, name, run_id, tags, params)
    write_whole(kept, tracked.run_id)
    return tracked


class EpochSink:
    """Send the numbers of an epoch to MLflow below a heading, and those of the machine.

    The axis of all of them is the epoch.
    """

    def __init__(self, tracked: TrackedRun, heading: str) -> None:
        self._tracked, self._heading = tracked, heading
        self._meter = Meter()
        self._begun = time.monotonic()
        tracked.set_tags({"energy": self._meter.energy_source})

    def log_epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """Take the metrics of an epoch, counted from 1."""
        named = {f"{self._heading}/{key}": value for key, value in metrics.items()}
        named["system/seconds_of_this_attempt"] = time.monotonic() - self._begun
        named |= self._meter.read()
        self._tracked.log_metrics((key, value, epoch) for key, value in named.items())


class SilentSink:
    """For all processes but the first, whose numbers are the same."""

    def log_epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """Drop the metrics of an epoch."""


def write_history(folder: Path, history: list[dict[str, float]], title: str) -> None:
    """Write one line per epoch, and a picture of them, into a folder."""
    # brings matplotlib, a second that stages which draw nothing do without
    from reid.report.training_curves import draw_training_curves

    with (folder / HISTORY).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)
    draw_training_curves(history, folder / CURVES, title)
