"""The flows on a tiny DVC project, with a real Prefect server, real DVC and real processes."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import Flow
from prefect.artifacts import Artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowRunFilter,
    LogFilter,
)
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.states import Cancelling
from prefect.task_runners import ThreadPoolTaskRunner

import flows
from flows import pipelines, walker
from flows.processes import ProcessGroups
from flows.stages import run_stage
from tests.unit.flows.prefect_server import Server
from tests.unit.flows.tiny_project import TinyProject
from tests.unit.flows.watching import alive, wait_until

ROOT = Path(flows.__file__).parents[1]
CHAIN_OF_TWO = ["train@two", "evaluate@two", "compare"]
EVERYTHING = ["data@world", "train@one", "evaluate@one", *CHAIN_OF_TWO]

DEPLOYMENTS = {
    "pipeline/demo",
    "pipeline/smoke",
    "pipeline/ablations",
    "pipeline/active",
    "pipeline/nightly",
    "validate/active",
    "pretrain/active",
    "train/active",
    "evaluate/active",
    "register/active",
}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("prefect"))
    server.start("prefect", "server", "start", "--port", str(server.port))
    try:
        wait_until(lambda: server.up)
        with temporary_settings({PREFECT_API_URL: server.url, PREFECT_HOME: server.folder}):
            yield server
            APILogHandler().flush()
    finally:
        server.stop()


@pytest.fixture(scope="session")
def reproduced_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny = TinyProject(tmp_path_factory.mktemp("tiny")).write()
    tiny.dvc("repro")
    return tiny.folder


@pytest.fixture
def project(
    server: Server, reproduced_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> TinyProject:
    """A project in which everything is up to date, as the working directory."""
    folder = tmp_path / "project"
    shutil.copytree(reproduced_once, folder)
    (folder / "ran.txt").unlink()
    monkeypatch.chdir(folder)
    return TinyProject(folder)


def run(flow: Flow[..., Any], **parameters: Any) -> tuple[State[Any], dict[str, TaskRun]]:
    """Run a flow in this process; return its state and its task runs by name."""
    state = flow(**parameters, return_state=True)
    assert state.state_details.flow_run_id is not None
    return state, task_runs(state.state_details.flow_run_id)


def task_runs(flow_run: UUID) -> dict[str, TaskRun]:
    """Return the task runs by name; the server learns of their ends some time after the flow."""
    found: dict[str, TaskRun] = {}

    def settled() -> bool:
        with get_client(sync_client=True) as client:
            tables = client.read_artifacts(
                artifact_filter=ArtifactFilter(
                    flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run]),
                    key=ArtifactFilterKey(any_=["stages"]),
                )
            )
            runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [flow_run]}))
        found.update({run.name: run for run in runs})
        shown = {row["stage"] for table in tables for row in json.loads(str(table.data))}
        return shown <= found.keys() and all(map(has_ended, runs))

    wait_until(settled)
    return found


def has_ended(run: TaskRun) -> bool:
    return run.state is not None and (run.state.is_final() or run.state.name == "NotReady")


def states(runs: dict[str, TaskRun]) -> dict[str, str | None]:
    return {name: run.state_name for name, run in runs.items()}


def read_flow_run(name: str) -> FlowRun:
    """Return the newest run of the flow `name`."""
    with get_client(sync_client=True) as client:
        every = client.read_flow_runs()
        flow_names = {run.id: client.read_flow(run.flow_id).name for run in every}
    mine = [run for run in every if flow_names[run.id] == name]
    return max(mine, key=lambda run: run.created or run.expected_start_time)


def logged(flow_run: UUID) -> list[str]:
    with get_client(sync_client=True) as client:
        return [
            log.message for log in client.read_logs(LogFilter(flow_run_id={"any_": [flow_run]}))
        ]


def waiting(project: TinyProject) -> list[int]:
    """Return the processes of the stage that is in mode `wait`, once they are there."""
    wait_until((project.folder / "pids").exists)
    return [int(pid) for pid in (project.folder / "pids").read_text().split()]


def test_the_first_run_keeps_the_order_and_the_second_starts_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = TinyProject(tmp_path).write()
    monkeypatch.chdir(tmp_path)
    state, runs = run(pipelines.pipeline)
    assert state.is_completed()
    assert project.ran == EVERYTHING
    assert states(runs) == dict.fromkeys(EVERYTHING, "Completed")

    monkeypatch.setattr(ProcessGroups, "run", lambda *_: pytest.fail("a process was started"))
    state, runs = run(pipelines.pipeline)
    assert state.is_completed()
    assert states(runs) == dict.fromkeys(EVERYTHING, "Cached")
    table, comparison = Artifact.get("stages"), Artifact.get("comparison")
    assert table is not None
    assert '"train@one"' in str(table.data)
    assert comparison is not None
    assert comparison.data == "one 1two 2"


def test_a_changed_parameter_reruns_its_chain_only(project: TinyProject) -> None:
    project.edit("rate: 20", "rate: 30")
    state, runs = run(pipelines.pipeline)
    assert state.is_completed()
    assert project.ran == CHAIN_OF_TWO
    cached = {name for name, state in states(runs).items() if state == "Cached"}
    assert cached == set(EVERYTHING) - set(CHAIN_OF_TWO)


def test_an_equal_output_spares_the_stages_below(project: TinyProject) -> None:
    project.edit("rate: 20", "rate: 21")
    _, runs = run(pipelines.pipeline)
    assert project.ran == ["train@two"]
    assert runs["train@two"].state_name == "Completed"
    for name in ("evaluate@two", "compare"):
        state = runs[name].state
        assert state is not None
        # this one DVC was asked about; its answer is known by its words alone
        assert (state.name, state.message) == ("Cached", "DVC had nothing to run.")


def test_a_result_in_the_run_cache_is_cached_too(project: TinyProject) -> None:
    project.edit("rate: 20", "rate: 30")
    run(pipelines.train)
    project.edit("rate: 30", "rate: 20")
    _, runs = run(pipelines.train)
    assert project.ran == ["train@two"]
    assert runs["train@two"].state_name == "Cached"


def test_a_selection_runs_what_it_needs(project: TinyProject) -> None:
    project.edit("rate: 10", "rate: 40")
    project.edit("rate: 20", "rate: 50")
    _, runs = run(pipelines.train, runs=["one"])
    assert states(runs) == {"data@world": "Cached", "train@one": "Completed"}
    assert project.ran == ["train@one"]


def test_force_runs_the_targets_but_not_what_they_need(project: TinyProject) -> None:
    _, runs = run(pipelines.train, runs=["two"], force=True)
    assert states(runs) == {"data@world": "Cached", "train@two": "Completed"}
    assert project.ran == ["train@two"]


def test_a_failure_stops_what_is_below_and_nothing_else(project: TinyProject) -> None:
    project.edit("rate: 20, mode: plain", "rate: 30, mode: fail")
    project.edit("rate: 10", "rate: 40")
    state, runs = run(pipelines.pipeline)
    assert states(runs) == {
        "data@world": "Cached",
        "train@one": "Completed",
        "evaluate@one": "Completed",
        "train@two": "Failed",
        "evaluate@two": "NotReady",
        "compare": "NotReady",
    }
    assert state.is_failed()
    message = str(state.message)
    assert message.startswith("1 of 6 stages failed and 3 are done; expected all done.")
    assert "stage 'train@two' ended with exit code 255" in message
    assert "error: found water; expected wine. Fetch some." in message


def test_stages_run_side_by_side_where_the_user_says_so(
    project: TinyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.edit("rate: 10, mode: plain", "rate: 40, mode: meet")
    project.edit("rate: 20, mode: plain", "rate: 50, mode: meet")
    monkeypatch.setattr(walker, "STAGES_AT_ONCE", 2)
    threads: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=2)
    state, runs = run(pipelines.pipeline.with_options(task_runner=threads))
    assert state.is_completed()
    assert [run.state_name for run in runs.values()].count("Completed") == 5
    # no result was lost between two writers of dvc.lock
    assert "up to date" in project.dvc("status")


def test_a_study_is_activated_first(project: TinyProject) -> None:
    stored = project.folder / "params/studies/other.yaml"
    text = (project.folder / "params/study.yaml").read_text()
    stored.write_text(text.replace("  two:", "  three:").replace("rate: 20", "rate: 70"))
    _, runs = run(pipelines.train, study="other")
    expected = {"data@world": "Cached", "train@one": "Cached", "train@three": "Completed"}
    assert states(runs).items() >= expected.items()
    assert (project.folder / "params/study.yaml").read_text() == stored.read_text()


def test_an_unknown_study_or_run_ends_the_flow_with_the_remedy(project: TinyProject) -> None:
    state, _ = run(pipelines.train, study="tyni")
    assert state.is_failed()
    assert re.search(r"activating study 'tyni' ended.*no study 'tyni'", str(state.message), re.S)
    state, _ = run(pipelines.train, runs=["tow"])
    assert "no run 'tow' in the active study (did you mean 'two'?)" in str(state.message)


def test_a_stage_that_is_busy_elsewhere_is_tried_again(
    project: TinyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.edit("rate: 20, mode: plain", "rate: 30, mode: wait")
    elsewhere = threading.Thread(target=project.dvc, args=("repro", "-s", "train@two"))
    elsewhere.start()
    waiting(project)
    monkeypatch.setattr(run_stage, "retry_delay_seconds", 1)
    state, runs = run(pipelines.train)
    (project.folder / "go").touch()
    elsewhere.join()
    assert state.is_failed()
    assert "is busy, it is being blocked by" in str(state.message)
    assert runs["train@two"].run_count == 2
    assert runs["train@one"].state_name == "Cached"
    assert project.ran == ["train@two"]


def test_lines_are_in_the_log_while_the_stage_runs(server: Server, project: TinyProject) -> None:
    project.edit("rate: 20, mode: plain", "rate: 30, mode: wait")
    flow = server.start("flows", "train", cwd=project.folder)
    pids = waiting(project)
    flow_run = read_flow_run("train")
    wait_until(lambda: "start train two" in logged(flow_run.id))
    assert alive(pids[0])
    (project.folder / "go").touch()
    assert flow.wait() == 0


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_flow_that_is_ended_leaves_no_stage_behind(
    server: Server, project: TinyProject, end: signal.Signals
) -> None:
    project.edit("rate: 20, mode: plain", "rate: 30, mode: wait")
    project.edit("rate: 10", "rate: 40")
    flow = server.start("flows", "pipeline", cwd=project.folder)
    pids = waiting(project)
    flow.send_signal(end)
    assert flow.wait() != 0
    wait_until(lambda: not any(map(alive, pids)))
    # neither did the next stage start in the place of the one that was ended
    assert project.ran == ["train@one", "evaluate@one", "train@two"]


def test_without_a_server_there_is_one_clear_line(project: TinyProject, server: Server) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/api"
    for url, found in ((nobody, f"no Prefect server answers at {nobody}"), ("", "no Prefect")):
        done = subprocess.run(
            [sys.executable, "-m", "flows", "train"],
            env={**server.env, "PREFECT_API_URL": url},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 9
        assert done.stderr.startswith(f"Error: {found}")
        assert done.stderr.count("\n") == 1
        assert "`reid up`" in done.stderr


def test_deployments_run_and_are_cancelled_by_a_worker(
    server: Server, project: TinyProject
) -> None:
    shutil.copy(ROOT / "prefect.yaml", project.folder)
    stored = project.folder / "params/studies"
    for study in ("demo", "smoke", "ablations"):
        shutil.copy(stored / "tiny.yaml", stored / f"{study}.yaml")
    (project.folder / "flows").symlink_to(ROOT / "flows")
    # the worker makes the pool that the deployments name
    server.start(*["prefect", "worker", "start", "--pool", "local", "--type", "process"])
    with get_client(sync_client=True) as client:
        wait_until(lambda: bool(client.read_work_pools()))
        deployed = server.run("prefect", "--no-prompt", "deploy", "--all", cwd=project.folder)
        names = set(re.findall(r"'(\w+/\w+)' successfully created", deployed.stdout))
        assert names == DEPLOYMENTS
        project.edit("rate: 20, mode: plain", "rate: 30, mode: wait")
        deployment = client.read_deployment_by_name("evaluate/active")
        flow_run = client.create_flow_run_from_deployment(
            deployment.id, parameters={"runs": ["two"]}
        )
        pids = waiting(project)
        client.set_flow_run_state(flow_run.id, Cancelling())
        wait_until(lambda: client.read_flow_run(flow_run.id).state_name == "Cancelled")
    wait_until(lambda: not any(map(alive, pids)))
    assert project.ran == ["train@two"]
