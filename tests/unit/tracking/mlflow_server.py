"""A real MLflow server that can be killed and started again within a second.

It is a process forked from this one, where MLflow's application is imported already: the program
`mlflow server` imports it anew each time, which takes tens of seconds on a busy machine.
"""

import os
import socket
import time
import urllib.request
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path
from urllib.error import URLError

import mlflow.server as mlflow_server
import uvicorn
from mlflow.server.fastapi_app import app


class MlflowServer:
    """Serves a store on a port of its own.

    Args:
        root: Folder with `mlflow.db`; artifacts go to `served`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"
        self._process = self._new()
        self.start()

    def start(self) -> None:
        """Start it, if it is not running, and wait until it answers."""
        if not self._process.is_alive():
            if self._process.pid is not None:  # a process starts only once
                self._process = self._new()
            self._process.start()
            self._wait()

    def kill(self) -> None:
        """End it at once, as a machine does that loses its power."""
        self._process.kill()
        self._process.join()

    def _new(self) -> ForkProcess:
        return get_context("fork").Process(target=self._serve, daemon=True)

    def _wait(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(f"{self.address}/health", timeout=5).close()  # noqa: S310
                return
            except (URLError, ConnectionError, TimeoutError):
                time.sleep(0.02)
        raise TimeoutError(f"no MLflow server at {self.address}")

    def _serve(self) -> None:
        os.environ |= {
            mlflow_server.BACKEND_STORE_URI_ENV_VAR: f"sqlite:///{self._root}/mlflow.db",
            mlflow_server.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
            mlflow_server.ARTIFACTS_DESTINATION_ENV_VAR: str(self._root / "served"),
            mlflow_server.SERVE_ARTIFACTS_ENV_VAR: "true",
        }
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        uvicorn.run(app, host="127.0.0.1", port=self._port, log_level="critical")
