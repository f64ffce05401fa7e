"""The environment of flows and stages: quiet tools, state in the project, the right programs."""

import os
import sys
from pathlib import Path

from flows.errors import FlowError

DEFAULTS = {
    # MLflow accepts only the word `true`
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # the newer pages ask a stranger's server for their analytics settings, whatever is set
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # so that slots which were taken when the server died are still given back
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
    # a private server per process takes 20 s to start; without a real one, fail at once
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
}
GRAPH_FILE = "dvc.yaml"


def prepare_environment() -> None:
    """Set what the tools read on import; a value that the user has set stays."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    root = _find_root(Path.cwd())
    if root is not None:
        os.environ.setdefault("PREFECT_HOME", str(root / ".prefect"))


def project_root() -> Path:
    """Return the nearest folder, from the working directory upwards, that holds `dvc.yaml`.

    Raises:
        FlowError: There is none.
    """
    root = _find_root(Path.cwd())
    if root is None:
        raise FlowError(
            f"no {GRAPH_FILE} in {Path.cwd()} or above",
            "the folder of a project",
            "Change into the project and start again.",
        )
    return root


def stored_studies() -> list[str]:
    """Return the names of the studies of the project; none outside of a project."""
    root = _find_root(Path.cwd())
    return [] if root is None else sorted(path.stem for path in root.glob("params/studies/*.yaml"))


def stage_environment() -> dict[str, str]:
    """Return the environment of a stage: unbuffered output, and the programs of this interpreter.

    A stage's command is plain `reid …`; it must be the one installed beside the running Python
    even where the virtual environment is not activated.
    """
    programs = str(Path(sys.executable).parent)
    path = os.pathsep.join([programs, os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


def _find_root(start: Path) -> Path | None:
    return next((p for p in (start, *start.parents) if (p / GRAPH_FILE).is_file()), None)
