"""Where the flows run and what they tell the tools; and what they do not import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.environment import DEFAULTS, project_root, stage_environment
from flows.errors import FlowError, StageError


def test_the_project_is_found_from_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "a/b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a/b")
    assert project_root() == tmp_path


def test_outside_of_a_project_the_error_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FlowError, match=r"no dvc.yaml in .*; expected the folder of a project"):
        project_root()


def test_the_tools_keep_quiet_and_state_stays_in_the_project(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").touch()
    code = "import flows, os; print(*(os.environ.get(n) for n in os.sys.argv[1:]))"
    names = [*DEFAULTS, "PREFECT_HOME"]
    bare = {k: v for k, v in os.environ.items() if k not in names}
    done = subprocess.run(
        [sys.executable, "-c", code, *names],
        cwd=tmp_path,
        env={**bare, "PYTHONPATH": str(Path(__file__).parents[3]), "DO_NOT_TRACK": "yes"},
        capture_output=True,
        text=True,
        check=True,
    )
    values = dict(zip(names, done.stdout.split(), strict=True))
    assert values == {**DEFAULTS, "DO_NOT_TRACK": "yes", "PREFECT_HOME": str(tmp_path / ".prefect")}


def test_a_stage_writes_its_lines_at_once() -> None:
    assert stage_environment()["PYTHONUNBUFFERED"] == "1"


def test_importing_the_flows_loads_no_tensors() -> None:
    code = "import sys, flows.pipelines; print({'torch', 'PIL', 'mlflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_an_error_of_a_stage_carries_its_last_lines() -> None:
    error = StageError("stage 'train@bot'", 5, ["one", "two"], 1.0)
    assert str(error) == (
        "stage 'train@bot' ended with exit code 5; expected exit code 0. Its last lines:\n"
        "    one\n    two"
    )
    assert "ended with signal 9" in str(StageError("stage 'x'", -9, [], 1.0))
    assert "(it wrote nothing)" in str(StageError("stage 'x'", -9, [], 1.0))


def test_only_a_lock_or_a_kill_is_tried_again() -> None:
    # Prefect takes seconds to import, and only one of the processes that share the tests needs it
    from prefect.client.schemas.objects import TaskRun
    from prefect.states import Failed

    from flows.stages import _error_class, _may_go_better, run_stage

    def tried(code: int, line: str) -> bool:
        error = _error_class(code, ["before", line])("s", code, [line], 1.0)
        return bool(_may_go_better(run_stage, run, Failed(data=error)))

    run = TaskRun(task_key="run_stage", dynamic_key="0")
    assert run_stage.retries == 1
    assert tried(255, "ERROR: Unable to acquire lock. Most likely another DVC process is running")
    failed = "ERROR: failed to reproduce 'train@bot': failed to run: reid train bot, exited with"
    assert tried(255, f"{failed} -9")
    assert tried(255, f"{failed} 137")
    assert tried(-9, "")
    assert tried(137, "")
    assert not tried(255, f"{failed} 3")
    assert not tried(255, f"{failed} 127")  # of a shell that finds no such command
    assert not tried(1, "")


def test_an_outcome_reads_like_a_sentence() -> None:
    from flows.summary import StageOutcome

    assert str(StageOutcome("train@bot", "Completed", 12.34)) == "train@bot Completed in 12.3 s"
    assert str(StageOutcome("data@city", "Cached", 0.0)) == "data@city Cached"
    assert not StageOutcome("compare", "NotReady").done
    assert not StageOutcome("train@bot", "Failed", 3.0, "why").done
