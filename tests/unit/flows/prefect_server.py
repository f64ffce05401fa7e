"""A Prefect server for tests, and programs that know it."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx

import flows
from flows.environment import DEFAULTS

ROOT = Path(flows.__file__).parents[1]


class Server:
    """A Prefect server on a free port of this machine, and programs that know it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs: list[subprocess.Popen[str]] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.env = {
            **os.environ,
            **DEFAULTS,
            "PREFECT_API_URL": self.url,
            "PREFECT_HOME": str(folder),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PYTHONPATH": str(ROOT),
        }

    def start(self, *command: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        """Start a program of this environment in its own session."""
        with (self.folder / "programs.log").open("a") as log:
            program = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=cwd or self.folder,
                env=self.env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                text=True,
            )
        self.programs.append(program)
        return program

    def stop(self) -> None:
        """Stop all programs that still run, the server, which was first, last."""
        for program in reversed(self.programs):
            if program.poll() is None:
                stop(program)

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=cwd,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def up(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=2).is_success
        except httpx.HTTPError:
            return False


def stop(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
