"""What a study needs around it: git, DVC on the PATH, and the MLflow store."""

import os
import shutil
import subprocess
from pathlib import Path

from reid.doctor.finding import Finding, Seen, examine
from reid.tracking.store import MLRUNS, has_store, open_client

GROUP = "project"
SERVER_SECONDS = "5"


def findings() -> list[Finding]:
    """Look for programs and store; nothing is made or changed."""
    path = "Activate the environment (`. .venv/bin/activate`), or call it by its path."
    return [
        examine(GROUP, "git", _git, "Install git: the records name the commit."),
        examine(GROUP, "dvc", _dvc, path, needed=False),
        examine(GROUP, "MLflow store", _store, "Check MLFLOW_TRACKING_URI or mlruns/mlflow.db."),
    ]


def _git() -> Seen:
    done = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True)
    return Seen(done.stdout.strip())


def _dvc() -> Seen:
    place = shutil.which("dvc")
    if place is None:
        raise FileNotFoundError("not on the PATH")
    return Seen(place, {"path": place})


def _store() -> Seen:
    if not has_store():
        if not os.access(Path(), os.W_OK):
            raise PermissionError("no store, and no right to make one in this folder")
        return Seen(f"none yet: the first run makes {MLRUNS / 'mlflow.db'}", {"experiments": 0})
    # an address where nobody answers is asked once, not for minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", SERVER_SECONDS)
    count = len(open_client().search_experiments())
    where = os.environ.get("MLFLOW_TRACKING_URI", str(MLRUNS / "mlflow.db"))
    return Seen(f"{where}, {count} experiments", {"store": where, "experiments": count})
