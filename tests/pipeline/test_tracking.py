"""Trainings whose MLflow store goes away, and a store that is deleted."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.error import URLError

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.pipeline.conftest import Project, copy_of, wait_for_checkpoint


class Server:
    """The program `mlflow server` with a store of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        store = ["--backend-store-uri", f"sqlite:///{folder}/server.db"]
        files = ["--artifacts-destination", str(folder / "served"), "--serve-artifacts"]
        place = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        self._command = [sys.executable, "-m", "mlflow", "server", *store, *files, *place]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        end = time.monotonic() + 240
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(f"{self.address}/health", timeout=5).close()  # noqa: S310
                return
            except (URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
        raise TimeoutError(self.address)

    def kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def project(reproduced: Project, tmp_path: Path) -> Project:
    """A copy of the project, as these tests change what is in it."""
    return copy_of(reproduced, tmp_path / "project")


def _contents(client: MlflowClient, run: Run) -> Mapping[str, object]:
    """Return what must not be lost of a training."""
    info = run.info
    losses = [key for key in run.data.metrics if key.startswith("train/")]
    return {
        "name": info.run_name,
        "status": info.status,
        "params": run.data.params,
        "history": {
            key: [
                (entry.step, entry.value) for entry in client.get_metric_history(info.run_id, key)
            ]
            for key in losses
            if key != "train/epoch_seconds"
        },
        "files": {
            file.path: client.list_artifacts(info.run_id, file.path) and True
            for file in client.list_artifacts(info.run_id)
        },
        "data": [(entry.dataset.name, entry.dataset.digest) for entry in run.inputs.dataset_inputs],
        "terms": {key: value for key, value in run.data.tags.items() if key.startswith("data.")},
    }


def _runs(client: MlflowClient, name: str) -> list[Run]:
    experiment = client.get_experiment_by_name("smoke")
    assert experiment is not None
    found = f"attributes.run_name = '{name}'"
    return list(client.search_runs([experiment.experiment_id], found))


def test_the_register_stage_mends_a_deleted_store(project: Project) -> None:
    # a copy: this process would go on reading the database of this name when it is deleted
    shutil.copy(project.folder / "mlruns/mlflow.db", project.folder / "before.db")
    (before,) = _runs(client := _local(project, "before.db"), "bot")
    kept = _contents(client, before)
    results = {key: value for key, value in before.data.metrics.items() if "/mAP" in key}
    assert results
    shutil.rmtree(project.folder / "mlruns")

    said = project.run("reid", "register", "bot")
    again = project.run("reid", "register", "bot")

    assert "written anew" in said.stdout
    assert "written anew" not in again.stdout
    (after,) = _runs(client := _local(project), "bot")
    found = _contents(client, after)
    environment = found["files"]
    assert isinstance(environment, dict)
    environment["environment"] = True  # of the lost machine nobody knows it
    assert found == kept
    assert {key: after.data.metrics[key] for key in results} == results
    assert after.data.tags["continues"] == before.info.run_id
    assert after.data.tags["restored_from"] == "models/smoke/bot"
    (version,) = client.search_model_versions("name = 'smoke.synth_smoke_a'")
    assert version.run_id == after.info.run_id


@pytest.mark.slow
def test_a_training_outlives_its_server_and_the_next_stage_writes_it(
    project: Project, server: Server
) -> None:
    project.env["MLFLOW_TRACKING_URI"] = server.address
    project.edit("params/methods/bot/smoke.yaml", "epochs: 2", "epochs: 12")
    training = subprocess.Popen(
        ["reid", "train", "bot"],
        cwd=project.folder,
        env=project.env,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_checkpoint(project.folder / ".reid/checkpoints")
    server.kill()
    _, said = training.communicate(timeout=500)
    assert training.returncode == 0, said
    assert said.count("MLflow is away") == 1
    assert (project.folder / "models/smoke/bot/model.safetensors").exists()
    assert "waiting" in project.run("reid", "tracking", "status").stdout
    project.run("reid", "embed", "bot")
    project.run("reid", "evaluate", "bot")
    refused = project.run("reid", "register", "bot", check=False)
    assert refused.returncode == 8
    assert refused.stderr.strip().splitlines()[-1].startswith("error: the MLflow store is away")

    server.start()
    project.run("reid", "register", "bot")

    client = MlflowClient(server.address)
    (run,) = _runs(client, "bot")
    assert run.info.status == "FINISHED"
    history = (project.folder / "models/smoke/bot/history.csv").read_text().splitlines()
    entries = client.get_metric_history(run.info.run_id, "train/loss")
    assert [entry.step for entry in entries] == list(range(1, len(history)))
    assert "nothing waits" in project.run("reid", "tracking", "status").stdout


def _local(project: Project, database: str = "mlruns/mlflow.db") -> MlflowClient:
    return MlflowClient(f"sqlite:///{project.folder}/{database}")
