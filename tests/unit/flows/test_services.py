"""What `reid up` and `reid down` refuse, and whom they leave alone."""

import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import psutil
import pytest

from flows import deployments
from flows.__main__ import SERVICE_VERBS, main
from flows.errors import ServiceError
from flows.ports import require_free
from flows.service_commands import VERBS
from flows.service_processes import (
    FLOW_RUN,
    MARK,
    ServiceRecord,
    end_service,
    flow_runs_with_process,
    read_record,
    write_record,
)
from tests.unit.flows.watching import alive, wait_until

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
# takes no notice of SIGTERM, starts a child in a session of its own, and says so
STUBBORN = """
import signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(SLEEP)
    yield process
    process.kill()
    process.wait()


def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


port = pytest.fixture(taken_port)


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == ServiceError.exit_code
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_a_taken_port_is_refused_with_the_name_of_its_holder(
    project: Path, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fails(capsys, "up", "--port", str(port))
    assert said.startswith(f"Error: port {port} is taken by process {os.getpid()} (")
    assert "; expected a free one for the Prefect server." in said
    assert said.endswith("give another port with `reid up --port NUMBER`.\n")
    assert main(["status"]) == 0
    assert capsys.readouterr().out.count("does not run") == 3


def test_a_number_that_is_no_port_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "port 70000; expected 1 to 65535" in fails(capsys, "up", "--mlflow-port", "70000")


def test_a_free_port_is_not(port: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    require_free("127.0.0.1", number, "anything", "--port")
    with pytest.raises(ServiceError, match=f"port {port} is taken"):
        require_free("127.0.0.1", port, "anything", "--port")


@pytest.mark.parametrize("verb", ["up", "down", "status"])
def test_outside_of_a_project_it_is_one_line(
    verb: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([verb]) == 9
    assert capsys.readouterr().err.startswith("Error: no dvc.yaml in ")


def test_two_at_a_time_are_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = project / ".reid/services"
    folder.mkdir(parents=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another `reid up` or `reid down` is at work" in fails(capsys, "down")


def test_down_is_content_where_nothing_runs(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["down"]) == 0
    assert capsys.readouterr().out.count("did not run") == 3


def test_a_reused_number_is_not_the_service(
    project: Path, stranger: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / ".reid/services/worker.json"
    write_record(path, stranger.pid, None)
    record = read_record(path)
    assert record is not None
    assert record.process == psutil.Process(stranger.pid)
    # the same number, as it would be after the service ended and somebody else was given it
    path.write_text(json.dumps({"pid": stranger.pid, "started": record.started - 60, "port": None}))
    assert main(["down"]) == 0
    assert alive(stranger.pid)
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pid": "x", "started": 1, "port": null}'])
def test_a_damaged_record_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(text)
    assert read_record(tmp_path / "record.json") is None


def test_all_of_a_service_is_ended_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stranger: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setattr("flows.service_processes.GRACE_SECONDS", 0.5)
    env = {**os.environ, MARK: f"{tmp_path}:worker"}
    other = {**os.environ, MARK: f"{tmp_path}:mlflow"}
    stubborn = subprocess.Popen([sys.executable, "-c", STUBBORN], env=env, stdout=subprocess.PIPE)
    neighbour = subprocess.Popen(SLEEP, env=other, start_new_session=True)
    assert stubborn.stdout is not None
    child = int(stubborn.stdout.readline())
    assert end_service(f"{tmp_path}:worker", None) == 2
    wait_until(lambda: not alive(stubborn.pid) and not alive(child))
    assert alive(stranger.pid)
    assert alive(neighbour.pid)
    assert end_service(f"{tmp_path}:mlflow", None) == 1
    for process in (stubborn, neighbour):
        process.wait()
    stubborn.stdout.close()


def test_an_orphan_is_found_by_its_mark_and_a_family_by_its_record(tmp_path: Path) -> None:
    env = {**os.environ, MARK: f"{tmp_path}:worker"}
    # which does not hold the pipe that its parent's output is read from
    more = "start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL"
    code = f"import subprocess; print(subprocess.Popen({SLEEP}, {more}).pid)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert end_service(f"{tmp_path}:worker", ServiceRecord(2**22, time.time(), None)) == 1
    wait_until(lambda: not alive(int(done.stdout)))

    unmarked = subprocess.Popen(SLEEP)
    write_record(tmp_path / "record.json", unmarked.pid, None)
    assert end_service(f"{tmp_path}:worker", read_record(tmp_path / "record.json")) == 1
    unmarked.wait()


def test_a_flow_run_with_a_process_is_known(tmp_path: Path) -> None:
    process = subprocess.Popen(SLEEP, env={**os.environ, FLOW_RUN: "of-a-test"})
    wait_until(lambda: "of-a-test" in flow_runs_with_process())
    process.kill()
    process.wait()
    assert "of-a-test" not in flow_runs_with_process()


def test_verbs_that_load_the_services_are_those_they_have() -> None:
    assert set(SERVICE_VERBS) == set(VERBS)


def test_a_server_with_a_busy_database_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployments, "BUSY_SECONDS", 0.0)
    answers = [503, 503, 200]

    class Busy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answers.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Busy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with httpx.Client(transport=deployments.PatientTransport()) as client:
            assert client.get(f"http://127.0.0.1:{server.server_port}/").status_code == 200
    finally:
        server.shutdown()
        server.server_close()
    assert answers == []
