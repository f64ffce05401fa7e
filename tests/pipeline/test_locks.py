"""Stages side by side, and DVC's lock: nothing is lost, and nothing fails for want of the lock."""

import re
import threading
import time
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from flows import pipelines
from tests.unit.flows.flow_reading import run, waiting
from tests.unit.flows.prefect_server import Server
from tests.unit.flows.tiny_project import TinyProject

NAMES = ("one", "two", "three", "four", "five")


@pytest.fixture
def five(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyProject:
    """A project of five runs on a machine that has room for all of them."""
    project = TinyProject(tmp_path).write()
    (tmp_path / "params/machines.yaml").write_text("machines: {default: {cpu: 5}}")
    set_rates(project, 0)
    monkeypatch.chdir(tmp_path)
    return project


def set_rates(project: TinyProject, round_: int) -> None:
    path = project.folder / "params/study.yaml"
    study = yaml.safe_load(path.read_text())
    entry = next(iter(study["runs"].values()))
    study["runs"] = {
        name: {**entry, "overrides": {"rate": 1000 * round_ + 10 * place, "mode": "plain"}}
        for place, name in enumerate(NAMES)
    }
    path.write_text(yaml.safe_dump(study))


@pytest.mark.parametrize("rounds", [1, pytest.param(25, marks=pytest.mark.slow)])
@pytest.mark.timeout(3600)
def test_five_stages_at_once_lose_no_entry(five: TinyProject, rounds: int) -> None:
    for round_ in range(1, rounds + 1):
        set_rates(five, round_)
        (five.folder / "ran.txt").unlink(missing_ok=True)
        state, runs = run(pipelines.train)
        assert state.is_completed(), state.message
        trained = {f"train@{name}" for name in NAMES}
        assert {name: runs[name].run_count for name in trained} == dict.fromkeys(trained, 1)
        assert sorted(set(five.ran) - {"data@world"}) == sorted(trained)
        locked = yaml.safe_load((five.folder / "dvc.lock").read_text())["stages"]
        for place, name in enumerate(NAMES):
            params = locked[f"train@{name}"]["params"]["params/study.yaml"]
            assert params[f"runs.{name}"]["overrides"]["rate"] == 1000 * round_ + 10 * place
        changed = five.dvc("status", *trained)
        assert re.search("up to date", changed), changed


def test_a_stage_that_ends_while_another_has_the_lock_loses_nothing(five: TinyProject) -> None:
    path = five.folder / "params/study.yaml"
    path.write_text(path.read_text().replace("mode: plain", "mode: wait", 1))

    def hold() -> None:
        waiting(five)
        with Repo(str(five.folder)) as repo, repo.lock:
            (five.folder / "go").touch()
            # longer than DVC waits by itself, and than the stage takes to end
            time.sleep(6)

    holder = threading.Thread(target=hold)
    holder.start()
    state, runs = run(pipelines.train)
    holder.join()
    assert state.is_completed(), state.message
    assert {each.run_count for each in runs.values()} == {1}
    assert "up to date" in five.dvc("status", *(f"train@{name}" for name in NAMES))
