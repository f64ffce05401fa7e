"""`reid up` and `reid down` on a tiny project: real Prefect, real MLflow, real processes."""

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

import flows
from flows.deployments import PatientTransport
from flows.service_processes import MARK, read_record
from tests.unit.flows.tiny_project import TinyProject
from tests.unit.flows.watching import alive, wait_until

ROOT = Path(flows.__file__).parents[1]
NIGHTLY = """
deployments:
  - name: nightly
    entrypoint: flows/pipelines.py:pipeline
    work_pool: {name: local}
    schedules: [{slug: nightly, cron: "0 2 * * *", timezone: UTC, active: false}]
"""


class Up:
    """A project, and its services on ports of their own."""

    def __init__(self, folder: Path) -> None:
        self.project = TinyProject(folder).write()
        (folder / "prefect.yaml").write_text(NIGHTLY)
        (folder / "flows").symlink_to(ROOT / "flows")
        self.folder = folder
        self.below = folder / "params/studies"
        self.ports = [_free_port(), _free_port()]
        self.api = f"http://127.0.0.1:{self.ports[0]}/api"
        # what this process has set for its own flows is not for those of the project
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "REID"))}
        self.env = {**kept, "PYTHONPATH": str(ROOT), "REID_NOTIFY": f"sh {folder / 'notify.sh'}"}
        (folder / "notify.sh").write_text(f'echo "$1 is $2" >> {folder / "notified.txt"}\n')

    def reid(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "reid.cli", *arguments],
            cwd=self.below,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self) -> str:
        port, mlflow = map(str, self.ports)
        return self.reid("up", "--port", port, "--mlflow-port", mlflow)

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        with httpx.Client(transport=PatientTransport(), timeout=30) as client:
            return client.post(f"{self.api}{path}", json=body)

    @property
    def deployment(self) -> dict[str, Any]:
        found: list[dict[str, Any]] = self.post("/deployments/filter", {}).json()
        assert len(found) == 1
        return found[0]

    def run(self, **parameters: Any) -> httpx.Response:
        path = f"/deployments/{self.deployment['id']}/create_flow_run"
        return self.post(path, {"parameters": parameters, "state": {"type": "SCHEDULED"}})

    def begin(self, **parameters: Any) -> str:
        """Start a run and return its name."""
        answer = self.run(**parameters)
        assert answer.is_success, f"{answer.status_code} {answer.text}"
        return str(answer.json()["name"])

    def runs(self) -> dict[str, str]:
        """Return the states of the flow runs by name."""
        found = self.post("/flow_runs/filter", {}).json()
        return {run["name"]: run["state_name"] for run in found}

    def pid(self, name: str) -> int:
        record = read_record(self.folder / f".reid/services/{name}.json")
        assert record is not None
        return record.pid

    def processes(self) -> list[psutil.Process]:
        mark = f"{self.folder.resolve()}/.reid/services:"
        return [p for p in psutil.process_iter() if _environment(p).get(MARK, "").startswith(mark)]


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except (psutil.Error, OSError):
        return {}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Up]:
    up = Up(tmp_path)
    try:
        yield up
    finally:
        up.reid("down")


def test_up_run_kill_up_down(services: Up) -> None:
    said = services.up()
    assert f"http://127.0.0.1:{services.ports[0]}" in said
    assert f"export PREFECT_API_URL={services.api}" in said
    assert all(map(_listens, services.ports))

    refused = services.run(study="tyni")
    assert refused.status_code == 409
    assert "'tyni' is not one of ['active', 'tiny']" in refused.text
    assert services.run(runs=["no name"]).status_code == 409
    first = services.begin(study="tiny", runs=["one"])
    wait_until(lambda: services.runs()[first] == "Completed")
    assert services.project.ran == ["data@world", "train@one", "evaluate@one"]
    notified = services.folder / "notified.txt"
    wait_until(notified.exists)
    assert notified.read_text() == f"pipeline/{first} is Completed\n"

    # the flow of a killed worker lives on, and the next worker leaves it alone
    services.project.edit("rate: 20, mode: plain", "rate: 30, mode: wait")
    second = services.begin()
    pids = services.folder / "pids"
    wait_until(pids.exists)
    stage = [int(pid) for pid in pids.read_text().split()]
    server, worker = services.pid("prefect"), services.pid("worker")
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not alive(worker))
    _switch_on(services)
    shutil.copy(services.folder / "params/studies/tiny.yaml", services.below / "other.yaml")
    said = services.up()
    assert re.search(r"the Prefect server +runs already", said)
    assert re.search(r"the worker +started", said)
    assert "schedule nightly/nightly stays on, as it was" in said
    assert services.deployment["schedules"][0]["active"]
    assert services.pid("prefect") == server
    assert services.runs()[second] == "Running"
    assert all(map(alive, stage))

    services.reid("down")
    # a flow that is told to end says so itself, if it comes to that
    assert _stored_state(services, second) in ("Cancelled", "Crashed")
    assert not services.processes()
    assert not any(map(alive, stage))
    assert not any(map(_listens, services.ports))
    assert services.reid("down").count("did not run") == 3


@pytest.mark.slow
def test_up_marks_a_run_without_a_process_as_crashed(services: Up) -> None:
    services.up()
    services.project.edit("rate: 20, mode: plain", "rate: 30, mode: wait")
    lost = services.begin()
    pids = services.folder / "pids"
    wait_until(pids.exists)
    stage = [int(pid) for pid in pids.read_text().split()]
    worker = psutil.Process(services.pid("worker"))
    for process in [worker, *worker.children()]:
        process.kill()
    wait_until(lambda: not any(map(alive, stage)))
    assert services.runs()[lost] == "Running"
    services.up()
    assert services.runs()[lost] == "Crashed"


def _stored_state(services: Up, name: str) -> str:
    with closing(sqlite3.connect(services.folder / ".prefect/prefect.db")) as database:
        query = "SELECT state_name FROM flow_run WHERE name = ?"
        return str(database.execute(query, [name]).fetchone()[0])


def _switch_on(services: Up) -> None:
    deployment = services.deployment
    address = f"{services.api}/deployments/{deployment['id']}/schedules"
    schedule = deployment["schedules"][0]
    assert not schedule["active"]
    done = httpx.patch(f"{address}/{schedule['id']}", json={"active": True}, trust_env=False)
    assert done.is_success
