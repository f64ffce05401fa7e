"""The flows on a tiny DVC project, with a real Prefect server, real DVC and real processes."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from uuid import uuid4

import pytest
from prefect.artifacts import Artifact
from prefect.client.orchestration import get_client
from prefect.states import Cancelling

import flows
from flows import pipelines
from flows.errors import FlowError
from flows.flow_runs import LiveFlowRun, settle_dead_runs
from flows.machines import Machine, StageNeeds
from flows.processes import ProcessGroups
from flows.slots import Slots
from flows.stages import run_stage
from tests.unit.flows.flow_reading import (
    logged,
    read_flow_run,
    run,
    states,
    task_runs,
    waiting,
)
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
    project: TinyProject,
) -> None:
    project.edit("rate: 10, mode: plain", "rate: 40, mode: meet")
    project.edit("rate: 20, mode: plain", "rate: 50, mode: meet")
    (project.folder / "params/machines.yaml").write_text("machines: {default: {cpu: 2}}")
    state, runs = run(pipelines.pipeline)
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
    assert_settled(project, crashed=end == signal.SIGKILL)


def assert_settled(project: TinyProject, crashed: bool) -> None:
    """Check that the newest pipeline is not shown running, once the next flow has looked."""
    mine = read_flow_run("pipeline")
    assert mine.state is not None
    assert mine.state.is_running() == crashed
    assert settle_dead_runs(project.folder) == [mine.id] * crashed
    assert settle_dead_runs(project.folder) == []
    ended = read_flow_run("pipeline").state
    assert ended is not None
    assert ended.is_final()
    # every task has ended too, or this would wait
    task_runs(mine.id)
    with get_client(sync_client=True) as client:
        limits = client.read_global_concurrency_limits()
    assert [limit.active_slots for limit in limits] == [0] * len(limits)


def test_flows_share_the_slots_of_the_machine(server: Server, project: TinyProject) -> None:
    project.edit("rate: 20, mode: plain", "rate: 30, mode: wait")
    project.edit("rate: 10", "rate: 40")
    first = server.start("flows", "train", "--runs", "two", cwd=project.folder)
    waiting(project)
    second = server.start("flows", "train", "--runs", "one", cwd=project.folder)
    line = "train@one waits for slots that another flow has"
    wait_until(lambda: line in logged(read_flow_run("train").id))
    assert project.ran == ["train@two"]
    (project.folder / "go").touch()
    assert (first.wait(), second.wait()) == (0, 0)
    assert project.ran == ["train@two", "train@one"]


def test_slots_that_are_gone_are_one_clear_line(server: Server, tmp_path: Path) -> None:
    machine = Machine("elsewhere", {"cpu": 2}, {"default": StageNeeds(slots={"cpu": 2})})
    with (
        LiveFlowRun(tmp_path, uuid4()) as mine,
        Slots(machine, mine, {}) as slots,
        get_client(sync_client=True) as client,
    ):
        client.upsert_global_concurrency_limit_by_name("cpu@elsewhere", 1)
        with pytest.raises(FlowError, match="the server refuses slots for stage 'train@two'"):
            slots.take("train@two")


def test_a_stage_that_is_killed_goes_on(
    project: TinyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.edit("rate: 20, mode: plain", "rate: 30, mode: wait")
    monkeypatch.setattr(run_stage, "retry_delay_seconds", 1)

    def kill() -> None:
        pids = waiting(project)
        (project.folder / "go").touch()
        os.kill(pids[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    state, runs = run(pipelines.pipeline)
    killer.join()
    assert state.is_completed()
    assert runs["train@two"].run_count == 2
    assert project.ran == ["train@two", *CHAIN_OF_TWO]


def test_a_stage_that_takes_too_long_is_ended(project: TinyProject) -> None:
    project.edit("rate: 20, mode: plain", "rate: 30, mode: wait")
    limits = "stages: {train: {hours: 0.0005}}"
    (project.folder / "params/machines.yaml").write_text(limits)
    state, runs = run(pipelines.train)
    assert "stage 'train@two' was ended after 0.0005 h" in str(state.message)
    assert runs["train@two"].run_count == 1


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
