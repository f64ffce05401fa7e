"""What `reid up` starts: a Prefect server, a worker, the MLflow pages; and how it ends them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx
from filelock import FileLock, Timeout
from rich.console import Console

from flows.environment import stage_environment
from flows.errors import ServiceError
from flows.ports import require_free
from flows.service_processes import MARK, ServiceRecord, end_service, read_record, write_record

FOLDER = ".reid/services"
POOL = "local"
HOST = "127.0.0.1"
# a loaded machine needs minutes to import what a server is made of
START_SECONDS = 300.0
POLL_SECONDS = 0.2
TAIL_LINES = 12


@dataclass(frozen=True)
class Service:
    """A program that `reid up` starts.

    Attributes:
        name: Name of its record and its log in `.reid/services/`.
        title: What people call it.
        command: Arguments of this Python.
        environment: What it needs beside the environment of a stage.
        answers: Tells, for the time of its start, whether it is ready.
        address: Where people look at it; None if they do not.
        port: Where it listens; None if it does not.
        option: The option of `reid up` that gives another port.
    """

    name: str
    title: str
    command: tuple[str, ...]
    environment: dict[str, str]
    answers: Callable[[float], bool]
    address: str | None = None
    port: int | None = None
    option: str = ""


class Services:
    """The services of the project in `project`.

    Args:
        port: Of the Prefect server.
        mlflow_port: Of the MLflow pages.
    """

    def __init__(self, project: Path, port: int, mlflow_port: int) -> None:
        self.project = project
        self._folder = project / FOLDER
        self.api = f"http://{HOST}:{port}/api"
        self.server = _server(self.api, port)
        self.worker = _worker(self.api)
        self.mlflow = _mlflow(mlflow_port)

    def record(self, service: Service) -> ServiceRecord | None:
        """Return the record of a service that runs."""
        record = read_record(self._path(service, "json"))
        return record if record is not None and record.process is not None else None

    def log(self, service: Service) -> Path:
        """Return the file that takes what a service writes."""
        return self._path(service, "log")

    def launch(self, service: Service) -> bool:
        """Start a service, or return False if it runs already.

        Raises:
            ServiceError: It runs at another port, or its port is taken.
        """
        running = self.record(service)
        if running is not None:
            _require_same_port(service, running)
            return False
        if service.port is not None:
            require_free(HOST, service.port, service.title, service.option)
        with self.log(service).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *service.command],
                cwd=self.project,
                env={**stage_environment(), **service.environment, MARK: self._mark(service)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        write_record(self._path(service, "json"), process.pid, service.port)
        return True

    def wait(self, service: Service) -> ServiceRecord:
        """Wait until a service answers.

        Raises:
            ServiceError: It ended, or does not answer.
        """
        limit = time.monotonic() + START_SECONDS
        with Console(stderr=True).status(f"waiting for {service.title} …"):
            while (record := self.record(service)) is not None and time.monotonic() < limit:
                if service.answers(record.started):
                    return record
                time.sleep(POLL_SECONDS)
        raise self._failure(service)

    def end(self, service: Service) -> int:
        """End a service with all its children; return how many processes there were."""
        path = self._path(service, "json")
        ended = end_service(self._mark(service), read_record(path))
        path.unlink(missing_ok=True)
        return ended

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep a second `reid up` or `reid down` of this project out.

        Raises:
            ServiceError: There is one.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ServiceError(
                f"another `reid up` or `reid down` is at work in {self.project}",
                "one at a time",
                "Wait for its end.",
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _path(self, service: Service, ending: str) -> Path:
        return self._folder / f"{service.name}.{ending}"

    def _mark(self, service: Service) -> str:
        return f"{self._folder.resolve()}:{service.name}"

    def _failure(self, service: Service) -> ServiceError:
        log = self.log(service)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        how = "does not answer" if self.record(service) else "ended at once"
        tail = "\n".join(f"    {line}" for line in lines)
        return ServiceError(
            f"{service.title} {how}", "a service that answers", f"The end of {log}:\n{tail}"
        )


def recorded_port(project: Path, name: str) -> int | None:
    """Return the port of a service that runs."""
    record = read_record(project / FOLDER / f"{name}.json")
    return record.port if record is not None and record.process is not None else None


def _server(api: str, port: int) -> Service:
    # not `--background`, which keeps track of one server for all projects of a user
    command = ("-m", "prefect", "server", "start", "--host", HOST, "--port", str(port))
    return Service(
        name="prefect",
        title="the Prefect server",
        command=command,
        environment={"PREFECT_API_URL": api, "PREFECT_UI_API_URL": api},
        answers=lambda _: _is_well(f"{api}/health"),
        address=f"http://{HOST}:{port}",
        port=port,
        option="--port",
    )


def _worker(api: str) -> Service:
    # one flow at a time: a training takes the whole machine, and a flow switches the study
    command = ("-m", "prefect", "worker", "start", "--name", "reid", "--limit", "1")
    return Service(
        name="worker",
        title="the worker",
        command=(*command, "--pool", POOL, "--type", "process"),
        # asks more often than by default, so that a click on the page is followed by something
        environment={
            "PREFECT_API_URL": api,
            "PREFECT_WORKER_QUERY_SECONDS": os.environ.get("PREFECT_WORKER_QUERY_SECONDS", "3"),
        },
        answers=lambda started: _worker_is_there(api, started),
    )


def _mlflow(port: int) -> Service:
    command = ("-m", "mlflow", "ui", "--host", HOST, "--port", str(port), "--workers", "1")
    return Service(
        name="mlflow",
        title="MLflow",
        command=(
            *command,
            *("--backend-store-uri", "sqlite:///mlruns/mlflow.db"),
            # of those who come by its address; by itself it makes a folder beside mlruns
            *("--artifacts-destination", "mlruns/artifacts"),
        ),
        # it judges language models in processes of its own, which nobody needs here
        environment={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        answers=lambda _: _is_well(f"http://{HOST}:{port}/health"),
        address=f"http://{HOST}:{port}",
        port=port,
        option="--mlflow-port",
    )


def _require_same_port(service: Service, running: ServiceRecord) -> None:
    if running.port != service.port:
        raise ServiceError(
            f"{service.title} runs already at port {running.port}",
            f"that it does not, to start it at {service.port}",
            "Leave the option out, or end it with `reid down` first.",
        )


def _is_well(address: str) -> bool:
    try:
        # never by way of a proxy, which knows nothing of this machine's own address
        return httpx.get(address, timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _worker_is_there(api: str, started: float) -> bool:
    """Tell whether the worker has reported since it was started: its name is older than it."""
    address = f"{api}/work_pools/{POOL}/workers/filter"
    try:
        answer = httpx.post(address, json={}, timeout=5, trust_env=False)
    except httpx.HTTPError:
        return False
    seen = answer.json() if answer.is_success else []
    beats = (datetime.fromisoformat(each["last_heartbeat_time"]) for each in seen)
    return any(beat.timestamp() > started for beat in beats)
