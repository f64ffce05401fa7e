"""Pretraining as users run it: lineage, a kill, several processes, and what it refuses."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from mlflow import MlflowClient
from safetensors.numpy import load_file

from tests.pipeline.conftest import Project
from tests.pipeline.test_reproduction import wait_for_checkpoint

FOLDER = Path("models/smoke/pretrained/personvit")
RECIPE = "params/pretrain/smoke.yaml"


@pytest.fixture
def ready(reproduced: Project, tmp_path: Path) -> Project:
    """A copy of the reproduced project, to be changed."""
    shutil.copytree(reproduced.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def losses(project: Project) -> list[float]:
    with (project.folder / FOLDER / "history.csv").open(encoding="utf-8") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_mlflow_shows_parent_and_child(reproduced: Project) -> None:
    uri = f"sqlite:///{reproduced.folder / 'mlruns/mlflow.db'}"
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("smoke")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    parent, child = runs["personvit (pretraining)"], runs["personvit"]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert parent.info.status == "FINISHED"
    curve = client.get_metric_history(parent.info.run_id, "pretrain/loss")
    assert [point.step for point in curve] == [1, 2]
    assert parent.inputs.dataset_inputs[0].dataset.name == "synth_smoke_pretrain"

    record = json.loads((reproduced.folder / "registry/smoke/personvit.json").read_text())
    version = client.get_model_version(record["name"], str(record["version"]))
    backbone = client.get_logged_model(version.tags["parent_model_id"])
    assert backbone.source_run_id == parent.info.run_id
    card = json.loads((reproduced.folder / FOLDER / "card.json").read_text())
    assert backbone.tags["weights_sha256"] == card["weights_sha256"]
    assert child.data.tags["parent.weights_sha256"] == card["weights_sha256"]
    assert record["lineage"]["parents"] == [str(FOLDER / "backbone.safetensors")]
    assert record["lineage"]["pretraining"]["mean"] == [0.485, 0.456, 0.406]


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


def test_a_pretraining_goes_on_from_another(ready: Project) -> None:
    study = ready.folder / "params/study.yaml"
    text = study.read_text()
    more = """\
  again:
    recipe: params/pretrain/smoke.yaml
    data: synth_smoke_pretrain
    selected_by: scores.csv
    share: 0.4
    starts_from: models/smoke/pretrained/personvit
    overrides: {epochs: 1}
"""
    study.write_text(re.sub(r"(?m)^run_defaults:", f"{more}\nrun_defaults:", text))
    images = sorted(
        path.relative_to(ready.folder / "data/synth_smoke_pretrain").as_posix()
        for path in (ready.folder / "data/synth_smoke_pretrain").rglob("*.jpg")
    )
    rows = "".join(f"{path},{number}\n" for number, path in enumerate(images))
    (ready.folder / "scores.csv").write_text(f"path,score\n{rows}")
    assert ready.repro("pretrain@again") == ["pretrain@again"]
    folder = ready.folder / "models/smoke/pretrained/again"
    card = json.loads((folder / "card.json").read_text())
    assert card["parents"] == [str(FOLDER)]
    assert card["selected_by"] == "scores.csv"
    assert card["images"] == round(0.4 * len(images))
