"""`python -m flows up`, `down` and `status`, which `reid` passes on."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

from flows.deployments import FILE, PrefectApi
from flows.environment import GRAPH_FILE, project_root
from flows.errors import ServiceError
from flows.services import FOLDER, POOL, Service, Services, recorded_port

PORT, MLFLOW_PORT = 4200, 5000


def service_command(arguments: Sequence[str]) -> None:
    """Run what the command line says.

    Raises:
        ServiceError: A service cannot run.
        FlowError: There is no project here.
    """
    parser = argparse.ArgumentParser(prog="reid")
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("--port", type=int)
    parser.add_argument("--mlflow-port", type=int)
    given = parser.parse_args(arguments)
    start = Path.cwd()
    project = project_root()
    # where Prefect looks for prefect.toml
    os.chdir(project)
    port = given.port or recorded_port(project, "prefect") or PORT
    mlflow_port = given.mlflow_port or recorded_port(project, "mlflow") or MLFLOW_PORT
    for each in (port, mlflow_port):
        if not 0 < each < 65536:
            raise ServiceError(f"port {each}", "1 to 65535", "Correct the option.")
    services = Services(project, port, mlflow_port)
    # who looks need not wait for who works
    with nullcontext() if given.verb == "status" else services.alone():
        VERBS[given.verb](services)
    if given.verb == "up":
        _say_what_next(services, start)


def up(services: Services) -> None:
    """Start what does not run, and deploy what has changed.

    Raises:
        ServiceError: A service cannot run.
    """
    begin = time.monotonic()
    (services.project / "mlruns").mkdir(exist_ok=True)
    new = {each.name for each in (services.server, services.mlflow) if services.launch(each)}
    _await(services, services.server, new)
    api = PrefectApi(services.api, POOL)
    if services.record(services.worker) is None:
        # a killed worker or a power cut leaves runs that nobody will ever end
        for run in api.close_runs("Crashed", "Its process was gone when `reid up` looked for it."):
            _say("Prefect", f"run {run} had lost its process and is Crashed now")
    if services.launch(services.worker):
        new.add(services.worker.name)
    _await(services, services.worker, new)
    _deploy(services, api)
    _await(services, services.mlflow, new)
    _say("ready", f"in {time.monotonic() - begin:.0f} s")


def down(services: Services) -> None:
    """End what runs, after the runs of the worker were brought to an end."""
    watched = services.record(services.server) is not None
    api = PrefectApi(services.api, POOL)
    if watched:
        for run in api.runs_of_other_shells():
            _say("Prefect", f"run {run} of another shell goes on and loses its server")
    _end(services, services.worker)
    if watched:
        for run in api.close_runs("Cancelled", "Ended by `reid down`."):
            _say("Prefect", f"run {run} was ended and is Cancelled now")
    _end(services, services.mlflow)
    _end(services, services.server)


def status(services: Services) -> None:
    """Say what runs."""
    for service in (services.server, services.worker, services.mlflow):
        record = services.record(service)
        state = "does not run" if record is None else f"runs, pid {record.pid}"
        where = f", {service.address}" if record is not None and service.address else ""
        _say(service.title, f"{state}{where}, log {services.log(service).relative_to(Path.cwd())}")


VERBS = {"up": up, "down": down, "status": status}


def _await(services: Services, service: Service, new: set[str]) -> None:
    record = services.wait(service)
    how = "started" if service.name in new else "runs already"
    _say(service.title, f"{how}, pid {record.pid}")


def _end(services: Services, service: Service) -> None:
    ended = services.end(service)
    _say(service.title, f"ended, {ended} processes" if ended else "did not run")


def _deploy(services: Services, api: PrefectApi) -> None:
    if not (services.project / FILE).is_file():
        _say("deployments", f"none: there is no {FILE} beside {GRAPH_FILE}")
        return
    with Console(stderr=True).status(f"deploying {FILE} …"):
        kept = api.deploy(services.project, services.project / FOLDER / "deploy.log")
    if kept is None:
        _say("deployments", f"unchanged since {FILE} and params/studies/ were last deployed")
        return
    _say("deployments", f"made from {FILE}")
    for name in kept:
        _say("deployments", f"schedule {name} stays on, as it was; {FILE} has it off")


def _say_what_next(services: Services, start: Path) -> None:
    lines = [
        "",
        f"Prefect   {services.server.address}   runs: start, watch, cancel",
        f"MLflow    {services.mlflow.address}/#/experiments?workflowType=machine_learning",
        "",
        "Next      prefect deployment run pipeline/active --watch",
        "          reid down              ends all of it",
    ]
    # prefect.toml names the usual port, and is read in the folder of the project alone
    toml = services.project / "prefect.toml"
    if start != services.project or not toml.is_file() or services.api not in toml.read_text():
        lines.insert(4, f"First     export PREFECT_API_URL={services.api}")
    sys.stdout.write("\n".join(lines) + "\n")


def _say(what: str, how: str) -> None:
    sys.stdout.write(f"{what:<18}  {how}\n")
    sys.stdout.flush()
