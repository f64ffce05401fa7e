"""A copy of the project in a temporary folder, with the smoke study in place."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.unit.flows.prefect_server import Server
from tests.unit.flows.watching import wait_until

ROOT = Path(__file__).parents[2]
PARTS = (
    "dvc.yaml",
    ".dvcignore",
    ".gitignore",
    "params",
    "reid",
    "flows",
    "prefect.yaml",
    "prefect.toml",
)
REPRODUCES = "test_lineage.py"
"""The file that begins with the reproduction which the others of this folder share."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest files, where workers share them: so none is left alone at the end.

    One worker reproduces the study. What needs it comes after the rest of this folder, so that no
    other worker has to wait for it.
    """
    for item in items:
        if "reproduced" in getattr(item, "fixturenames", ()):
            # the first of them makes all stages run, and others may wait for it
            item.add_marker(pytest.mark.timeout(1500))
    if not hasattr(config, "workerinput"):
        return
    mine = {item.path for item in items if item.path.parent == Path(__file__).parent}
    sharing = {item.path for item in items if "reproduced" in getattr(item, "fixturenames", ())}

    def turn(item: pytest.Item) -> int:
        if item.path not in mine:
            return 3
        return (2 if item.path in sharing else 1) if item.path.name != REPRODUCES else 0

    items.sort(key=turn)


class Project:
    """Run commands in a project folder as a user would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
            "DO_NOT_TRACK": "true",
            "OMP_NUM_THREADS": "1",
        }
        self.env.pop("MLFLOW_TRACKING_URI", None)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done

    def repro(self, *targets: str) -> list[str]:
        """Reproduce and return the names of the stages that ran."""
        done = self.run("dvc", "repro", *targets)
        return re.findall(r"^Running stage '(.+)':", done.stdout, re.MULTILINE)

    def changed(self) -> set[str]:
        """Return the names of the stages whose own inputs are not those of their last run.

        What follows from them would run too, as far as their outputs turn out to be others.
        """
        return set(json.loads(self.run("dvc", "status", "--json").stdout))

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        text = file.read_text()
        assert text.count(old) == 1, f"{old!r} in {path}"
        file.write_text(text.replace(old, new))


def copy_project(folder: Path) -> Project:
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / part, ignore=ignored)
        else:
            shutil.copy(source, folder / part)
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    project = Project(folder)
    shutil.copy(folder / "params/studies/smoke.yaml", folder / "params/study.yaml")
    project.run("git", "init", "--quiet")
    project.run("git", "add", "--all")
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    project.run("git", *who, "commit", "--quiet", "--message", "Start")
    return project


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Project:
    """The smoke study, reproduced once for all workers of this test session: only read it."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder if worker_id == "master" else folder.parent
    done = shared / "reproduced.done"
    with FileLock(shared / "reproduced.lock"):
        if not done.exists():
            # what an attempt that failed in another worker left is no start
            shutil.rmtree(shared / "reproduced", ignore_errors=True)
            copy_project(shared / "reproduced").repro()
            done.touch()
    return Project(shared / "reproduced")


def copy_of(project: Project, folder: Path) -> Project:
    """Copy a project with all that was made in it, for a test that changes something."""
    shutil.copytree(project.folder, folder, symlinks=True)
    return Project(folder)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prefect server, to which the flows of this process report."""
    # it takes seconds to import, and most tests here need none
    from prefect.logging.handlers import APILogHandler
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    server = Server(tmp_path_factory.mktemp("prefect"))
    server.start("prefect", "server", "start", "--port", str(server.port))
    try:
        wait_until(lambda: server.up)
        with temporary_settings({PREFECT_API_URL: server.url, PREFECT_HOME: server.folder}):
            yield server
            APILogHandler().flush()
    finally:
        server.stop()


def wait_for_checkpoint(folder: Path) -> Path:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        found = list(folder.glob("*/last.ckpt"))
        if found:
            return found[0]
        time.sleep(0.01)
    pytest.fail("training wrote no checkpoint")
