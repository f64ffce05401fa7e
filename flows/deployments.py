"""What the Prefect server knows of this project: its deployments, and runs without a process."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import httpx

from flows.environment import stage_environment
from flows.errors import ServiceError
from flows.service_processes import flow_runs_with_process
from reid.files import write_whole

FILE = "prefect.yaml"
# what a deployment is made from: its file, the flows with their parameters, the studies to choose
SOURCES = (FILE, "flows/pipelines.py", "params/studies/*.yaml")
STAMP = "deployed.sha256"
BUSY_TRIES, BUSY_SECONDS = 10, 1.0
UNFINISHED = ["RUNNING", "PENDING", "CANCELLING"]


class PatientTransport(httpx.HTTPTransport):
    """Asks again while the server says that its database is busy, as Prefect's own client does."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the first other answer, or the last one."""
        for _ in range(BUSY_TRIES):
            answer = super().handle_request(request)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return answer
            answer.close()
            time.sleep(BUSY_SECONDS)
        return super().handle_request(request)


class PrefectApi:
    """The Prefect server of the project, asked without Prefect, which takes seconds to import.

    Args:
        address: Such as `http://127.0.0.1:4200/api`.
        pool: The work pool of the project.
    """

    def __init__(self, address: str, pool: str) -> None:
        self._address = address
        self._pool = pool
        # never by way of a proxy, which knows nothing of this machine's own address
        self._client = httpx.Client(
            base_url=address, timeout=30, trust_env=False, transport=PatientTransport()
        )

    def deploy(self, project: Path, log: Path) -> list[str] | None:
        """Deploy `prefect.yaml`, unless nothing changed since the last time.

        Returns:
            The schedules that were on and stay so although the file has them off; None if nothing
            changed.

        Raises:
            ServiceError: Prefect refuses.
        """
        # beside the database, so that both are gone if one is
        stamp, digest = _home(project) / STAMP, _digest(project)
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == digest:
            return None
        switched_on = self._schedules()
        _deploy(self._address, project, log)
        kept = [
            name
            for name, (path, on) in self._schedules().items()
            if not on and switched_on.get(name, ("", False))[1] and self._switch_on(path)
        ]
        write_whole(stamp, digest)
        return kept

    def close_runs(self, state: str, message: str) -> list[str]:
        """Give a final state to the runs of the pool that have no process; return their names.

        Args:
            state: `Crashed` or `Cancelled`.
            message: Why, in one sentence.
        """
        living = flow_runs_with_process()
        lost = [run for run in self._unfinished_runs() if run["id"] not in living]
        final = {"type": state.upper(), "name": state, "message": message}
        for run in lost:
            within = {"flow_runs": {"id": {"any_": [run["id"]]}}, "task_runs": _in_states()}
            for task in self._post("/task_runs/filter", within):
                self._post(f"/task_runs/{task['id']}/set_state", {"state": final, "force": True})
            self._post(f"/flow_runs/{run['id']}/set_state", {"state": final, "force": True})
        return [run["name"] for run in lost]

    def runs_of_other_shells(self) -> list[str]:
        """Return the names of the runs that report here and were not started by the worker."""
        every = self._post("/flow_runs/filter", {"flow_runs": _in_states()})
        return [run["name"] for run in every if run["work_pool_name"] is None]

    def _unfinished_runs(self) -> list[dict[str, Any]]:
        pools = {"name": {"any_": [self._pool]}}
        return self._post("/flow_runs/filter", {"flow_runs": _in_states(), "work_pools": pools})

    def _schedules(self) -> dict[str, tuple[str, bool]]:
        """Return deployment and slug to (address of the schedule, whether it is on)."""
        return {
            f"{deployment['name']}/{schedule['slug']}": (
                f"/deployments/{deployment['id']}/schedules/{schedule['id']}",
                schedule["active"],
            )
            for deployment in self._post("/deployments/filter", {})
            for schedule in deployment["schedules"]
        }

    def _switch_on(self, path: str) -> bool:
        return self._client.patch(path, json={"active": True}).is_success

    def _post(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        answer = self._client.post(f"{self._address}{path}", json=body)
        answer.raise_for_status()
        return cast(list[dict[str, Any]], answer.json())


def _in_states() -> dict[str, Any]:
    return {"state": {"type": {"any_": UNFINISHED}}}


def _home(project: Path) -> Path:
    return Path(os.environ.get("PREFECT_HOME", project / ".prefect"))


def _digest(project: Path) -> str:
    files = sorted(path for source in SOURCES for path in project.glob(source))
    content = {str(path.relative_to(project)): path.read_text(encoding="utf-8") for path in files}
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _deploy(api: str, project: Path, log: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=project,
        env={**stage_environment(), "PREFECT_API_URL": api},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    log.write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        # its traceback is in the log; the last line says what it is about
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise ServiceError(
            f"Prefect does not take {FILE}: {''.join(last)}",
            "deployments that it understands",
            f"Mend what it names and repeat `reid up`; all it said is in {log}.",
        )
