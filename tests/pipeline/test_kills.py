"""`kill -9` at any moment, of anything: one more deployment run ends as an unbroken one does.

On the smoke study, which takes minutes for each kill, and on a tiny project, which takes seconds.
"""

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from tests.pipeline.conftest import ROOT, Project, copy_project
from tests.unit.flows.prefect_server import Server
from tests.unit.flows.tiny_project import TinyProject
from tests.unit.flows.watching import wait_until

RUNS = ("bot", "transreid")
ROUNDS = 5
KINDS = ("tiny", "smoke")
# where metrics and weights are: of the smoke study, and of the tiny project
FACTS = ("results/*/*.json", "models/*/*/model.safetensors", "results/*", "models/*")
WORKER = ("prefect", "worker", "start", "--pool", "local", "--type", "process")
TINY_DEPLOYMENT = """
deployments:
  - {name: active, entrypoint: "flows/pipelines.py:pipeline", work_pool: {name: local}}
"""
# long enough for a pipeline on a machine that does other things too
SECONDS = 900.0


@dataclass(frozen=True)
class Reference:
    """A pipeline that nobody disturbed.

    Attributes:
        facts: Digests of all metrics and weights.
        stages: How many it ran.
        seconds: How long one of them took, on average.
    """

    facts: dict[str, str]
    stages: int
    seconds: float


@dataclass
class Night:
    """A project with its server and its worker, left alone."""

    project: Project | TinyProject
    server: Server

    def start_server(self) -> None:
        command = ("prefect", "server", "start", "--port", str(self.server.port))
        self.server_process = self.server.start(*command, cwd=self.project.folder)
        wait_until(lambda: self.server.up)

    def start_worker(self) -> None:
        self.worker = self.server.start(*WORKER, cwd=self.project.folder)

    def deploy(self, client: SyncPrefectClient) -> None:
        wait_until(lambda: bool(client.read_work_pools()))
        done = self.server.run("prefect", "--no-prompt", "deploy", "--all", cwd=self.project.folder)
        assert done.returncode == 0, done.stdout + done.stderr

    def submit(self, client: SyncPrefectClient) -> FlowRun:
        deployment = client.read_deployment_by_name("pipeline/active")
        return client.create_flow_run_from_deployment(deployment.id)

    def finish(self, client: SyncPrefectClient) -> FlowRun:
        """Run the whole pipeline and return the run that ended."""
        run = self.submit(client)
        wait_until(lambda: ended(client, run), SECONDS)
        return client.read_flow_run(run.id)

    def processes(self, role: str) -> list[psutil.Process]:
        """Return the living processes of a role, outermost first."""
        if role in ("server", "worker"):
            program = self.server_process if role == "server" else self.worker
            return [psutil.Process(program.pid)]
        return [one for one in below(self.worker.pid) if plays(one, role)]

    def left(self) -> list[str]:
        """Return the command lines of processes that are still in the project's folder."""
        found = (command(one) for one in psutil.process_iter() if within(one, self.project.folder))
        return [" ".join(words) for words in found if words]

    def facts(self) -> dict[str, str]:
        """Return digests of all metrics and weights."""
        folder = self.project.folder
        paths = {path for pattern in FACTS for path in folder.glob(pattern) if path.is_file()}
        cards = {path for path in paths if path.name.endswith(".card.json")}  # they hold times
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(paths - cards)
        }


def ended(client: SyncPrefectClient, run: FlowRun) -> bool:
    state = client.read_flow_run(run.id).state
    return state is not None and state.is_final()


def reach(client: SyncPrefectClient, run: FlowRun, share: float, reference: Reference) -> None:
    """Wait until a share of the stages is done.

    Time alone would tell less: the same pipeline takes a third longer on another day, and what has
    ended cannot be killed.
    """
    whole, part = divmod(share * reference.stages, 1)
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))

    def done() -> int:
        tasks = client.read_task_runs(flow_run_filter=mine)
        return sum(bool(task.state and task.state.is_final()) for task in tasks)

    wait_until(lambda: done() >= whole, SECONDS)
    time.sleep(part * reference.seconds)


def below(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def within(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.cwd()).is_relative_to(folder)
    except (psutil.Error, OSError):
        return False


def plays(process: psutil.Process, role: str) -> bool:
    words = command(process)
    if any(word.endswith("supervise.py") for word in words):
        return False
    if role == "flow":
        return not any("supervise.py" in " ".join(command(one)) for one in above(process))
    if role == "dvc":
        # not the one that waits for the next stage
        return any(word.endswith("waiting_dvc.py") for word in words) and bool(below(process.pid))
    return any(Path(word).name in ("reid", "stage.py") for word in words[:2])


def above(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.parents())
    except psutil.Error:
        return []


@pytest.fixture
def night(tmp_path: Path, kind: str) -> Iterator[Night]:
    yield from begin_night(tmp_path, kind)


def begin_night(folder: Path, kind: str) -> Iterator[Night]:
    project = small_smoke(folder / "project") if kind == "smoke" else slow_tiny(folder / "project")
    (folder / "server").mkdir()
    server = Server(folder / "server")
    if kind == "smoke":
        server.env.pop("PYTHONPATH")
    server.env["OMP_NUM_THREADS"] = "1"
    with temporary_settings({PREFECT_API_URL: server.url, PREFECT_HOME: server.folder}):
        night = Night(project, server)
        try:
            night.start_server()
            night.start_worker()
            yield night
        finally:
            server.stop()


def small_smoke(folder: Path) -> Project:
    project = copy_project(folder)
    active = folder / "params/study.yaml"
    study: dict[str, Any] = yaml.safe_load(active.read_text())
    study["runs"] = {name: study["runs"][name] for name in RUNS}
    study.update(pretrainings={}, shortlists={})
    active.write_text(yaml.safe_dump(study, sort_keys=False))
    return project


def slow_tiny(folder: Path) -> TinyProject:
    """A tiny project whose stages take two seconds, so that they can be met alive."""
    project = TinyProject(folder).write()
    stage = folder / "stage.py"
    stage.write_text(stage.read_text().replace("out, text = {", "time.sleep(2)\nout, text = {"))
    (folder / "prefect.yaml").write_text(TINY_DEPLOYMENT)
    (folder / "flows").symlink_to(ROOT / "flows")
    return project


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reference]:
    """A run that nobody disturbed, by kind of project."""

    @cache
    def run(kind: str) -> Reference:
        for night in begin_night(tmp_path_factory.mktemp("unbroken"), kind):
            with get_client(sync_client=True) as client:
                night.deploy(client)
                assert night.finish(client).state_name == "Completed"
                times = [task.total_run_time.total_seconds() for task in client.read_task_runs()]
            found = night.facts()
        assert len(found) >= 2 * len(RUNS)
        return Reference(found, len(times), sum(times) / len(times))

    return run


def mend(night: Night, victim: str) -> None:
    """Start again what `reid up` would."""
    if victim == "server":
        night.start_server()
    if victim == "worker":
        night.start_worker()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("victim", ["stage", "dvc", "flow", "worker", "server"])
@pytest.mark.parametrize("round_", range(ROUNDS))
@pytest.mark.parametrize("kind", KINDS)
def test_one_more_run_ends_as_if_nothing_had_happened(
    night: Night,
    unbroken: Callable[[str], Reference],
    kind: str,
    victim: str,
    round_: int,
) -> None:
    reference = unbroken(kind)
    share = random.Random(f"{victim} {round_}").uniform(0.05, 0.8)
    with get_client(sync_client=True) as client:
        night.deploy(client)
        first = night.submit(client)
        reach(client, first, share, reference)
        met: list[psutil.Process] = []
        wait_until(lambda: bool(met.extend(night.processes(victim)) or met))
        met[-1].kill()
        mend(night, victim)
        second = night.finish(client)
        assert second.state_name == "Completed"
        assert night.facts() == reference.facts
        wait_until(lambda: ended(client, first), SECONDS)
        assert_nothing_runs(client)
    night.server.stop()
    wait_until(lambda: not night.left())


def assert_nothing_runs(client: SyncPrefectClient) -> None:
    """Check flows, tasks and slots, each as soon as the server has heard of its end."""
    checks: list[Callable[[], bool]] = [
        lambda: all(run.state and run.state.is_final() for run in client.read_flow_runs()),
        lambda: all(run.state and run.state.is_final() for run in client.read_task_runs()),
        lambda: not any(one.active_slots for one in client.read_global_concurrency_limits()),
    ]
    for check in checks:
        wait_until(check)
