"""Run flows in this process, and read from the server what became of them."""

import json
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowRunFilter,
    LogFilter,
)
from prefect.client.schemas.objects import FlowRun, State, TaskRun

from tests.unit.flows.tiny_project import TinyProject
from tests.unit.flows.watching import wait_until


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
