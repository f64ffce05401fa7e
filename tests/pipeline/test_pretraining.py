"""Pretraining as users run it: several processes, and a kill."""

import csv
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.pipeline.conftest import Project, copy_of, wait_for_checkpoint

FOLDER = Path("models/smoke/pretrained/personvit")
RECIPE = "params/pretrain/smoke.yaml"


@pytest.fixture
def ready(reproduced: Project, tmp_path: Path) -> Project:
    """A copy of the reproduced project, to be changed."""
    return copy_of(reproduced, tmp_path / "project")


def losses(project: Project) -> list[float]:
    with (project.folder / FOLDER / "history.csv").open(encoding="utf-8") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_two_processes_pretrain_as_one(ready: Project) -> None:
    """Stochastic depth, which each process draws for itself, is off; 16 steps."""
    ready.edit(RECIPE, "drop_path: 0.1", "drop_path: 0.0")
    ready.run("reid", "pretrain", "personvit")
    one = losses(ready)
    ready.run("reid", "pretrain", "personvit", "--devices", "2")
    assert losses(ready) == pytest.approx(one, abs=1e-4)
    card = json.loads((ready.folder / FOLDER / "card.json").read_text())
    assert card["world_size"] == 2


@pytest.mark.slow
def test_kill_mid_pretraining_then_repro_ends_in_the_same_bits(ready: Project) -> None:
    ready.edit(RECIPE, "epochs: 2", "epochs: 12")
    process = subprocess.Popen(
        ["dvc", "repro", "pretrain@personvit"],
        cwd=ready.folder,
        env=ready.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for_checkpoint(ready.folder / ".reid/checkpoints")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    assert ready.repro("pretrain@personvit") == ["pretrain@personvit"]
    resumed, curve = load_file(ready.folder / FOLDER / "student_teacher.safetensors"), losses(ready)
    assert len(curve) == 12
    ready.run("dvc", "repro", "--force", "--single-item", "pretrain@personvit")
    unbroken = load_file(ready.folder / FOLDER / "student_teacher.safetensors")
    assert losses(ready) == curve
    assert resumed.keys() == unbroken.keys()
    assert all((resumed[key] == unbroken[key]).all() for key in resumed)
